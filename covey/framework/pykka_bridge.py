"""What Pykka's refs and proxies touch of an agent: its ref, its inbox, its stop flag, its reports."""

from __future__ import annotations

import asyncio
import logging
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka
from pykka.messages import _ActorStop

from covey.framework.backpressure import send_or_wait
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError, BlockingCallError
from covey.framework.fenced import check_acting
from covey.framework.pykka_future import AgentFuture, derived
from covey.framework.pykka_registry import wait_until_left
from covey.framework.reply import LOOP_THREADS

if TYPE_CHECKING:
    import threading

    from covey.framework.address import Address
    from covey.framework.cell import Cell

__all__ = ["FuturePort", "Inbox", "InstanceRef", "StopFlag", "ends_all", "report_failure"]

logger = logging.getLogger("pykka")

A = TypeVar("A", bound=pykka.Actor)

PUT_TIMEOUT_S = 5.0


class InstanceRef(pykka.ActorRef[A]):
    """Pykka's ref to an agent; what its `stop(block=False)` returns can be awaited without a thread."""

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """As `pykka.ActorRef.stop`."""
        asked = self.ask(_ActorStop(), block=False)

        def was_alive(timeout: float | None) -> bool:
            try:
                asked.get(timeout=timeout)
            except pykka.ActorDeadError:
                return False
            return True

        stopped: AgentFuture[bool] = AgentFuture()
        stopped.set_get_hook(was_alive)
        derived(stopped, asked)
        return stopped.get(timeout=timeout) if block else stopped


class FuturePort:
    """A reply port that resolves a Pykka future."""

    __slots__ = ("_cell", "_claim", "_future", "chain", "deadline")

    def __init__(self, cell: Cell, future: pykka.Future[Any]) -> None:
        self._cell = cell
        self._future = future
        self._claim = [True]  # popped by whoever resolves: list.pop is atomic
        self.deadline: float | None = None
        self.chain: tuple[Address, ...] = ()

    def done(self) -> bool:
        return not self._claim

    def resolve(self, value: Any = None) -> bool:
        if not self._take():
            return False
        self._future.set(value)
        return True

    def fail(self, error: BaseException) -> bool:
        if not self._take():
            return False
        info = (type(error), error, error.__traceback__)
        if not (isinstance(error, AgentDeadError) and error.target == str(self._cell.address)):
            logger.info("Exception returned from %s to caller:", self._cell.actor_ref, exc_info=info)
        self._future.set_exception(info)
        return True

    def expire(self) -> None:
        """Pykka's asks have no deadline."""

    def _take(self) -> bool:
        try:
            return self._claim.pop()
        except IndexError:
            return False


class Inbox:
    """An agent's mailbox with the interface that Pykka gives its inboxes, for putting only."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def put(self, envelope: Any, /) -> None:
        """Put one of Pykka's envelopes; waits for room as `AgentRef.tell` does."""
        message, reply_to, cell = envelope.message, envelope.reply_to, self._cell
        if cell.node.fencing.has_left:
            check_acting(cell.node, str(cell.address))
        if type(reply_to) is AgentFuture:
            reply_to.ask_of(cell)
        port = None if reply_to is None else FuturePort(cell, reply_to)
        if type(message) is _ActorStop:
            cell.put_stop(port)
            return
        bare = port is None and not isinstance(message, tuple | Envelope)
        item = message if bare else Envelope(message, port)
        if cell.waiters or not cell.offer(item):
            send_or_wait(cell, item, PUT_TIMEOUT_S, cell.wait_for_room)

    def get(self) -> Any:
        """Refused: only the agent's own executor takes messages."""
        raise NotImplementedError("an agent's messages are taken by its dispatcher only")

    def empty(self) -> bool:
        """Whether no message waits."""
        return not self._cell.mail


class StopFlag:
    """`threading.Event`'s interface over a cell's state: an Event per agent would cost 600 bytes.

    As in Pykka it is set before the last hook runs, `on_stop` or `on_failure`. That of a supervised agent is
    set once no other instance follows at its address.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def is_set(self) -> bool:
        """Whether the agent handles messages no more."""
        return self._cell.left

    def set(self) -> None:
        """Ask the agent to stop, ahead of its mail."""
        self._cell.node.request_stop(self._cell)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set, at most `timeout` seconds; returns whether it is.

        Raises:
            BlockingCallError: called on a node's own loop thread.
        """
        if self.is_set():
            return True
        if get_ident() in LOOP_THREADS:
            raise BlockingCallError(
                f"actor_stopped.wait() on a node's own thread would stop every agent on it, "
                f"{self._cell.address} included: await actor_ref.stop(block=False) in an async handler"
            )
        return wait_until_left(self._cell, cast("threading.Event", self), timeout)


def ends_all(cell: Cell, error: BaseException) -> bool:
    """Whether Pykka stops all actors for this error: `SystemExit` and its like in one that it started."""
    if not cell.registered or isinstance(error, (Exception, asyncio.CancelledError)):
        return False
    logger.debug("%r in %s. Stopping all actors.", error, cell.actor_ref)
    return True


def report_failure(cell: Cell, error: BaseException, traceback: TracebackType | None) -> bool:
    """Log an error as Pykka does; False, and nothing is logged, if Pykka did not start the agent."""
    if not cell.registered:
        return False
    logger.error("Unhandled exception in %s:", cell.actor_ref, exc_info=(type(error), error, traceback))
    return True
