"""`ManualClock`: time that moves when the test says so, and not before everybody is done."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from time import monotonic as real_time
from typing import TYPE_CHECKING

from covey.framework.errors import BlockingCallError, ConfigurationError
from covey.framework.reply import LOOP_THREADS
from covey.testing.at_work import at_work
from covey.testing.errors import NeverQuietError
from covey.testing.manual_loop import ManualLoop
from covey.testing.thread_agents import ThreadAgents

if TYPE_CHECKING:
    import asyncio

__all__ = ["ManualClock"]

EPOCH_S = 946_684_800.0
"""2000-01-01 00:00 UTC."""
REAL_TIMEOUT_S = 10.0
RESOLUTION_S = 1e-9
"""Timers this near are due, as in asyncio: ten steps of 0.1 s are one of 1 s."""
LOOK_AGAIN_S = 0.05
"""A wait is woken by whoever becomes idle; this is for a thread that ended meanwhile."""


class ManualClock:
    """Virtual time for the nodes of a test: give it to `Swarm.local(clock=...)`, or to several swarms.

    It begins at 0 and moves by `advance` alone: from timer to timer in their order, each at its own time,
    and only while nothing is left to do: no handler runs, nothing waits in a mailbox, nothing is on its
    way between the nodes. So what a test sees after `advance` does not depend on the machine's speed.
    Everything that a node does by time is on it: `asyncio.sleep` and `asyncio.timeout` in handlers,
    `@every`, `after`, deadlines of asks (up to 5 ms late), backoff, passivation, and the beacons between
    nodes.

    NOT on it: what blocks a thread, which time waits for (`time.sleep`, `asyncio.to_thread`, all waits of
    agents with `dispatcher = "thread"`), and real I/O, which time does not wait for (a server, so use the
    memory transport). While a swarm starts or stops time passes by itself, as much as that needs.

    All methods may be called from any thread but those of agents.

    Args:
        epoch_s: what `time()`, the time that people read, begins with; seconds since 1970.
    """

    def __init__(self, epoch_s: float = EPOCH_S) -> None:
        self._epoch_s = epoch_s
        self._now = 0.0
        self._loops: list[ManualLoop] = []
        self._threads = ThreadAgents()
        self._goal: float | None = None
        """How far the loops may move the time themselves; None while nobody advances it."""
        self._moves = 0
        # Re-entrant: a garbage collection inside may close a loop.
        self.changed = threading.Condition(threading.RLock())
        """Held to look at the loops' states or to change them: none begins or ends to run meanwhile."""

    def monotonic(self) -> float:
        """Virtual seconds since the clock was made."""
        return self._now

    def time(self) -> float:
        """Virtual seconds since 1970."""
        return self._epoch_s + self._now

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop on this clock; for the node that it was given to."""
        loop = ManualLoop(self)
        with self.changed:
            self._loops.append(loop)
        return loop

    def __repr__(self) -> str:
        return f"<ManualClock at {self._now:g} s>"

    # -- what a test does --------------------------------------------------------------------------

    def advance(self, seconds: float, *, real_timeout_s: float = REAL_TIMEOUT_S) -> None:
        """Move time on; returns when it is reached and all agents are done.

        Raises:
            NeverQuietError: an agent was at work for `real_timeout_s` real seconds in one go.
        """
        until = self._until(seconds)
        with self.changed:
            self._goal = until
            try:
                self._wait(real_timeout_s)
                while self._move(until):
                    self._wait(real_timeout_s)
                self._now = max(self._now, until)
            finally:
                self._goal = None

    def advance_until(
        self,
        condition: Callable[[], object],
        *,
        within_s: float,
        real_timeout_s: float = REAL_TIMEOUT_S,
    ) -> bool:
        """Move time on until the condition holds, at most `within_s`; whether it holds.

        Time stands at the timer that made it true. The condition is looked at while all agents are idle.

        Raises:
            NeverQuietError: as `advance`.
        """
        until = self._until(within_s)
        while True:
            self.settle(real_timeout_s=real_timeout_s)
            if condition():
                return True
            if not self._step(until, real_timeout_s):
                return False

    def settle(self, *, real_timeout_s: float = REAL_TIMEOUT_S) -> None:
        """Wait until all agents have done what there is to do now; time stands still.

        Raises:
            NeverQuietError: as `advance`.
        """
        self._until(0)
        with self.changed:
            self._wait(real_timeout_s)

    def _until(self, seconds: float) -> float:
        if threading.get_ident() in LOOP_THREADS:
            raise BlockingCallError(
                "an agent cannot move the clock, which would wait for the agent: call advance() in the test"
            )
        if not 0 <= seconds < math.inf:
            raise ConfigurationError(f"a clock cannot move by {seconds!r}: give seconds, 0 or more")
        return self._now + seconds

    # -- moving ------------------------------------------------------------------------------------

    def _step(self, until: float, real_timeout_s: float) -> bool:
        """Go on to the next timer, or to the end; False when there is no timer until then."""
        with self.changed:
            self._wait(real_timeout_s)  # again: looking at a condition may have asked an agent
            moved = self._move(until)
            if not moved:
                self._now = max(self._now, until)
            return moved

    def _move(self, until: float) -> bool:
        """Go to the next timer, if there is one until then, and wake whom it belongs to."""
        due = min((loop.next_s for loop in self._loops if loop.resting), default=math.inf)
        if due == math.inf or due > until + RESOLUTION_S:
            return False
        self._now = max(self._now, due)
        self._moves += 1
        for loop in self._loops:
            if loop.resting and loop.next_s <= self._now + RESOLUTION_S:
                loop.serve_timers()
        return True

    def _wait(self, real_timeout_s: float) -> None:
        if not self._becomes_quiet(real_timeout_s):
            raise NeverQuietError(at_work(self._loops, self._threads.busy), real_timeout_s)

    def _becomes_quiet(self, patience_s: float, unless: Callable[[], bool] = lambda: False) -> bool:
        end, moves = real_time() + patience_s, self._moves
        while not self._is_quiet():
            if moves != self._moves:  # the loops go on by themselves: they are not stuck
                end, moves = real_time() + patience_s, self._moves
            left_s = end - real_time()
            if left_s <= 0 or unless():
                return False
            self._threads.call_when_free(self._notify)
            self.changed.wait(min(left_s, LOOK_AGAIN_S))
        return True

    def _is_quiet(self) -> bool:
        # While the lock is held no resting loop begins to run, so only threads can put anything anywhere.
        # They are looked at before and after: one that has worked in between has handled something.
        self._threads.look(self._loops)
        if self._threads.busy:
            return False
        before = self._threads.handled
        return (
            all(loop.is_quiet for loop in self._loops)
            and not self._threads.busy
            and self._threads.handled == before
        )

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    # -- what its loops tell -----------------------------------------------------------------------

    def rested(self) -> None:
        """A loop has nothing more to run; called under the lock.

        If that was the last one, it moves the time itself: waking the test's thread for each timer would
        cost more than most handlers.
        """
        if self._goal is None or not self._is_quiet() or not self._move(self._goal):
            self.changed.notify_all()

    def pass_until(self, task: asyncio.Task[object]) -> None:
        """Let time pass by itself until a node has started or stopped: the test's thread waits for that."""
        threading.Thread(target=self._pass, args=(task.done,), name="covey-clock", daemon=True).start()

    def _pass(self, ended: Callable[[], bool]) -> None:
        while True:
            with self.changed:
                # A thread that never ends must not keep the node from giving it up.
                self._becomes_quiet(LOOK_AGAIN_S, unless=ended)
                if ended():
                    return
                if not self._move(math.inf):
                    self.changed.wait(LOOK_AGAIN_S)

    def forget(self, loop: ManualLoop) -> None:
        """A loop was closed."""
        with self.changed:
            if loop in self._loops:
                self._loops.remove(loop)
            self.changed.notify_all()
