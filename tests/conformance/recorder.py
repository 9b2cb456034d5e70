"""A receiver that keeps what it gets, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from covey.framework.transport import OutsideRequest

__all__ = ["Publication", "Recorder"]

Answer = Callable[[OutsideRequest], tuple[bytes, Mapping[str, str]]]


class Publication(NamedTuple):
    """What `on_publication` was called with."""

    pattern: str
    group: str
    topic: str
    data: bytes


class Recorder:
    """Implements `Receiver`; use it on one loop.

    Args:
        answer: makes the data and the headers with which each request is answered at once.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.frames: list[bytes] = []
        self.frame_sources: list[str] = []
        self.beacons: list[bytes] = []
        self.beacon_sources: list[str] = []
        self.publications: list[Publication] = []
        self.requests: list[OutsideRequest] = []
        self.undelivered: list[tuple[str, int]] = []
        self.links: list[tuple[bool, str]] = []
        self.problems: list[Exception] = []
        self._answer = answer
        self._news = asyncio.Event()

    def on_frame(self, source: str, frame: bytes) -> None:
        self.frames.append(frame)
        self.frame_sources.append(source)
        self._news.set()

    def on_beacon(self, source: str, beacon: bytes) -> None:
        self.beacons.append(beacon)
        self.beacon_sources.append(source)
        self._news.set()

    def on_publication(self, pattern: str, group: str, topic: str, data: bytes) -> None:
        self.publications.append(Publication(pattern, group, topic, data))
        self._news.set()

    def on_request(self, request: OutsideRequest) -> None:
        self.requests.append(request)
        if self._answer is not None and request.respond is not None:
            request.respond(*self._answer(request))
        self._news.set()

    def on_undelivered(self, node_id: str, number: int) -> None:
        self.undelivered.append((node_id, number))
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
                f"{len(self.frames)} frames, {len(self.beacons)} beacons, "
                f"{len(self.publications)} publications, {len(self.requests)} requests, "
                f"undelivered {self.undelivered[:10]}, links {self.links}, problems {self.problems}"
            ) from None
