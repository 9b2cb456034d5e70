"""The shared dispatcher: one event loop in one thread drains the mailboxes of all loop agents.

An agent with mail stands once in the ready queue. A turn of the dispatcher takes the agents in order, up
to `BATCH` messages each, until its time budget is used, and lets the loop serve I/O before the next turn.
So an idle agent costs nothing, and a flooding one delays each other agent by one batch at most.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic
from typing import Any, Protocol

from covey.framework.deadlines import DeadlineWheel
from covey.framework.errors import CoveyError
from covey.framework.reply import LOOP_THREADS

__all__ = ["Dispatcher", "Executor", "TaskHook", "Turning"]

logger = logging.getLogger("covey.dispatcher")

BATCH = 64
"""Messages of one agent in one go."""
BUDGET_S = 0.005
"""How long a turn may take before the loop serves I/O."""

TaskHook = Callable[["asyncio.Task[Any]"], None]


class Turning(Protocol):
    """What takes turns: the cell of an agent."""

    def turn(self, limit: int) -> int:
        """Handle up to `limit` messages; returns how many."""
        ...


class Executor(Protocol):
    """Where a cell's turns run: the shared dispatcher, or a thread of its own."""

    def schedule(self, cell: Turning) -> None:
        """Run `cell.turn()` soon; from any thread."""
        ...

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, started: TaskHook, done: TaskHook
    ) -> None:
        """Run a handler's coroutine as a task; called from within a turn."""
        ...


class Dispatcher:
    """An event loop in a thread of its own, with the ready queue of its agents."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop = asyncio.new_event_loop()
        self.wheel = DeadlineWheel()
        self.ident = 0
        self.handled = 0
        """Messages handled so far by the agents of the shared loop."""
        self._ready: deque[Turning] = deque()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._base = Context()
        """Turns run in it: else they would see the context variables of whoever woke the loop."""
        self.after_turn: Callable[[], None] = lambda: None
        """Called at the end of each turn: what was sent in it leaves the node without another wake-up."""
        self._armed = False
        self._armed_for = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"covey-{name}", daemon=True)
        self._started = threading.Event()

    def start(self) -> None:
        """Start the thread; returns once the loop runs."""
        self._thread.start()
        if not self._started.wait(10):
            raise CoveyError(f"the dispatcher thread of {self.name} did not start within 10 s")

    def _run(self) -> None:
        self.ident = threading.get_ident()
        LOOP_THREADS.add(self.ident)
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._started.set)
        try:
            self._serve()
            self._finish_tasks()
        finally:
            LOOP_THREADS.discard(self.ident)
            self.loop.close()

    def _serve(self) -> None:
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio lets these two out of a task through the loop; the agent has failed with it.
                logger.error("%r in a handler does not end node %s", error, self.name)
            else:
                return

    def _finish_tasks(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop the loop and join its thread; from another thread. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning(
                "the dispatcher thread of %s is held up by a handler and was left to end by itself", self.name
            )

    @property
    def here(self) -> bool:
        """Whether the caller runs in this dispatcher's thread."""
        return threading.get_ident() == self.ident

    # -- ready queue -------------------------------------------------------------------------------

    def schedule(self, cell: Turning) -> None:
        self._ready.append(cell)
        if not self._armed:
            self._arm()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Run a function on the loop thread, soon and in order of calls; from any thread."""
        self._calls.append((function, args))
        if not self._armed:
            self._arm()

    def wake(self) -> None:
        """Take a turn soon; from any thread."""
        if not self._armed:
            self._arm()

    def _arm(self) -> None:
        # One wake-up for any number of messages: the turn disarms before it looks, so that nothing that
        # is appended after its look can miss a wake-up.
        self._armed = True
        if threading.get_ident() == self.ident:
            self.loop.call_soon(self._turn, context=self._base)
            return
        try:
            self.loop.call_soon_threadsafe(self._turn, context=self._base)
        except RuntimeError:
            if not self._closed:
                raise  # a closed loop after close() is expected: what is left has been made dead letters

    def _turn(self) -> None:
        self._armed = False
        calls, ready = self._calls, self._ready
        while calls:
            function, args = calls.popleft()
            try:
                function(*args)
            except Exception:
                logger.exception("internal error in %s", function)
        end = monotonic() + BUDGET_S
        while ready:
            cell = ready.popleft()
            try:
                self.handled += cell.turn(BATCH)
            except Exception:
                logger.exception("internal error in a turn of %r", cell)
            if monotonic() >= end:
                break
        try:
            self.after_turn()
        except Exception:
            logger.exception("internal error at the end of a turn")
        if (ready or calls) and not self._armed:
            self._armed = True
            self.loop.call_soon(self._turn, context=self._base)
        if self.wheel.next_s < self._armed_for:
            self._arm_timer()

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, started: TaskHook, done: TaskHook
    ) -> None:
        task = self.loop.create_task(coroutine, context=context)
        started(task)
        task.add_done_callback(done)

    # -- deadlines ---------------------------------------------------------------------------------

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self.wheel.next_s
        self._timer = self.loop.call_at(self._armed_for, self._expire, context=self._base)

    def _expire(self) -> None:
        self._timer = None
        self._armed_for = float("inf")
        self.wheel.expire_until(monotonic())
        if self.wheel.next_s < self._armed_for:
            self._arm_timer()

    def check_deadlines(self) -> None:
        """Make sure that the timer waits for the earliest deadline; from any thread."""
        if self.wheel.next_s < self._armed_for and not self._armed:
            self._arm()
