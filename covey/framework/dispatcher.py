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
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import Any, Protocol

from covey.framework.clock import Clock, SystemClock
from covey.framework.deadlines import DeadlineWheel
from covey.framework.dispatch_loop import DispatchLoop, cancel_from_outside
from covey.framework.errors import CoveyError
from covey.framework.meter import Meter
from covey.framework.reply import LOOP_THREADS
from covey.framework.serving import Serving

__all__ = ["BATCH", "BUDGET_S", "Dispatcher", "Executor", "Turning"]

logger = logging.getLogger("covey.dispatcher")

BATCH = 64
"""Messages of one agent in one go."""
BUDGET_S = 0.005
"""How long a turn may take before the loop serves I/O."""
CALLS_BETWEEN_LOOKS = 16


class Turning(Protocol):
    """What takes turns: the cell of an agent, or a task that was answered."""

    def turn(self, limit: int, until: float) -> int:
        """Handle up to `limit` messages, and no further one after `until`; returns how many."""
        ...

    def turn_broke(self) -> None:
        """A turn has raised: see that there will be another."""
        ...


class Executor(Protocol):
    """Where a cell's turns run: the shared dispatcher, or a thread of its own."""

    @property
    def meter(self) -> Meter:
        """What measures the messages that are handled there."""
        ...

    def schedule(self, cell: Turning) -> None:
        """Run `cell.turn()` soon; from any thread."""
        ...

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Run a function between two turns, soon and in order of calls; from any thread."""
        ...

    def make_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context
    ) -> tuple[asyncio.Task[Any], Callable[[], object] | None]:
        """A task for a handler's coroutine, and its first step if that is left to the caller.

        Called from within a turn; `run_tasks` follows.
        """
        ...

    def run_tasks(self) -> None:
        """Run the tasks that were made to their end, unless a loop does so anyway."""
        ...


class Dispatcher:
    """An event loop in a thread of its own, with the ready queue of its agents."""

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self.name = name
        clock = clock or SystemClock()
        self.now = clock.monotonic
        self.loop = clock.new_event_loop()
        self._make_task = self.loop.make_task if isinstance(self.loop, DispatchLoop) else None
        self.wheel = DeadlineWheel()
        self.meter = Meter()
        self.serving = Serving()
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
        self.armed_for = float("inf")
        """When its timer is due that expires deadlines."""
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
        LOOP_THREADS[self.ident] = self
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._started.set)
        try:
            self._serve()
            self._finish_tasks()
        finally:
            LOOP_THREADS.pop(self.ident, None)
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
            waiting = self.loop.create_task(asyncio.wait(tasks))
            # A timer of the loop would run on the node's clock, which may stand still.
            alarm = threading.Timer(1.0, cancel_from_outside, (waiting,))
            alarm.daemon = True
            alarm.start()
            with suppress(asyncio.CancelledError):
                self.loop.run_until_complete(waiting)
            alarm.cancel()
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
    def closed(self) -> bool:
        """Whether it was closed: what is called from now on is not done any more."""
        return self._closed

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

    def call_at(self, when: float, function: Callable[[], object]) -> asyncio.TimerHandle:
        """Call a function at a time of the node's clock; on the loop thread.

        In no agent's context: a cancelled timer stays in the loop's heap, and would keep the agent.
        """
        return self.loop.call_at(when, function, context=self._base)

    def wake(self) -> None:
        """Take a turn soon; from any thread."""
        if not self._armed:
            self._arm()

    def _arm(self) -> None:
        # One wake-up for any number of messages.
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
        # It stays armed meanwhile: what agents send to each other in this turn wakes no loop. Disarmed
        # before the last look, so that nothing which comes after it misses its wake-up.
        calls, ready = self._calls, self._ready
        try:
            meter = self.meter
            meter.at = monotonic()
            end = meter.at + BUDGET_S
            if calls:
                self._run_calls(end)
            handled = 0
            pausing = meter.at >= self.serving.until  # once: a turn is shorter than the lease's margin
            while ready:
                cell = ready.popleft()
                if pausing and self.serving.holds(cell, meter.at):
                    continue
                try:
                    handled += cell.turn(BATCH, end)
                except Exception:
                    logger.exception("internal error in a turn of %r", cell)
                    cell.turn_broke()
                    meter.at = monotonic()
                if calls:  # ahead of all mail
                    self._run_calls(end)
                if meter.at >= end:
                    break
            self.handled += handled
            try:
                self.after_turn()
            except Exception:
                logger.exception("internal error at the end of a turn")
        finally:
            # Also when a task that a handler left behind has raised SystemExit through here.
            self._armed = False
            if (ready or calls) and not self._armed:
                self._armed = True
                self.loop.call_soon(self._turn, context=self._base)
        if self.wheel.next_s < self.armed_for:
            self._arm_timer()

    def _run_calls(self, end: float) -> None:
        """What was called until now, but no longer than half of the turn: stops of many take their time.

        What those call in their turn comes after the next agent's turn.
        """
        calls, meter = self._calls, self.meter
        until = (meter.at + end) / 2
        for number in range(1, len(calls) + 1):
            function, args = calls.popleft()
            try:
                function(*args)
            except Exception:
                logger.exception("internal error in %s", function)
            if number % CALLS_BETWEEN_LOOKS == 0 and monotonic() >= until:
                break
        meter.at = monotonic()

    def make_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context
    ) -> tuple[asyncio.Task[Any], Callable[[], object] | None]:
        if self._make_task is not None:
            return self._make_task(coroutine, context)
        return self.loop.create_task(coroutine, context=context), None

    def run_tasks(self) -> None:
        """Nothing: the loop runs them."""

    # -- deadlines ---------------------------------------------------------------------------------

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.armed_for = self.wheel.next_s
        self._timer = self.loop.call_at(self.armed_for, self._expire, context=self._base)

    def _expire(self) -> None:
        self._timer = None
        self.armed_for = float("inf")
        self.wheel.expire_until(self.now())
        if self.wheel.next_s < self.armed_for:
            self._arm_timer()

    def check_deadlines(self) -> None:
        """Make sure that the timer waits for the earliest deadline; from any thread."""
        if self.wheel.next_s < self.armed_for and not self._armed:
            self._arm()
