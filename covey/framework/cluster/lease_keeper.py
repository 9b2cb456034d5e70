"""Keeps this node's lease and judges those of the others, in a thread of its own.

Not on the dispatcher's thread: a node whose agents hold its loop is busy, not dead. Its connection to the
store is its own too, so that no backlog delays a renewal.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import Protocol

from covey.framework.cluster.lease import LEASE_S, RENEW_S, OwnLease
from covey.framework.cluster.lease_judge import Bench, LeaseJudge
from covey.framework.cluster.lease_record import LeaseRecord, lease_key
from covey.framework.cluster.membership import SAID_GOODBYE
from covey.framework.cluster.store import MISSING, ClusterStore, Conflict, Record, StoreError, Unavailable
from covey.framework.errors import AddressInUseError, CoveyError, TransportError

__all__ = ["STUCK_S", "LeaseHolder", "LeaseKeeper"]

logger = logging.getLogger("covey.node")

LOOK_S = 0.05
"""How often a joining node looks whether the holder of its name renews the lease."""
STUCK_S = 30.0
"""A node whose dispatcher has not turned for so long gives its lease up."""
PULSE_S = 1.0
START_S = 8.0
"""How long a joining node tries to take its lease: longer than the election of a leader."""
END_S = 1.0
"""How long a leaving node tries to end its lease itself."""


class LeaseHolder(Bench, Protocol):
    """What a node gives its keeper to call, on the keeper's thread. Nothing of it raises or blocks."""

    def lease_trusted(self, until: float) -> None:
        """This node may serve until then, on the monotonic clock."""
        ...

    def lease_lost(self, why: str) -> None:
        """Somebody ended the lease. What lived here may live elsewhere: let it go, then `rejoin`."""
        ...

    def lease_regained(self) -> None:
        """This node has a new lease after it lost one."""
        ...

    def lease_refused(self, error: BaseException) -> None:
        """The lease was lost, and cannot be had again (another process has the name): this node is over."""
        ...

    def take_pulse(self, beat: Callable[[], None]) -> None:
        """Call this on the dispatcher's thread, soon."""
        ...


