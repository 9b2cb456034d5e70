"""The runtime's side of an agent: its mailbox, its state and its turns. It survives restarts.

Who may touch what: `offer` and `post` are called from any thread; everything else runs in the cell's
executor (the node's loop thread, or the agent's own thread), one turn at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.cluster import moving
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError
from covey.framework.events import NO_CONTEXT
from covey.framework.receive import Receiver
from covey.framework.state import FAILED, NEW, RUNNING, STARTING, STATES, STOPPED, STOPPING

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.node import Node
    from covey.framework.supervision.guardian import Guardian
    from covey.framework.timers import PeriodicTimer

__all__ = ["FAILED", "NEW", "RUNNING", "STARTING", "STATES", "STOPPED", "STOPPING", "TICK", "Cell"]

TICK = Envelope(None)
"""Stands for the tick of a timer: what a timer's method sends may begin a trace."""


class Cell(Receiver):
    """Mailbox, state and current instance of one agent on this node."""

    __slots__ = (
        "actor_ref",
        "args",
        "children",
        "ending",
        "failed_at",
        "failed_context",
        "failures",
        "kwargs",
        "last_error",
        "parent",
        "placed",
        "registered",
        "stops_met",
        "supervisor",
        "ticked",
        "timers",
    )

    def __init__(
        self,
        node: Node,
        actor_class: type[Agent],
        address: Address,
        executor: Executor,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        placed: bool = False,
        parent: Cell | None = None,
        supervisor: Guardian | None = None,
    ) -> None:
        super().__init__(node, actor_class, address, executor)
        self.args = args
        self.kwargs = kwargs or {}
        self.placed = placed
        self.parent = parent
        self.supervisor = supervisor
        self.actor_ref: Any = None
        self.registered = False
        """Whether Pykka's registry has it."""
        self.failed_at = 0.0
        self.failed_context = NO_CONTEXT
        self.failures = 0
        self.last_error: BaseException | None = None
        """Why it is down, or ended; None when it stopped by itself."""
        self.stops_met = 0
        """Requests to stop in the mailbox that the stop of an earlier instance has met."""
        self.ticked = False
        """Whether a tick was handled since the last message: the next tick lets waiting mail go first."""
        self.timers: list[PeriodicTimer] = []
        self.children: list[Cell] = []
        self.ending: Callable[[], None] | None = None
        """What is to be done once a stopping agent has neither tasks nor children."""

    def __repr__(self) -> str:
        return f"<Cell {self.address} {STATES[self.state]}>"

    # -- turns -------------------------------------------------------------------------------------

    def turn(self, limit: int) -> int:
        """Handle up to `limit` messages; returns how many.

        When it cannot go on (busy with a task, restarting, stopped) it stays marked as scheduled, and
        `resume` puts it back; that saves a useless turn for each message that comes meanwhile.
        """
        if self.system:
            self._run_system()
        if self.state != RUNNING or self.running >= self.concurrency:
            return 0
        mail, cache, context, handling, actor = (
            self.mail,
            self.routes.cache,
            self.context,
            self.handling,
            self.actor,
        )
        handled = 0
        while mail and handled < limit:
            try:
                item = mail.popleft()
            except IndexError:
                break  # a sender has just dropped the oldest
            handled += 1
            handler = cache.get(type(item))
            if handler is not None and not handler.is_async:
                # The fast path: a bare message for a plain handler.
                handling.envelope = None
                try:
                    result = context.run(handler.function, actor, item)
                except BaseException as error:  # noqa: BLE001 - a handler may raise anything
                    self._raised(error, item, None, fatal=True)
                else:
                    if result is None:
                        continue
                    if asyncio.iscoroutine(result):  # an `async def` behind a decorator
                        self.start_task(result, None, self._then(item, None, fatal=True))
                    else:
                        continue
            else:
                self._handle(item)
            if self.state != RUNNING or self.running >= self.concurrency:
                break
        if handled:
            self.ticked = False
        if self.waiters:
            self._admit()
        if self.state == RUNNING and self.running < self.concurrency:
            if mail or self.waiters:
                self.executor.schedule(self)
            else:
                self.scheduled = False
                # What came between the look and the flag has scheduled nothing.
                if (mail or self.system or self.waiters) and not self.scheduled:
                    self.resume()
        return handled

    def _run_system(self) -> None:
        for _ in range(len(self.system)):
            item = self.system.popleft()
            if callable(item):
                item()
            elif item.cancelled:
                continue
            elif self.ticked and self.mail:
                self.system.append(item)  # ticks that take longer than their period must not starve the mail
            elif self.state == RUNNING and self.running < self.concurrency:
                item.pending = False
                self.ticked = True
                handler = item.handler
                self._invoke(handler.function, handler.is_async, (self.actor,), None, TICK, fatal=True)
            else:
                self.system.append(item)  # a tick waits until the running handler has ended

    # -- what the life of the agent decides ---------------------------------------------------------

    def send_on(self, item: Any) -> bool:
        return moving.send_on(self, item)

    def asked_to_stop(self) -> None:
        if self.stops_met:
            self.stops_met -= 1
            self.node.life.answer_stops(self)
        else:
            self.node.life.stop(self, "stopped")

    def end_error(self) -> AgentDeadError:
        error = self.last_error
        if error is None:
            return super().end_error()
        times = "it failed" if self.failures == 1 else f"it failed {self.failures} times, last"
        dead = AgentDeadError(
            str(self.address),
            f"{times} with {type(error).__name__}: {error}; see the log of node {self.node.name}",
        )
        dead.__cause__ = error
        return dead

    def task_ended(self) -> None:
        self.node.life.proceed(self)

    def failed(self, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        self.node.life.fail(self, error, message, envelope)
