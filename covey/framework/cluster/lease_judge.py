"""The leases of the other nodes: what the watch shows of them, and the end of those that ran out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol

from covey.framework.cluster.lease import RENEW_S, Expired, Leases
from covey.framework.cluster.lease_record import LeaseRecord, lease_key, node_of_key
from covey.framework.cluster.store import ClusterStore, Conflict, Record, Unavailable
from covey.framework.errors import CoveyError

__all__ = ["Bench", "LeaseJudge"]

logger = logging.getLogger("covey.node")

LOOK_S = 0.02
"""The shortest time between two looks at a lease that ran out, and could not be ended."""
LATE_S = 2.5 * RENEW_S


class Bench(Protocol):
    """What a judge calls, in its loop. Nothing of it raises or blocks."""

    def lease_ended(self, node: str, why: str) -> None:
        """A node's lease is over: it serves no more."""
        ...

    def lease_late(self, node: str) -> None:
        """A node's lease should have been renewed: find out whether its connection is gone."""
        ...


class LeaseJudge:
    """Watches all leases but that of its own node. Questions may come from any thread."""

    def __init__(
        self, own_name: str, store: ClusterStore, bench: Bench, may_judge: Callable[[float], bool]
    ) -> None:
        self._own_name = own_name
        self._store = store
        self._bench = bench
        self._may_judge = may_judge
        self._leases = Leases()
        self._held: dict[str, int] = {}
        """Whose lease is held, with the incarnation."""
        self._late: set[str] = set()
        """Whose is late, and the bench was told."""
        self._over: dict[str, int] = {}
        """Nodes whose lease was ended, and that have taken no new one: the revision of its end."""
        self._look = asyncio.Event()
        self.on_store_back: Callable[[], None] = lambda: None
        """Called when the store shows all changes again."""

    def knows(self, node: str) -> bool:
        """Whether a node has a lease by which it is judged."""
        return node in self._held

    def is_over(self, node: str) -> bool:
        """Whether a node's lease was ended and it has no new one."""
        return node in self._over

    def revision_of(self, node: str) -> int:
        """Where a node's lease stood when it was seen last."""
        return self._leases.revision_of(node)

    # -- what is seen ------------------------------------------------------------------------------

    def on_record(self, record: Record) -> None:
        """See `Watcher`."""
        try:
            node = node_of_key(record.key)
            if node is None or node == self._own_name:
                return
            lease = LeaseRecord.unpack(record.value)
        except CoveyError as error:
            logger.warning("node %s: the record %s is no lease: %s", self._own_name, record.key, error)
            return
        if record.revision <= self._over.get(node, 0):
            return  # older than the end that is known
        if lease.ended:
            self._is_ended(node, lease.ended, record.revision)
            return
        if self._held.get(node, lease.incarnation) != lease.incarnation:
            self._bench.lease_ended(node, "it has taken a new lease")  # its end was not seen
        self._held[node] = lease.incarnation
        self._over.pop(node, None)
        if self._leases.saw(node, record.revision, monotonic()):
            self._late.discard(node)

    def on_deleted(self, key: str, _revision: int) -> None:
        """See `Watcher`."""
        node = node_of_key(key)
        if node is not None:  # the store has lost it: until it is written anew the node's beacons count
            self._forget(node)
            self._over.pop(node, None)

    def on_watching(self, watching: bool) -> None:
        """See `Watcher`."""
        self._leases.watching(watching, monotonic())
        if watching:
            self.on_store_back()

    def answered(self) -> None:
        """The store has answered this node: it decides."""
        self._leases.answered(monotonic())

    def hint(self, node: str, revision: int) -> None:
        """The server says that the connection by which a node renewed its lease to this revision is gone."""
        if self.revision_of(node) == revision:  # else it was renewed since, perhaps over another connection
            self._leases.hint(node)
            self._look.set()

    def _is_ended(self, node: str, why: str, revision: int) -> None:
        if revision <= self._over.get(node, 0):
            return
        was_held = self._forget(node)
        self._over[node] = revision
        if was_held:
            self._bench.lease_ended(node, why)

    def _forget(self, node: str) -> bool:
        self._leases.forget(node)
        self._late.discard(node)
        return self._held.pop(node, None) is not None

    # -- judging -----------------------------------------------------------------------------------

    async def judge(self) -> None:
        """End the leases that ran out, until it is cancelled."""
        while True:
            now = monotonic()
            if self._may_judge(now):
                for expired in self._leases.expired(now):
                    await self._end(expired)
                self._tell_late(now)
            self._look.clear()
            wait_s = min(RENEW_S, max(LOOK_S, self._leases.due_at() - monotonic()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), wait_s)

    def _tell_late(self, now: float) -> None:
        for node in self._leases.standing(now, LATE_S):
            if node not in self._late:
                self._late.add(node)
                self._bench.lease_late(node)

    async def _end(self, expired: Expired) -> None:
        """Only if the lease still stands where it stood."""
        ended = LeaseRecord(self._held.get(expired.node, 0), expired.why).pack()
        try:
            revision = await self._store.compare_and_set(lease_key(expired.node), ended, expired.revision)
        except (Conflict, Unavailable):
            return  # it was renewed, or another node was faster: the watch will tell
        self.answered()
        if self.revision_of(expired.node) <= revision:  # else it has a new one, and the watch was faster
            self._is_ended(expired.node, expired.why, revision)
