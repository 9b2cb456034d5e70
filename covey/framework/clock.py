"""Time as a dependency: pure rules take `now`, everything else takes a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where a node reads time."""

    def monotonic(self) -> float:
        """Seconds that never run backwards: deadlines, windows, waits."""
        ...

    def time(self) -> float:
        """Seconds since the epoch: only for what people read."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
