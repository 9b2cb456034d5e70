"""Time as a dependency: a node's deadlines, timers and waits run on its `Clock`.

The pure rules (restart windows, ticks, the deadline wheel) take `now` as an argument; the code around
them asks the node's clock. `covey.testing` has one that a test moves by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from covey.framework.dispatch_loop import DispatchLoop

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where a node, its event loop and its spans get their times from."""

    def monotonic(self) -> float:
        """Seconds that never run backwards: deadlines, windows, waits."""
        ...

    def time(self) -> float:
        """Seconds since the epoch: only for what people read."""
        ...

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop whose `time()` and timers run on this clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ("new_event_loop",)

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    def __init__(self, new_event_loop: Callable[[], asyncio.AbstractEventLoop] = DispatchLoop) -> None:
        self.new_event_loop = new_event_loop
