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

__all__ = ["DONE", "Bounded", "Done", "PendingTell", "Waiter", "send_or_wait"]

Waiter = Callable[[], None]


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

    __slots__ = ("_bounded", "_deadline", "_in_turn", "_item", "_settled")

    def __init__(
        self,
        bounded: Bounded,
        item: Any,
        deadline: float,
        in_turn: Callable[[Waiter], None] | None = None,
    ) -> None:
        self._bounded = bounded
        self._item = item
        self._in_turn = in_turn
        self._deadline = deadline
        self._settled = False

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._settled:
            return
        self._settled = True
        try:
            async with asyncio.timeout(max(0.0, self._deadline - monotonic())):
                await self._wait_for_room(asyncio.get_running_loop())
        except TimeoutError:
            error = self._bounded.full_error()
            self._bounded.refuse(self._item, error)
            raise error from None
        except BaseException:  # cancelled, or its loop ended
            self._bounded.refuse(self._item, self._bounded.full_error())
            raise

    async def _wait_for_room(self, loop: asyncio.AbstractEventLoop) -> None:
        room = asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(room.set)
            except RuntimeError:
                return  # the waiting loop was closed

        try:
            while not _offer(self._bounded, self._item, wake, self._in_turn):
                await room.wait()
                room.clear()
                if self._in_turn is not None and self._bounded.offer(self._item):
                    return
        finally:
            _leave(self._bounded.waiters, wake)

    def __del__(self) -> None:
        if not self._settled:
            self._settled = True
            self._bounded.refuse(self._item, self._bounded.full_error())


def send_or_wait(
    bounded: Bounded, item: Any, timeout_s: float, in_turn: Callable[[Waiter], None] | None = None
) -> Done | PendingTell:
    """What a sender does that found no room: block its thread, wait at `await`, or fail.

    `in_turn` joins the waiters so that nobody is overtaken, and promises a call when there is room.

    Raises:
        CoveyError: `full_error()`: in a plain handler on a node's loop at once, in a thread after the
            time. The item is then a dead letter.
    """
    current = CURRENT.get()
    deadline = monotonic() + timeout_s
    if current is not None and current.deadline is not None:
        deadline = min(deadline, current.deadline)
    in_loop = asyncio._get_running_loop() is not None
    if threading.get_ident() in LOOP_THREADS and (not in_loop or asyncio.current_task() is None):
        error = bounded.full_error()
        bounded.refuse(item, error)
        raise error
    if in_loop:
        return PendingTell(bounded, item, deadline, in_turn)
    _block(bounded, item, deadline, in_turn)
    return DONE


def _block(bounded: Bounded, item: Any, deadline: float, in_turn: Callable[[Waiter], None] | None) -> None:
    gate = threading.Event()
    wake = gate.set
    try:
        while not _offer(bounded, item, wake, in_turn):
            if not gate.wait(max(0.0, deadline - monotonic())):
                error = bounded.full_error()
                bounded.refuse(item, error)
                raise error
            gate.clear()
            if in_turn is not None and bounded.offer(item):
                return
    finally:
        _leave(bounded.waiters, wake)


def _offer(bounded: Bounded, item: Any, wake: Waiter, in_turn: Callable[[Waiter], None] | None) -> bool:
    """Join the waiters; where nobody promises a call, offer once more: room may have come in between."""
    if in_turn is not None:
        in_turn(wake)
        return False
    bounded.waiters.append(wake)
    return bounded.offer(item)


def _leave(waiters: deque[Waiter], wake: Waiter) -> None:
    try:
        waiters.remove(wake)
    except (ValueError, IndexError):
        return  # it was called, or the queue moved meanwhile: one call too many does no harm
