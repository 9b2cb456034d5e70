"""What lives in this process: objects by type, memory, blocks. Taken when all is quiet."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import linecache
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

import psutil

__all__ = ["Census", "take_census"]

COUNTED_MODULES = ("covey", "nats", "asyncio", "_asyncio", "_contextvars", "pykka", "tests.soak")
NOT_COUNTED = ("Census", "Bucket")
"""The books themselves; and the deadline wheel's buckets, one for each tick of the last seconds in which
there was an ask: they tell the machine's speed, and their memory counts as resident."""


@dataclass(frozen=True, slots=True)
class Census:
    """One look at the process."""

    at_s: float
    """Seconds since the first look."""
    sent: int
    """Messages sent until then."""
    asked: int
    """Asks made until then."""
    rss_bytes: int
    blocks: int
    """Pieces of memory that Python's allocator has given out."""
    threads: int
    objects: Counter[str] = field(default_factory=Counter)
    """How many there are of each type of the runtime, of asyncio, and of the soak's own."""


def take_census(at_s: float, sent: int, asked: int) -> Census:
    """Count what is alive after a full garbage collection."""
    linecache.clearcache()  # the source lines of whatever files were in a stack that was reported
    gc.collect()
    _give_back_what_is_free()
    blocks = sys.getallocatedblocks()
    rss_bytes = psutil.Process().memory_info().rss
    objects = Counter(type(thing).__qualname__ for thing in gc.get_objects() if _is_counted(thing))
    return Census(at_s, sent, asked, rss_bytes, blocks, threading.active_count(), objects)


def _give_back_what_is_free() -> None:
    """Else resident memory tells how much the fullest round took, by chance of where its last blocks lay."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _is_counted(thing: object) -> bool:
    kind = type(thing)
    if not str(kind.__module__).startswith(COUNTED_MODULES) or kind.__qualname__ in NOT_COUNTED:
        return False
    # asyncio keeps up to a hundred cancelled timers, or as many as there are others.
    return not (isinstance(thing, asyncio.TimerHandle) and thing.cancelled())
