"""The event loop of a dispatcher: asyncio's own, with two things that a dispatcher needs of it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic
from typing import Any

__all__ = ["DispatchLoop", "LoopSelector", "cancel", "cancel_from_outside"]


class LoopSelector(selectors.DefaultSelector):
    """The system's selector; it knows since when the loop has been running callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = True
        """Whether the loop waits for I/O, a timer or a wake-up."""
        self.woke_at = 0.0
        """When the loop's present round of callbacks began, on the system's monotonic clock."""

    def select(self, timeout: float | None = None) -> Any:
        self.waiting = True
        try:
            return super().select(timeout)
        finally:
            self.woke_at = monotonic()
            self.waiting = False


class DispatchLoop(asyncio.SelectorEventLoop):
    """An event loop that can make a task without scheduling its first step.

    A task that its maker steps at once saves a round of the loop, which costs more than most handlers
    (Python 3.12 has eager tasks for the same reason). It is an ordinary task in every other respect.
    """

    def __init__(self, selector: LoopSelector | None = None) -> None:
        self.selector = selector or LoopSelector()
        self._held_for: Context | None = None
        self._first_step: Callable[[], object] | None = None
        super().__init__(self.selector)

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        # By the context: a garbage collection while the task is made may schedule something else.
        if context is not None and context is self._held_for:
            self._held_for = None
            self._first_step = callback
            return None
        return super().call_soon(callback, *args, context=context)

    def make_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context
    ) -> tuple[asyncio.Task[Any], Callable[[], object]]:
        """A task and its first step, which the caller runs in `context`, within no other task."""
        self._held_for = context
        try:
            task = asyncio.Task(coroutine, loop=self, context=context)
        finally:
            self._held_for = None
        step, self._first_step = self._first_step, None
        assert step is not None
        return task, step


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task in its loop's thread, after its first step."""
    if isinstance(task.get_loop(), DispatchLoop):
        task.cancel()  # its first step was taken when it was made
    else:
        cancel_from_outside(task)


def cancel_from_outside(task: asyncio.Task[Any]) -> None:
    """Cancel a task from any thread."""
    try:
        task.get_loop().call_soon_threadsafe(task.cancel)
    except RuntimeError:
        return  # its loop has ended, and the task with it
