"""The event loop of a node on virtual time: it never waits for a timer, the clock comes to it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.dispatch_loop import DispatchLoop, LoopSelector
from covey.framework.leaving import Leaving
from covey.framework.node import Node

if TYPE_CHECKING:
    from covey.testing.manual_clock import ManualClock

__all__ = ["ManualLoop"]

_PASSAGES = (Node._join.__code__, Leaving._leave.__code__)
"""Whoever started these waits for them in the thread that would move the clock."""


class _ManualSelector(LoopSelector):
    """Waits for I/O and wake-ups only, however near the next timer is."""

    loop: ManualLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        self.loop.rest()
        try:
            return super().select(None)
        finally:
            self.loop.rise()


class ManualLoop(DispatchLoop):
    """Runs on a `ManualClock`; tells it when there is nothing to run, and when the next timer is due.

    `resting`, `next_s` and `outside` are read and written under the clock's lock only.
    """

    # asyncio's own: what is ready to run, and the heap of timers. Nothing public tells of either.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.resting = False
        """Whether it waits in its selector, and was not told that a timer is due."""
        self.next_s = math.inf
        """When its next timer is due; valid while it rests."""
        self.outside = 0
        """Functions that it runs in other threads: `asyncio.to_thread`."""
        selector = _ManualSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._clock.monotonic()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing runs on it or is ready to."""
        return not self.is_running() or (self.resting and not self._ready and not self.outside)

    def rest(self) -> None:
        """It has run all that was ready."""
        with self._clock.changed:
            # Not now + timeout: the sum may round to another number than the timer's own.
            self.next_s = self._scheduled[0].when() if self._scheduled else math.inf
            self.resting = True
            self._clock.rested()

    def rise(self) -> None:
        """Something wakes it."""
        with self._clock.changed:
            self.resting = False

    def serve_timers(self) -> None:
        """Time has reached its next timer; called under the clock's lock."""
        self.resting = False
        self.call_soon_threadsafe(_nothing)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        if getattr(coro, "cr_code", None) in _PASSAGES:
            self._clock.pass_until(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._count_outside(1)
        future.add_done_callback(lambda _: self._count_outside(-1))
        return future

    def _count_outside(self, change: int) -> None:
        with self._clock.changed:
            self.outside += change

    def close(self) -> None:
        super().close()
        self._clock.forget(self)


def _nothing() -> None:
    """Wakes the loop, which then looks at its timers."""
