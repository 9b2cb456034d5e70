"""Waiting for room in something bounded: a mailbox, or the queue towards another node."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Protocol

from covey.framework.current import CURRENT
from covey.framework.errors import CoveyError
from covey.framework.reply import LOOP_THREADS

__all__ = ["DONE", "Bounded", "Done", "PendingTell", "Waiter", "call_waiters", "send_or_wait"]

logger = logging.getLogger("covey.node")

Waiter = Callable[[], None]


class Bounded(Protocol):
    """Takes items up to a bound; calls waiters when there may be room again."""

    @property
    def waiters(self) -> deque[Callable[[], None]] | None:
        """Called in order, in the thread of whoever makes room; None before anybody waited."""
        ...

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


def call_waiters(waiters: deque[Waiter], has_room: Callable[[], bool]) -> None:
    """Call those who wait, in order and each at most once, while there is room; on the loop thread.

    One that finds no room puts itself back in its place.
    """
    for _ in range(len(waiters)):
        if not has_room():
            return
        try:
            waiter = waiters.popleft()
        except IndexError:
            return  # its time was up just now
        try:
            waiter()
        except Exception:  # one sender's trouble is not that of the next
            logger.exception("a sender that waited for room could not go on")


_WAITING, _OFFERING, _TAKEN, _LEFT = range(4)


class _Ticket:
    """An item's place among those who wait for room: it is offered when its turn comes.

    Whoever makes room offers it, not the sender that waits: so no later item of that sender, or of
    another, comes in between.
    """

    __slots__ = ("_lock", "_state", "bounded", "item", "wake")

    def __init__(self, bounded: Bounded, item: Any, in_turn: Callable[[Waiter], None]) -> None:
        self.bounded = bounded
        self.item = item
        self.wake: Waiter = _nobody
        self._state = _WAITING
        # Re-entrant: a garbage collection inside may end the tell that holds this ticket.
        self._lock = threading.RLock()
        in_turn(self.offer)

    @property
    def taken(self) -> bool:
        return self._state == _TAKEN

    def offer(self) -> None:
        with self._lock:
            if self._state != _WAITING:
                return
            self._state = _OFFERING
            taken = False
            try:
                taken = self.bounded.offer(self.item)
            finally:
                self._state = _TAKEN if taken else _WAITING
            if not taken:
                assert self.bounded.waiters is not None  # it has stood in it
                self.bounded.waiters.appendleft(self.offer)
                return
        self.wake()

    def leave(self) -> bool:
        """Wait no longer, and make a dead letter of the item; False when it was taken."""
        with self._lock:
            if self._state != _WAITING:
                return False
            self._state = _LEFT
        try:
            if self.bounded.waiters is not None:
                self.bounded.waiters.remove(self.offer)
        except (ValueError, IndexError):
            pass  # it was called just now, or the queue moved meanwhile: one call too many does no harm
        self.bounded.refuse(self.item, self.bounded.full_error())
        return True


def _nobody() -> None:
    """Nobody waits for the ticket."""


class PendingTell:
    """A tell that found no room: `await` it to wait for room, at most until the deadline.

    It has its place in the queue from the start, and keeps it as long as the sender keeps this object, so
    that later tells do not overtake it. If it is dropped and was not awaited, the message becomes a dead
    letter: queueing it without a bound instead would only hide that the sender is too fast.
    """

    __slots__ = ("_refused", "_settled", "_ticket", "_wait_s")

    def __init__(self, ticket: _Ticket, wait_s: float) -> None:
        self._ticket = ticket
        self._wait_s = wait_s
        self._refused = False
        self._settled = False

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._settled:
            if self._refused:
                raise self._ticket.bounded.full_error()
            return
        self._settled = True
        ticket, loop, room = self._ticket, asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(room.set)
            except RuntimeError:
                return  # the waiting loop was closed

        ticket.wake = wake
        try:
            async with asyncio.timeout(self._wait_s):
                if not ticket.taken:
                    await room.wait()
        except TimeoutError:
            if ticket.leave():
                self._refused = True
                raise ticket.bounded.full_error() from None
        except BaseException:  # cancelled, or its loop ended
            ticket.leave()
            raise
        finally:
            ticket.wake = _nobody

    def __del__(self) -> None:
        if not self._settled:
            self._settled = True
            self._ticket.leave()


def send_or_wait(
    bounded: Bounded, item: Any, timeout_s: float, in_turn: Callable[[Waiter], None]
) -> Done | PendingTell:
    """What a sender does that found no room: block its thread, wait at `await`, or fail.

    `in_turn` joins the waiters so that nobody is overtaken, and promises a call when there is room.

    Raises:
        CoveyError: `full_error()`: in a plain handler on a node's loop at once, in a thread after the
            time. The item is then a dead letter.
    """
    current = CURRENT.get()
    wait_s = timeout_s
    if current is not None and current.deadline is not None:
        wait_s = max(0.0, min(wait_s, current.deadline - current.cell.node.now()))
    in_loop = asyncio._get_running_loop() is not None
    if threading.get_ident() in LOOP_THREADS and (not in_loop or asyncio.current_task() is None):
        error = bounded.full_error()
        bounded.refuse(item, error)
        raise error
    if in_loop:
        return PendingTell(_Ticket(bounded, item, in_turn), wait_s)
    _block(bounded, item, wait_s, in_turn)
    return DONE


def _block(bounded: Bounded, item: Any, wait_s: float, in_turn: Callable[[Waiter], None]) -> None:
    gate = threading.Event()
    ticket = _Ticket(bounded, item, in_turn)
    ticket.wake = gate.set
    try:
        if ticket.taken or gate.wait(wait_s):
            return
    except BaseException:
        ticket.leave()
        raise
    if ticket.leave():
        raise bounded.full_error()
