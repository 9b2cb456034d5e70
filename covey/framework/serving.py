"""Whether this node may serve its placed agents now: another one may own them once its lease is not valid."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["Serving"]


class Serving:
    """Keeps the turns of placed agents back while the node may not serve them. From any thread.

    Nothing has to happen for a pause to begin: executors compare `until` with the time before each turn, so
    that a process that was stopped for a while does not serve for a moment when it goes on.
    """

    def __init__(self) -> None:
        self.until = float("inf")
        """On the monotonic clock; a node without a lease may always serve."""
        self._held: deque[Cell] = deque()

    def holds(self, turning: Any, now: float) -> bool:
        """Keep it back if it is a placed agent's turn and the node may not serve; the turn comes later."""
        if now < self.until or not getattr(turning, "placed", False):
            return False
        self._held.append(turning)
        return True

    def trust(self, until: float) -> None:
        """The lease is valid until then; what was held back goes on if that is to come."""
        self.until = until
        # One that is held back just now waits for the next renewal: that is a tenth of a second.
        for _ in range(len(self._held)):
            try:
                cell = self._held.popleft()
            except IndexError:  # another thread was faster
                return
            cell.executor.schedule(cell)

    @property
    def is_paused(self) -> bool:
        """Whether placed agents may take no turns now."""
        return monotonic() >= self.until

    def pause(self) -> None:
        """Serve no placed agent from now on."""
        self.until = float("-inf")
