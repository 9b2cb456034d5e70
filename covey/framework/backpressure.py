"""Waiting for room in something bounded: a mailbox, or the queue towards another node."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from time import monotonic
from typing import Any, Protocol

from covey.framework.current import CURRENT
from covey.framework.errors import CoveyError
from covey.framework.reply import LOOP_THREADS

__all__ = ["DONE", "Bounded", "Done", "PendingTell", "send_or_wait"]


class Bounded(Protocol):
    """Takes items up to a bound; calls waiters when there may be room again."""

    waiters: deque[Callable[[], None]]

    def offer(self, item: Any) -> bool:
        """Take the item, or return False when there is no room."""
        ...

    def refuse(self, item: Any, error: CoveyError) -> None:
        """Nobody will offer this item again: make it a dead letter."""
        ...

    def full_error(self) -> CoveyError:
        """The error that names this thing and its bound."""
        ...


class Done:
    """The awaitable that `tell` normally returns: finished, shared, free of cost."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def __repr__(self) -> str:
        return "<told>"


DONE = Done()


class PendingTell:
    """A tell that found no room: `await` it to wait for room, at most until the deadline.

    If it is never awaited, the message becomes a dead letter: queueing it without a bound instead would
    only hide that the sender is too fast.
    """

    __slots__ = ("_bounded", "_deadline", "_item", "_settled")

    def __init__(self, bounded: Bounded, item: Any, deadline: float) -> None:
        self._bounded = bounded
        self._item = item
        self._deadline = deadline
        self._settled = False

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._settled:
            return
        self._settled = True
        loop = asyncio.get_running_loop()
        bounded = self._bounded
        try:
            async with asyncio.timeout(max(0.0, self._deadline - monotonic())):
                while True:
                    room = asyncio.Event()
                    bounded.waiters.append(lambda event=room: _notify(loop, event))  # type: ignore[misc]
                    # Offered after joining the waiters: room that came in between is not missed.
                    if bounded.offer(self._item):
                        return
                    await room.wait()
        except TimeoutError:
            error = bounded.full_error()
            bounded.refuse(self._item, error)
            raise error from None
        except asyncio.CancelledError:
            bounded.refuse(self._item, bounded.full_error())
            raise

    def __del__(self) -> None:
        if not self._settled:
            self._settled = True
            self._bounded.refuse(self._item, self._bounded.full_error())


def _notify(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        return  # the waiting loop was closed


def send_or_wait(bounded: Bounded, item: Any, timeout_s: float) -> Done | PendingTell:
    """What a sender does that found no room: block its thread, wait at `await`, or fail.

    Raises:
        CoveyError: `full_error()`: in a plain handler on a node's loop at once, in a thread after the
            time. The item is then a dead letter.
    """
    current = CURRENT.get()
    deadline = monotonic() + timeout_s
    if current is not None and current.deadline is not None:
        deadline = min(deadline, current.deadline)
    on_loop_thread = threading.get_ident() in LOOP_THREADS
    if on_loop_thread and current is not None and not current.is_async:
        error = bounded.full_error()
        bounded.refuse(item, error)
        raise error
    if on_loop_thread or asyncio._get_running_loop() is not None:
        return PendingTell(bounded, item, deadline)
    while True:
        gate = threading.Event()
        bounded.waiters.append(gate.set)
        if bounded.offer(item):
            return DONE
        if not gate.wait(max(0.0, deadline - monotonic())):
            error = bounded.full_error()
            bounded.refuse(item, error)
            raise error
