"""The hot path's own instruments: a histogram of handling times per kind, and a ring of recent messages.

Fed with one message in 16 and every slow one; own buckets and tuples, because an OpenTelemetry histogram
costs 6 us a record.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["BOUNDS_S", "RecentMessage", "RecentMessages"]

BOUNDS_S = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Upper bounds of the buckets, seconds; a last one takes what is longer."""

KEPT = 1_024


class RecentMessage(NamedTuple):
    """One handled message, as the ring keeps it."""

    kind: str
    message_type: type
    took_s: float
    slow: bool


class RecentMessages:
    """Written by the threads that handle messages; a reader copies. Bounded."""

    def __init__(self, kept: int = KEPT) -> None:
        self._ring: deque[RecentMessage] = deque(maxlen=kept)
        self._buckets: dict[str, list[int]] = {}

    def add(self, kind: str, message_type: type, took_s: float, *, slow: bool) -> None:
        """Take note of a handled message."""
        buckets = self._buckets.get(kind)
        if buckets is None:
            buckets = self._buckets.setdefault(kind, [0] * (len(BOUNDS_S) + 1))
        buckets[bisect_left(BOUNDS_S, took_s)] += 1
        self._ring.append(RecentMessage(kind, message_type, took_s, slow))

    def histogram(self, kind: str) -> tuple[int, ...]:
        """Sampled messages of a kind by bucket of `BOUNDS_S`; slow ones are all in it."""
        return tuple(self._buckets.get(kind, ()))

    def __iter__(self) -> Iterator[RecentMessage]:
        return iter(tuple(self._ring))

    def __len__(self) -> int:
        return len(self._ring)
