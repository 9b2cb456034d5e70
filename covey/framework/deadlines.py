"""Deadlines of many asks with one timer: a wheel of 5 ms buckets.

A timer per ask would cost more than the ask. Here an ask joins the bucket of its tick and leaves it when
it is answered; one timer waits for the earliest bucket. Expiry is at most 5 ms late, plus the loop's lag.
"""

from __future__ import annotations

import heapq
import math
import sys
import threading
from collections.abc import Callable
from typing import Protocol

__all__ = ["TICK_S", "Bucket", "DeadlineWheel", "Expiring"]

TICK_S = 0.005
_TICKS_PER_S = 200.0
LARGE_BYTES = 8_192
EMPTY_KEPT = 2_048
"""Buckets whose members have all left are dropped when there are so many, and as many as are in use."""


class Expiring(Protocol):
    """What waits in a wheel."""

    def expire(self) -> object:
        """Its deadline has passed."""
        ...


class Bucket(set[Expiring]):
    """Who expires in one tick. `discard` it to wait no longer; tell `emptied()` when it is empty then."""

    __slots__ = ("_retire", "expired", "retired", "tick")

    def __init__(self, tick: int, retire: Callable[[Bucket], None]) -> None:
        super().__init__()
        self.tick = tick
        self._retire = retire
        self.expired = False
        """Set before its members are expired: who joins later expires by itself."""
        self.retired = False
        """Set once it is out of use: who joins later joins the one in its place."""

    def emptied(self) -> None:
        """Give its memory back: a set keeps the table of its best days until its tick has come."""
        if self.__sizeof__() > LARGE_BYTES:
            self._retire(self)


class DeadlineWheel:
    """Who expires when; thread-safe, with time as an argument.

    The owner of the timer asks `next_s` for the time of the earliest bucket and calls `expire_until`.
    """

    __slots__ = ("_buckets", "_heap", "_lock", "_most", "next_s")

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}
        self._heap: list[int] = []
        self._most = EMPTY_KEPT
        """How many buckets there may be until the empty ones are dropped."""
        # Re-entrant: a garbage collection inside may end an object that joins or leaves a bucket.
        self._lock = threading.RLock()
        self.next_s = math.inf
        """When the earliest bucket is due; infinity when nothing waits."""

    def add(self, item: Expiring, deadline: float) -> Bucket:
        """Let the item wait for its deadline; returns its bucket, which it leaves by `discard`."""
        tick = int(deadline * _TICKS_PER_S) + 1
        # Without the lock: asks of one tick are many, and joining a set is atomic.
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._open(tick)
        bucket.add(item)
        if bucket.expired:
            item.expire()  # the bucket was emptied between our look and our joining
        elif bucket.retired:
            return self.add(item, deadline)
        return bucket

    def _open(self, tick: int) -> Bucket:
        with self._lock:
            bucket = self._buckets.get(tick)
            if bucket is None:
                if len(self._buckets) >= self._most:
                    self._sweep()
                bucket = self._buckets[tick] = Bucket(tick, self._retire)
                heapq.heappush(self._heap, tick)
                self.next_s = self._heap[0] * TICK_S
            return bucket

    def _retire(self, bucket: Bucket) -> None:
        """Put a fresh bucket in the place of an empty one that takes much memory."""
        with self._lock:
            if self._buckets.get(bucket.tick) is not bucket:
                return
            fresh = self._buckets[bucket.tick] = Bucket(bucket.tick, self._retire)
            bucket.retired = True
            fresh.update(bucket)  # who joined just now

    def _sweep(self) -> None:
        """Drop the empty buckets: those of an hour's deadline would stay for an hour.

        Every so many buckets that were opened: it costs next to nothing for each, and nothing where deadlines
        are near. The owner's timer may come too early then, and finds nothing due.
        """
        self._most = sys.maxsize  # for whom a garbage collection lets join meanwhile
        for bucket in list(self._buckets.values()):
            if bucket or self._buckets.get(bucket.tick) is not bucket:
                continue
            del self._buckets[bucket.tick]
            bucket.retired = True
            if bucket:  # who joined just now
                self._buckets.setdefault(bucket.tick, Bucket(bucket.tick, self._retire)).update(bucket)
        self._heap[:] = self._buckets  # in place: nobody who joins meanwhile is left out
        heapq.heapify(self._heap)
        self._most = max(EMPTY_KEPT, 2 * len(self._buckets))

    def expire_until(self, now: float) -> int:
        """Expire all whose tick has come; returns how many there were."""
        due: list[Expiring] = []
        with self._lock:
            while self._heap and self._heap[0] * TICK_S <= now:
                due.extend(_emptied(self._buckets.pop(heapq.heappop(self._heap))))
            self.next_s = self._heap[0] * TICK_S if self._heap else math.inf
        for item in due:
            item.expire()
        return len(due)

    def drain(self) -> list[Expiring]:
        """Take out all that wait: their owner ends and nobody will expire them."""
        with self._lock:
            left = [item for bucket in self._buckets.values() for item in _emptied(bucket)]
            self._buckets.clear()
            self._heap.clear()
            self.next_s = math.inf
        return left

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._buckets.values()))


def _emptied(bucket: Bucket) -> set[Expiring]:
    bucket.expired = True
    return bucket.copy()
