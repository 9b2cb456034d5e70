"""What Pykka's refs and proxies touch of an agent: its inbox and its stop flag."""

from __future__ import annotations

import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from covey.framework.backpressure import send_or_wait
from covey.framework.envelope import Envelope

if TYPE_CHECKING:
    import pykka

    from covey.framework.address import Address
    from covey.framework.cell import Cell

__all__ = ["FuturePort", "Inbox", "StopFlag"]

PUT_TIMEOUT_S = 5.0


class FuturePort:
    """A reply port that resolves a Pykka future."""

    __slots__ = ("_claim", "_future", "chain", "deadline")

    def __init__(self, future: pykka.Future[Any]) -> None:
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
        self._future.set_exception((type(error), error, error.__traceback__))
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
        reply_to = envelope.reply_to
        message = envelope.message
        bare = reply_to is None and not isinstance(message, tuple | Envelope)
        item = message if bare else Envelope(message, None if reply_to is None else FuturePort(reply_to))
        cell = self._cell
        if cell.waiters or not cell.offer(item):
            send_or_wait(cell, item, PUT_TIMEOUT_S, cell.wait_for_room)

    def get(self) -> Any:
        """Refused: only the agent's own executor takes messages."""
        raise NotImplementedError("an agent's messages are taken by its dispatcher only")

    def empty(self) -> bool:
        """Whether no message waits."""
        return not self._cell.mail


class StopFlag:
    """`threading.Event`'s interface over a cell's state: an Event per agent would cost 600 bytes."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def is_set(self) -> bool:
        """Whether the agent has stopped."""
        return self._cell.node.is_stopped(self._cell)

    def set(self) -> None:
        """Ask the agent to stop; kept for Pykka's interface."""
        self._cell.node.request_stop(self._cell)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has stopped, at most `timeout` seconds (default: an hour)."""
        limit = min(3600.0 if timeout is None else timeout, sys.maxsize)
        end = monotonic() + limit
        gate = threading.Event()
        while not self.is_set():
            left = end - monotonic()
            if left <= 0:
                return False
            gate.wait(min(left, 0.01))
        return True
