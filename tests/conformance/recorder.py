"""A receiver that keeps what it gets, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Recorder:
    """Implements `Receiver`; use it on one loop."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.beacons: list[bytes] = []
        self.links: list[tuple[bool, str]] = []
        self.problems: list[Exception] = []
        self._news = asyncio.Event()

    def on_frame(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._news.set()

    def on_beacon(self, beacon: bytes) -> None:
        self.beacons.append(beacon)
        self._news.set()

    def on_link(self, up: bool, detail: str) -> None:
        self.links.append((up, detail))
        self._news.set()

    def on_problem(self, error: Exception) -> None:
        self.problems.append(error)
        self._news.set()

    async def until(self, condition: Callable[[Recorder], object], timeout_s: float = 15.0) -> None:
        """Wait until what was received meets the condition; fail with what there is if it does not."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(self):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"{len(self.frames)} frames, {len(self.beacons)} beacons, links {self.links}, "
                f"problems {self.problems}"
            ) from None
