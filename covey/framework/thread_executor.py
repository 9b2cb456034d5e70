"""A thread for one agent: where `dispatcher = "thread"` handlers may block."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from covey.framework.dispatcher import BATCH, TaskHook, Turning

__all__ = ["ThreadExecutor"]

logger = logging.getLogger("covey.dispatcher")


class ThreadExecutor:
    """Runs the turns of one cell in a thread of its own; coroutines run there to their end.

    The thread is a daemon: Python cannot end a thread that blocks for ever, and such a one must not keep
    the process alive. It ends by itself once its agent has stopped.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._wakes: deque[Turning] = deque()
        self._gate = threading.Semaphore(0)
        self._runner: asyncio.Runner | None = None
        self._ended = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.handled = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def schedule(self, cell: Turning) -> None:
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
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A hook that follows on a task (`on_failure`) starts while the loop still runs, and is run by it.
        while self._tasks and not loop.is_running():
            try:
                # The wait ends with the tasks; their own deadlines are the asks', or the handlers' affair.
                loop.run_until_complete(asyncio.wait(self._tasks))
            except (SystemExit, KeyboardInterrupt) as error:
                logger.error("%r in a handler does not end its thread", error)

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
                cell = self._wakes.popleft()
                try:
                    self.handled += cell.turn(BATCH)
                except Exception:
                    logger.exception("internal error in a turn of %r", cell)
        if self._runner is not None:
            self._runner.close()
