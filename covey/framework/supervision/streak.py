"""How many restarts in a row one agent had, for the backoff."""

from __future__ import annotations

from covey.framework.supervision.restart import Backoff, delay_s

__all__ = ["Streak"]


class Streak:
    """Counts the restarts of one agent since its last quiet time."""

    __slots__ = ("_count", "_last")

    def __init__(self) -> None:
        self._count = 0
        self._last = float("-inf")

    def next(self, now: float, backoff: Backoff | None) -> float:
        """Seconds to wait before the restart that is due now."""
        if backoff is not None and now - self._last >= backoff.reset_s:
            self._count = 0
        self._count += 1
        self._last = now
        return delay_s(backoff, self._count)
