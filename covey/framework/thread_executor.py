"""A thread for one agent: where `dispatcher = "thread"` handlers may block."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from covey.framework.dispatcher import BATCH, TaskHook

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["ThreadExecutor"]


class ThreadExecutor:
    """Runs the turns of one cell in a thread of its own; coroutines run there to their end.

    The thread is a daemon: Python cannot end a thread that blocks for ever, and such a one must not keep
    the process alive. It ends by itself once its agent has stopped.
    """

    def __init__(self, name: str) -> None:
        self._wakes: deque[Cell] = deque()
        self._gate = threading.Semaphore(0)
        self._runner: asyncio.Runner | None = None
        self._ended = False
        self.handled = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def schedule(self, cell: Cell) -> None:
        self._wakes.append(cell)
        self._gate.release()

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, started: TaskHook, done: TaskHook
    ) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner()
        loop = self._runner.get_loop()
        task = loop.create_task(coroutine, context=context)
        started(task)
        task.add_done_callback(done)
        # The wait ends with the task; the task's own deadline is the ask's, or the handler's affair.
        loop.run_until_complete(asyncio.wait([task]))

    def end(self) -> None:
        """Let the thread end after its present turn."""
        self._ended = True
        self._gate.release()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False if a handler still holds it."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended:
            self._gate.acquire()  # woken by every schedule() and by end()
            while self._wakes:
                self.handled += self._wakes.popleft().turn(BATCH)
        if self._runner is not None:
            self._runner.close()