class LeaseKeeper:
    """One per node; used once. Its methods may be called from any thread."""

    def __init__(
        self, swarm: str, node: str, incarnation: int, store: ClusterStore, holder: LeaseHolder
    ) -> None:
        self._swarm, self._node = swarm, node
        self._record = LeaseRecord(incarnation)
        self._store = store
        self._holder = holder
        self._own = OwnLease()
        self._judge = LeaseJudge(node, store, holder, lambda now: self._own.is_valid(now))
        self._unanswered = 0
        """Pulses since the dispatcher has turned. Not seconds: a process that was stopped counts none."""
        self._ready: Future[None] = Future()
        self.done: Future[None] = Future()
        """Done once the thread has let go of everything."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._due: asyncio.Event | None = None
        self._rejoining: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=f"covey-{node}-lease", daemon=True)

    # -- from any thread ---------------------------------------------------------------------------

    def start(self) -> Future[None]:
        """Take the lease; the future is done once this node holds it.

        It raises:
            AddressInUseError: a live node holds the lease of this name.
            StoreError, PermissionDeniedError: see `ClusterStore.start`.
        """
        self._own.connected(True, monotonic())
        for future in (self._ready, self.done):
            future.set_running_or_notify_cancel()  # who waits no longer cancels nothing
        self._thread.start()
        return self._ready

    def knows(self, node: str) -> bool:
        """Whether a node has a lease by which it is judged."""
        return self._judge.knows(node)

    def is_over(self, node: str) -> bool:
        """Whether a node's lease was ended and it has no new one: what it says is not to be believed."""
        return self._judge.is_over(node)

    def revision_of(self, node: str) -> int:
        """Where a node's lease stood when it was seen last; for `hint`."""
        return self._judge.revision_of(node)

    def hint(self, node: str, revision: int) -> None:
        """The server says that the connection by which a node renewed its lease to this revision is gone."""
        self._call(self._judge.hint, node, revision)

    def connected(self, is_connected: bool) -> None:
        """The node's connection is there, or not: without it nothing is served, at once."""
        self._own.connected(is_connected, monotonic())
        if is_connected:
            self._call(self._renew_now)

    def rejoin(self) -> None:
        """What lived here was let go: take a new lease."""
        self._call(self._take_again)

    def close(self) -> None:
        """End the lease, and the thread, soon."""
        self._is_closing = True
        if self._closing is not None:
            self._call(self._closing.set)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(function, *args)

    # -- in its thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._keep())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                logger.exception("node %s cannot keep its lease any more", self._node)
                self._holder.lease_refused(error)
        if not self._ready.done():
            self._ready.set_exception(TransportError(f"node {self._node} was told to leave as it started"))
        self.done.set_result(None)

    async def _keep(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing, self._due = asyncio.Event(), asyncio.Event()
        self._judge.on_store_back = self._due.set
        if self._is_closing:
            self._closing.set()
        closing = asyncio.create_task(self._closing.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait([work, closing], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # it ends by an error alone
            await self._end_tasks(work)
            await self._hand_in()
        finally:
            await self._end_tasks(work)
            await self._store.close(END_S)

    async def _work(self) -> None:
        await self._store.start(self._swarm, self._node, self._judge)
        await self._take()
        self._ready.set_result(None)
        await asyncio.gather(self._renew(), self._judge.judge())

    async def _take(self) -> None:
        end = monotonic() + START_S
        while True:
            try:
                await self._acquire()
            except Unavailable:
                if monotonic() > end:
                    raise
                await asyncio.sleep(RENEW_S)
            else:
                return

    async def _end_tasks(self, work: asyncio.Task[None]) -> None:
        tasks = [work, *self._rejoining]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the own lease -----------------------------------------------------------------------------

    async def _acquire(self) -> None:
        """Write the first record of this life over none, over an ended one, or over one that stands still."""
        key, first, since = lease_key(self._node), None, monotonic()
        while True:
            record = await self._store.read(key)
            if record is not None and self._is_held(record):
                if first is None:
                    first, since = record.revision, monotonic()
                if record.revision > first:
                    raise AddressInUseError(
                        f"the node name {self._node!r}",
                        f"a live node of swarm {self._swarm!r} has it; give this one another node=...",
                    )
                if monotonic() - since < LEASE_S:
                    await asyncio.sleep(LOOK_S)
                    continue
            sent_at = monotonic()
            try:
                revision = await self._write(MISSING if record is None else record.revision)
            except Conflict:
                continue  # somebody was faster: look who
            self._own.taken_anew()
            self._renewed(revision, sent_at)
            return

    def _is_held(self, record: Record) -> bool:
        """Whether it stands for another process, and not for a write of this one that seemed to fail."""
        found = LeaseRecord.unpack(record.value)
        return found != self._record and not found.ended

    async def _write(self, revision: int) -> int:
        return await self._store.compare_and_set(lease_key(self._node), self._record.pack(), revision)

    def _renewed(self, revision: int, sent_at: float) -> None:
        self._own.renewed(revision, sent_at)
        self._judge.answered()
        if self._own.is_valid(monotonic()):
            self._holder.lease_trusted(self._own.trusted_until)

    async def _renew(self) -> None:
        next_pulse = 0.0
        assert self._due is not None
        while True:
            sent_at = monotonic()
            if sent_at >= next_pulse:
                next_pulse = sent_at + PULSE_S
                self._unanswered += 1
                self._holder.take_pulse(self._beat)
            if not self._own.is_lost:
                await self._renew_once(sent_at)
            self._due.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), max(0.0, sent_at + RENEW_S - monotonic()))

    async def _renew_once(self, sent_at: float) -> None:
        try:
            if self._unanswered * PULSE_S > STUCK_S:
                await self._give_up(f"its dispatcher has not turned for {STUCK_S:.0f} s")
                return
            try:
                revision = await self._write(self._own.revision)
            except Conflict:
                await self._look_at_own()
            else:
                self._renewed(revision, sent_at)
        except Unavailable as error:
            logger.debug("node %s could not renew its lease: %s", self._node, error)

    async def _look_at_own(self) -> None:
        """A renewal was refused: an earlier one that seemed to fail was stored, or the lease was ended."""
        record = await self._store.read(lease_key(self._node))
        self._judge.answered()
        if record is None:
            self._own.adopt(MISSING)  # the store has lost all that it had
        elif (found := LeaseRecord.unpack(record.value)) == self._record:
            self._own.adopt(record.revision)
        else:
            self._lost(found.ended or "another process took the name")

    def _lost(self, why: str) -> None:
        if not self._own.is_lost:
            self._own.lost()
            self._holder.lease_lost(why)

    def _take_again(self) -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._rejoin())
        task.add_done_callback(self._has_rejoined)
        self._rejoining.append(task)

    def _has_rejoined(self, task: asyncio.Task[None]) -> None:
        self._rejoining.remove(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._holder.lease_regained()
        else:
            self._holder.lease_refused(error)

    async def _rejoin(self) -> None:
        self._record = LeaseRecord(self._record.incarnation + 1)
        while True:
            try:
                await self._acquire()
            except StoreError as error:
                logger.warning("node %s cannot take a new lease yet: %s", self._node, error)
                await asyncio.sleep(RENEW_S)
            else:
                return

    async def _give_up(self, why: str) -> None:
        ended = LeaseRecord(self._record.incarnation, why).pack()
        with suppress(Conflict):
            await self._store.compare_and_set(lease_key(self._node), ended, self._own.revision)
        self._lost(why)

    async def _hand_in(self) -> None:
        """End the own lease: nobody has to wait for it."""
        ended = LeaseRecord(self._record.incarnation, SAID_GOODBYE).pack()
        with suppress(CoveyError, TimeoutError):
            async with asyncio.timeout(END_S):
                while self._own.revision and not self._own.is_lost:
                    try:
                        await self._store.compare_and_set(lease_key(self._node), ended, self._own.revision)
                    except Conflict:
                        await self._look_at_own()  # a renewal was on its way
                    else:
                        return

    def _renew_now(self) -> None:
        assert self._due is not None
        self._due.set()

    def _beat(self) -> None:
        self._unanswered = 0
