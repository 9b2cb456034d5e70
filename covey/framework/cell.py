"""The runtime's side of an agent: its mailbox, its state and its turns. It survives restarts.

Who may touch what: what puts something into the mailbox or takes it out as a dead letter, `post` and
`cancel` are called from any thread; turns and what they call run in the cell's executor (the node's loop
thread, or the agent's own), one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from covey.framework.cluster import moving
from covey.framework.death import death_of
from covey.framework.envelope import TICK, Envelope, opened
from covey.framework.errors import AgentDeadError
from covey.framework.events import NO_CONTEXT
from covey.framework.receive import Receiver
from covey.framework.state import FAILED, NEW, PASSIVE, RUNNING, STARTING, STATES, STOPPED, STOPPING

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.envelope import ReplyPort
    from covey.framework.linking import Links
    from covey.framework.node import Node
    from covey.framework.passivation import IdleLook
    from covey.framework.reply import Reply
    from covey.framework.supervision.guardian import Guardian
    from covey.framework.timers import Timer

__all__ = ["FAILED", "NEW", "RUNNING", "STARTING", "STATES", "STOPPED", "STOPPING", "Cell"]


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
        "idle_look",
        "kept_state",
        "kwargs",
        "last_error",
        "last_message",
        "left",
        "links",
        "parent",
        "placed",
        "registered",
        "stops_met",
        "supervisor",
        "ticked",
        "timers",
        "watches",
        "watching",
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
        self.kwargs = kwargs or None  # an empty dict for each of a million agents would be 64 MB
        self.placed = placed
        self.parent = parent
        self.supervisor = supervisor
        self.actor_ref: Any = None
        self.registered = False
        """Whether Pykka's `start` started it: it reports as Pykka does."""
        self.left = False
        """Whether it handles messages no more: Pykka's stop flag, set before its last hook."""
        self.failed_at = 0.0
        self.failed_context = NO_CONTEXT
        self.failures = 0
        self.last_error: BaseException | None = None
        """Why it is down, or ended; None when it stopped by itself."""
        self.last_message = ""
        """Type and id of the message that it failed with."""
        self.kept_state: dict[str, Any] | None = None
        """What the next instance takes over."""
        self.idle_look: IdleLook | None = None
        """The next look of passivation; None once a stop was asked for meanwhile."""
        self.links: Links | None = None
        """Agents that crash together with this instance."""
        self.watches: dict[Any, None] | None = None
        """Replies of those who watch this agent; a dict, because each leaves at any time."""
        self.watching: dict[Address, Reply[Any]] | None = None
        """Replies about the agents that this one watches."""
        self.stops_met = 0
        """Requests to stop in the mailbox that the stop of an earlier instance has met."""
        self.ticked = False
        """Whether a tick was handled since the last message: the next tick lets waiting mail go first."""
        self.timers: set[Timer] | None = None
        self.children: dict[Cell, None] | None = None
        """In the order in which they were spawned; a dict, because each leaves at any time."""
        self.ending: Callable[[], None] | None = None
        """What is to be done once a stopping agent has neither tasks nor children."""

    is_held = False
    """Whether it only holds mail for an agent that is about to live on another node."""

    def __repr__(self) -> str:
        return f"<Cell {self.address} {STATES[self.state]}>"

    # -- turns -------------------------------------------------------------------------------------

    def turn(self, limit: int, until: float) -> int:
        """Handle up to `limit` messages, none after `until`; returns how many.

        When it cannot go on (busy with a task, restarting, stopped) it stays marked as scheduled, and
        `resume` puts it back; that saves a useless turn for each message that comes meanwhile.

        This is the hot path of the whole framework: hence its length, and the local names. The watchdog
        reads `item` and `since` from its frame.
        """
        if self.state != RUNNING:
            if self.state == PASSIVE:
                if self.mail or self.waiters:
                    self.node.passivation.wake(self)
                    self.executor.meter.at = monotonic()
                else:  # this turn was for a tick of the instance that is gone
                    self.ticks = None
                    self.rest()
            return 0
        if self.ticks and self.running < self.concurrency:
            self._run_ticks()
            self.executor.meter.at = monotonic()
        mail, handled = self.mail, 0
        stay = self.running < self.concurrency and self.state == RUNNING
        if mail and stay:
            meter, plain, actor = self.executor.meter, self.routes.plain, self.actor
            run = (self.context or self.own_context()).run
            since, slow_s, sample_at = meter.at, meter.slow_s, meter.left
            end = len(mail)
            if end > limit:
                end = limit
            while handled < end:
                try:
                    item = mail.popleft()
                except IndexError:
                    break  # a sender has just dropped the oldest
                handled += 1
                kind = type(item)
                function = None
                if kind is not Envelope:
                    message = item[0] if kind is tuple else item
                    function = plain.get(type(message))
                if function is None:
                    self._handle(item if kind is Envelope else opened(item))
                    stay = self.running < self.concurrency and self.state == RUNNING
                else:
                    # The fast path: a tell to a plain handler.
                    self.envelope = item if kind is tuple else None
                    try:
                        result = run(function, actor, message)
                    except BaseException as error:  # noqa: BLE001 - a handler may raise anything
                        self._raised(error, message, opened(item), fatal=True)
                        stay = self.state == RUNNING
                    else:
                        if result is not None and type(result) is CoroutineType:  # behind a decorator
                            self._start_handler(result, message, opened(item), fatal=True)
                            stay = self.running < self.concurrency
                now = monotonic()
                if now - since > slow_s or handled == sample_at:
                    sample_at = handled + meter.handled(self, item, since, now - since)
                since = now
                if now >= until or not stay:
                    break
            self.envelope = None  # tasks that a handler left behind see this cell as their `Current`
            meter.at, meter.left = since, sample_at - handled
            self.handled += handled
            self.ticked = False
        if self.waiters:
            self._admit()
        if not stay:
            if self.state == RUNNING:
                self.stalled = True
        elif self.mail or self.waiters or self.ticks:
            self.executor.schedule(self)
        else:
            # As `rest`, without the call.
            self.scheduled = False
            if (self.mail or self.ticks or self.waiters) and not self.scheduled:
                self.resume()
            elif self.state == STOPPED:  # abandoned meanwhile, by another thread
                self.scheduled = True
                self.bury()
        return handled

    def _is_free(self) -> bool:
        return self.state == RUNNING and self.running < self.concurrency

    def _run_ticks(self) -> None:
        ticks = self.ticks
        assert ticks is not None
        for _ in range(len(ticks)):
            if self.ticked and self.mail:
                return  # ticks that take longer than their period must not starve the mail
            tick = ticks.popleft()
            if tick.cancelled:
                continue
            tick.pending = False
            self.ticked = True
            self._invoke(tick.handler, (self.actor,), None, TICK)
            self.envelope = None
            if not self._is_free():
                return

    # -- what the life of the agent decides ---------------------------------------------------------

    def send_on(self, item: Any) -> bool:
        return moving.send_on(self, item)

    def add_timer(self, timer: Timer) -> None:
        """A timer that ends with the instance."""
        if self.timers is None:
            self.timers = set()
        self.timers.add(timer)

    def put_stop(self, reply: ReplyPort | None) -> None:
        # An agent without mail needs no mailbox for it; where a supervisor counts requests, they queue up.
        queued = self.mail or self.waiters or (self.supervisor is not None and not self.placed)
        if queued or self.state not in (PASSIVE, RUNNING) or self.executor is not self.node.dispatcher:
            super().put_stop(reply)
        else:
            self.post(self._stop_without_mail, reply)

    def _stop_without_mail(self, reply: ReplyPort | None) -> None:
        if self.state not in (PASSIVE, RUNNING):
            super().put_stop(reply)
            return
        # Mail that is here now came after the request.
        if reply is not None:
            self.add_stop_port(reply)
        self.node.life.stop(self, "stopped")

    def asked_to_stop(self) -> None:
        if self.stops_met:
            self.stops_met -= 1
            self.node.life.answer_stops(self)
        else:
            self.node.life.stop(self, "stopped")

    def end_error(self) -> AgentDeadError:
        return super().end_error() if self.last_error is None else death_of(self, self.last_error)

    def task_ended(self) -> None:
        self.node.life.proceed(self)

    def failed(self, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        self.node.failing.fail(self, error, message, envelope)
