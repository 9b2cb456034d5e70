"""Time as a dependency of what is told to people: observability reads it through a `Clock`.

The runtime itself does not: its pure rules (restart windows, ticks, the deadline wheel) take `now` as an
argument, and the code around them reads `time.monotonic`, on which the event loop runs as well.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where spans and metrics get their times from."""

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
