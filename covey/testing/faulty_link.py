"""One direction between two nodes: lets each frame meet its fate, and keeps the order of the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random

from covey.testing.fault import Kind, draw
from covey.testing.faults import Faults

__all__ = ["FaultyLink"]


class FaultyLink:
    """Takes frames in the order in which they were sent; lives on the receiving node's loop."""

    def __init__(self, source: str, target: str, faults: Faults, deliver: Callable[[bytes], None]) -> None:
        self._source = source
        self._target = target
        self._faults = faults
        self._deliver = deliver
        self._random = Random(f"{faults.seed}:{source}>{target}")
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._held: deque[tuple[float, bytes]] = deque()
        """Frames in order with the times when they may arrive, which never decrease."""
        self._timers: set[asyncio.TimerHandle] = set()

    def take(self, frame: bytes) -> None:
        """A frame was sent: drop it, hold it back, or deliver it now."""
        fate = draw(self._random, self._faults.odds())
        self._number += 1
        if self._faults.is_cut(self._source, self._target):
            self._note("cut off")
            return
        if fate.is_dropped:
            self._note("dropped")
            return
        if fate.is_duplicated:
            self._note("duplicated")
        for _ in range(2 if fate.is_duplicated else 1):
            if fate.is_reordered:
                self._at(self._loop.time() + fate.delay_s, lambda: self._deliver(frame))
            else:
                self._in_order(frame, fate.delay_s)
        if fate.delay_s:
            self._note("reordered" if fate.is_reordered else "delayed", fate.delay_s)

    def close(self) -> None:
        """Lose what is held."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._held.clear()

    def _in_order(self, frame: bytes, delay_s: float) -> None:
        now = self._loop.time()
        due = max(now + delay_s, self._held[-1][0] if self._held else now)
        if due <= now and not self._held:
            self._deliver(frame)
            return
        self._held.append((due, frame))
        if len(self._held) == 1:
            self._at(due, self._release)

    def _release(self) -> None:
        # The first has waited; a timer may fire a hair early, which must not strand it.
        self._deliver(self._held.popleft()[1])
        while self._held and self._held[0][0] <= self._loop.time():
            self._deliver(self._held.popleft()[1])
        if self._held:
            self._at(self._held[0][0], self._release)

    def _at(self, when: float, function: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            function()

        timer = self._loop.call_at(when, run)
        self._timers.add(timer)

    def _note(self, kind: Kind, delay_s: float = 0.0) -> None:
        self._faults.note(kind, self._source, self._target, self._number, delay_s, at_s=self._loop.time())
