"""What waits to be sent to one node: bounded in bytes, with whoever waits for room in it, in order."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from covey.framework.cluster.packing import Outgoing

__all__ = ["OUTBOUND_BYTES", "Outbox"]

logger = logging.getLogger("covey.node")

OUTBOUND_BYTES = 8 * 1024 * 1024
"""With this much waiting nothing more is taken; the last envelope may stick out of it."""


class Outbox:
    """`put` from any thread, the rest on the loop thread. Nobody overtakes who waits for room."""

    def __init__(self) -> None:
        self.waiters: deque[Callable[[], None]] = deque()
        self.items: deque[Outgoing] = deque()
        self._lock = threading.RLock()
        self._bytes = 0
        self._admitting = False
        self.closed = False

    def put(self, item: Outgoing, *, forced: bool = False) -> bool | None:
        """Take an envelope; False when there is no room for it, None when this is closed."""
        with self._lock:
            if self.closed:
                return None
            if not forced and self._bytes >= OUTBOUND_BYTES:
                return False
            self.items.append(item)
            self._bytes += len(item.data)
        return True

    @property
    def has_room(self) -> bool:
        """Whether `put` would take an envelope, or would tell that this is closed."""
        return self.closed or self._bytes < OUTBOUND_BYTES

    @property
    def is_waited_for(self) -> bool:
        """Whether others wait for room: who comes now has to wait behind them."""
        # In this order: `admit` is marked before its first waiter leaves the queue.
        return bool(self.waiters) or self._admitting

    def took(self, size_bytes: int) -> None:
        """So much of `items` was sent or dropped."""
        with self._lock:
            self._bytes -= size_bytes

    def admit(self) -> None:
        """Call those who wait while there is room, each at most once."""
        if not self.waiters:
            return
        self._admitting = True
        try:
            for _ in range(len(self.waiters)):
                if not self.has_room:
                    return
                self._wake()
        finally:
            self._admitting = False

    def _wake(self) -> None:
        try:
            waiter = self.waiters.popleft()
        except IndexError:
            return  # its time was up just now
        try:
            waiter()
        except Exception:  # one sender's trouble is not that of the next
            logger.exception("a sender that waited for room could not go on")

    def close(self) -> list[Outgoing]:
        """Take nothing any more, and return what was not sent yet."""
        with self._lock:
            self.closed = True
            left = list(self.items)
            self.items.clear()
            self._bytes = 0
        return left
