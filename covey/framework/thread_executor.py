"""A thread for one agent: where `dispatcher = "thread"` handlers may block."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic
from typing import Any

from covey.framework.dispatcher import BATCH, BUDGET_S, Turning
from covey.framework.meter import Meter
from covey.framework.serving import Serving

__all__ = ["ThreadExecutor"]

logger = logging.getLogger("covey.dispatcher")


class ThreadExecutor:
    """Runs the turns of one cell in a thread of its own; coroutines run there to their end.

    The thread is a daemon: Python cannot end a thread that blocks for ever, and such a one must not keep
    the process alive. It ends by itself once its agent has stopped, and while its agent is passive.
    """

    def __init__(self, name: str, serving: Serving) -> None:
        self.name = name
        self._serving = serving
        self._wakes: deque[Turning] = deque()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._gate = threading.Semaphore(0)
        self._runner: asyncio.Runner | None = None
        self._ended = False
        self._parking = False
        self._waiting = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lock = threading.RLock()
        self.meter = Meter()
        self.handled = 0
        self._thread: threading.Thread | None = None
        self._start()

    # -- from any thread ---------------------------------------------------------------------------

    def schedule(self, cell: Turning) -> None:
        self._wakes.append(cell)
        self._wake()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        self._calls.append((function, args))
        self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._start()
        self._gate.release()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._ended:
                self._parking = False
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Let the thread end after its present turn."""
        self._ended = True
        self._gate.release()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False if a handler still holds it."""
        thread = self._thread
        if thread is None or threading.current_thread() is thread:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do now."""
        return (self._waiting or self._thread is None) and not self._wakes and not self._calls

    # -- in its thread -----------------------------------------------------------------------------

    def park(self) -> None:
        """Need no thread until the next turn or call; from within one."""
        self._parking = True

    def make_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context
    ) -> tuple[asyncio.Task[Any], Callable[[], object] | None]:
        if self._runner is None:
            self._runner = asyncio.Runner()
        task = self._runner.get_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task, None

    def run_tasks(self) -> None:
        assert self._runner is not None
        loop = self._runner.get_loop()
        while self._tasks and not loop.is_running():
            try:
                # The wait ends with the tasks; their own deadlines are the asks', or the handlers' affair.
                loop.run_until_complete(asyncio.wait(self._tasks))
            except (SystemExit, KeyboardInterrupt) as error:
                logger.error("%r in a handler does not end its thread", error)

    def _run(self) -> None:
        while True:
            while self._calls or self._wakes:
                if self._calls:
                    function, args = self._calls.popleft()
                    self._guarded(function, *args)
                    del function, args  # they know the agent, which may be forgotten meanwhile
                else:
                    self._take_turn(self._wakes.popleft())
            if self._ended or self._parking:
                break
            self._waiting = True
            self._gate.acquire()  # woken by every schedule(), call() and end()
            self._waiting = False
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        self._thread = None
        # What came between the look and this has woken nobody.
        if (self._calls or self._wakes) and not self._ended:
            self._start()

    def _take_turn(self, cell: Turning) -> None:
        self.meter.at = monotonic()
        if self._serving.holds(cell, self.meter.at):
            return
        try:
            self.handled += cell.turn(BATCH, self.meter.at + BUDGET_S)
        except Exception:
            logger.exception("internal error in a turn of %r", cell)
            cell.turn_broke()

    def _guarded(self, function: Callable[..., object], *args: Any) -> None:
        try:
            function(*args)
        except Exception:
            logger.exception("internal error in %s", function)
