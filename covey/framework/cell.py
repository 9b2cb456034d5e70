"""The runtime's side of an agent: its mailbox, its state and its turns. It survives restarts.

Who may touch what: `offer` and `post` are called from any thread; everything else runs in the cell's
executor (the node's loop thread, or the agent's own thread), one turn at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from covey.framework.current import CURRENT, Handling
from covey.framework.envelope import Envelope
from covey.framework.errors import (
    AgentDeadError,
    AskCancelledError,
    MailboxFullError,
    Reject,
    UnhandledMessageError,
)
from covey.framework.events import HandledMessage

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.errors import CoveyError
    from covey.framework.handlers import RouteTable
    from covey.framework.node import Node
    from covey.framework.supervision.guardian import Guardian
    from covey.framework.timers import PeriodicTimer

__all__ = ["FAILED", "NEW", "RUNNING", "STARTING", "STATES", "STOPPED", "STOPPING", "Cell"]

NEW, STARTING, RUNNING, FAILED, STOPPING, STOPPED = range(6)
STATES = ("new", "starting", "running", "restarting", "stopping", "stopped")

TICK = Envelope(None)
"""Stands for the tick of a timer: what a timer's method sends may begin a trace."""

_PROXY_MESSAGES = (ProxyCall, ProxyGetAttr, ProxySetAttr)


class Cell:
    """Mailbox, state and current instance of one agent on this node."""

    __slots__ = (
        "__weakref__",
        "actor",
        "actor_class",
        "actor_ref",
        "address",
        "args",
        "children",
        "concurrency",
        "context",
        "executor",
        "failed_at",
        "handling",
        "kwargs",
        "last_error",
        "mail",
        "node",
        "parent",
        "placed",
        "restarts",
        "routes",
        "running",
        "scheduled",
        "state",
        "stop_ports",
        "supervisor",
        "system",
        "tasks",
        "timers",
        "waiters",
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
        self.node = node
        self.actor_class = actor_class
        self.address = address
        self.executor = executor
        self.args = args
        self.kwargs = kwargs or {}
        self.placed = placed
        self.parent = parent
        self.supervisor = supervisor
        self.actor: Agent | None = None
        self.actor_ref: Any = None
        self.routes: RouteTable = actor_class._routes
        self.concurrency = actor_class.concurrency
        self.state = NEW
        self.mail: deque[Any] = deque()
        self.system: deque[Callable[[], None] | PeriodicTimer] = deque()
        self.waiters: deque[Callable[[], None]] = deque()
        self.scheduled = True  # until it runs: START is posted, and RUNNING schedules it
        self.running = 0
        self.restarts = 0
        self.failed_at = 0.0
        self.last_error: BaseException | None = None
        self.tasks: dict[asyncio.Task[Any], Envelope | None] = {}
        self.timers: list[PeriodicTimer] = []
        self.children: list[Cell] = []
        self.stop_ports: list[Any] = []
        self.handling = Handling(self)
        self.context = Context()
        self.context.run(CURRENT.set, self.handling)

    def __repr__(self) -> str:
        return f"<Cell {self.address} {STATES[self.state]}>"

    # -- from any thread ---------------------------------------------------------------------------

    def offer(self, item: Any) -> bool:
        """Put a message or envelope into the mailbox; False when it is full under backpressure.

        Raises:
            MailboxFullError: it is full and the policy is `fail`.
        """
        mail = self.mail
        if len(mail) >= self.actor_class.mailbox.capacity and not self._make_room(item):
            return self.actor_class.mailbox.overflow != "backpressure"
        mail.append(item)
        if not self.scheduled:
            self.scheduled = True
            self.executor.schedule(self)
        elif self.state == STOPPED:
            self.bury()  # it stopped between our look and our append
        return True

    def post(self, item: Callable[[], None] | PeriodicTimer) -> None:
        """Put something into the system lane, which no flood of messages delays."""
        self.system.append(item)
        self.executor.schedule(self)

    def refuse(self, item: Any, error: CoveyError) -> None:
        """A message that found no room and is not offered again."""
        self.discard(item, "mailbox full", error)

    def full_error(self) -> MailboxFullError:
        return MailboxFullError(str(self.address), self.actor_class.mailbox.capacity)

    def cancel(self, envelope: Envelope) -> None:
        """Cancel the handler of an envelope if it runs as a task and may be cancelled."""
        if self.actor_class.cancellable:
            for task, handled in tuple(self.tasks.items()):
                if handled is envelope:
                    task.get_loop().call_soon_threadsafe(task.cancel)

    def discard(self, item: Any, reason: str, error: CoveyError | None = None) -> None:
        """Make a dead letter of an item; an asker gets the error."""
        message = item.message if type(item) is Envelope else item
        if type(item) is Envelope and item.reply is not None:
            if isinstance(message, _ActorStop):
                item.reply.resolve(None)
                return
            if item.reply.done():
                return
            item.reply.fail(error or AgentDeadError(str(self.address), reason))
        elif isinstance(message, _ActorStop):
            return
        self.node.dead_letter(self.address, item, reason, str(error or ""))

    def bury(self) -> None:
        """Make dead letters of all that waits in the mailbox of a stopped agent."""
        error = AgentDeadError(str(self.address), "it stopped before it handled the message")
        while self.mail:
            try:
                item = self.mail.popleft()
            except IndexError:
                break  # another thread buries too
            self.discard(item, "stopped", error)
        while self.waiters:
            self.waiters.popleft()()

    def _make_room(self, item: Any) -> bool:
        overflow = self.actor_class.mailbox.overflow
        if overflow == "drop_oldest":
            try:
                self.discard(self.mail.popleft(), "dropped", self.full_error())
            except IndexError:
                pass  # the agent has just drained it
            return True
        if overflow == "drop_newest":
            self.discard(item, "dropped", self.full_error())
        elif overflow == "fail":
            self.discard(item, "mailbox full", self.full_error())
            raise self.full_error()
        return False

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
                    context.run(handler.function, actor, item)
                except BaseException as error:  # noqa: BLE001 - a handler may raise anything
                    self._raised(error, item, None, fatal=True)
                else:
                    continue
            else:
                self._handle(item)
            if self.state != RUNNING or self.running >= self.concurrency:
                break
        if self.waiters:
            self._admit()
        if self.state == RUNNING and self.running < self.concurrency:
            if mail:
                self.executor.schedule(self)
            else:
                self.scheduled = False
                # A message that came between the look and the flag has scheduled nothing.
                if (mail or self.system) and not self.scheduled:
                    self.resume()
        return handled

    def resume(self) -> None:
        """Take turns again."""
        self.scheduled = True
        self.executor.schedule(self)

    def _admit(self) -> None:
        room = self.actor_class.mailbox.capacity - len(self.mail)
        while room > 0 and self.waiters:
            self.waiters.popleft()()
            room -= 1

    def _run_system(self) -> None:
        for _ in range(len(self.system)):
            item = self.system.popleft()
            if callable(item):
                item()
            elif item.cancelled:
                continue
            elif self.state == RUNNING and self.running < self.concurrency:
                item.pending = False
                handler = item.handler
                self._invoke(handler.function, handler.is_async, (self.actor,), None, TICK, fatal=True)
            else:
                self.system.append(item)  # a tick waits until the running handler has ended

    def _handle(self, item: Any) -> None:
        envelope: Envelope | None = None
        message = item
        if type(item) is Envelope:
            envelope, message = item, item.message
            reply = item.reply
            if reply is not None:
                if not reply.done() and reply.deadline is not None and reply.deadline <= monotonic():
                    reply.expire()
                if reply.done():
                    self.node.dead_letter(self.address, item, "expired", "its asker waits no longer")
                    return
        message_type = type(message)
        cache = self.routes.cache
        handler = cache[message_type] if message_type in cache else self.routes.find(message_type)
        if handler is not None:
            self._invoke(
                handler.function, handler.is_async, (self.actor, message), message, envelope, fatal=True
            )
        else:
            self._handle_other(message, envelope)

    def _handle_other(self, message: Any, envelope: Envelope | None) -> None:
        asked = envelope is not None and envelope.reply is not None
        if isinstance(message, _ActorStop):
            if envelope is not None and envelope.reply is not None:
                self.stop_ports.append(envelope.reply)
            self.node.life.stop(self, "stopped")
        elif isinstance(message, _PROXY_MESSAGES) or self.actor_class._has_on_receive:
            # Pykka's rule: an error in an ask returns to the caller and the actor lives.
            function = self.actor_class._handle_receive
            self._invoke(function, False, (self.actor, message), message, envelope, fatal=not asked)
        else:
            name = self.node.name_of(message)
            error = UnhandledMessageError(str(self.address), name, self.routes.handled)
            self.discard(envelope or message, "unhandled", error)

    def _invoke(
        self,
        function: Callable[..., Any],
        is_async: bool,
        arguments: tuple[Any, ...],
        message: Any,
        envelope: Envelope | None,
        *,
        fatal: bool,
    ) -> None:
        handled = self._handled_message(envelope) if envelope is not None and envelope.context else None
        if is_async:
            coroutine = function(*arguments)
            self.start_task(
                self._traced(handled, coroutine) if handled else coroutine,
                envelope,
                partial(self._ended, message, envelope, fatal),
            )
            return
        self.handling.envelope = envelope
        try:
            if handled is None:
                result = self.context.run(function, *arguments)
            else:
                result = self.context.run(self._call_traced, handled, function, arguments)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            self._raised(error, message, envelope, fatal)
            return
        if asyncio.iscoroutine(result):  # an `async def` behind on_receive or a proxy call
            self.start_task(result, envelope, partial(self._ended, message, envelope, fatal))
        elif envelope is not None and envelope.reply is not None:
            envelope.reply.resolve(result)

    def start_task(
        self, coroutine: Any, envelope: Envelope | None, ended: Callable[[Any, Any], None]
    ) -> None:
        """Run a coroutine as this agent's; then `ended(result, error)` and take turns again."""
        handling = Handling(self, envelope, is_async=True)
        # One at a time shares the agent's context; several at once must not see each other's `sender`.
        context = self.context if self.concurrency == 1 else self.context.copy()
        context.run(CURRENT.set, handling)
        self.running += 1

        def started(task: asyncio.Task[Any]) -> None:
            self.tasks[task] = envelope

        def done(finished: asyncio.Task[Any]) -> None:
            # Out of the agent's context here: hooks that follow enter it anew.
            self.context.run(CURRENT.set, self.handling)
            self.running -= 1
            self.tasks.pop(finished, None)
            if finished.cancelled():
                ended(None, asyncio.CancelledError())
            else:
                error = finished.exception()
                ended(None if error else finished.result(), error)
            if self.state == RUNNING:
                self.resume()

        self.executor.start_task(coroutine, context, started, done)

    def _ended(self, message: Any, envelope: Envelope | None, fatal: bool, result: Any, error: Any) -> None:
        if error is not None:
            self._raised(error, message, envelope, fatal)
        elif envelope is not None and envelope.reply is not None:
            envelope.reply.resolve(result)

    def _raised(self, error: BaseException, message: Any, envelope: Envelope | None, fatal: bool) -> None:
        reply = None if envelope is None else envelope.reply
        if isinstance(error, asyncio.CancelledError):
            if reply is not None:
                reply.fail(AskCancelledError(str(self.address)))
            elif message is not None:
                self.discard(envelope or message, "cancelled")
            return
        if reply is not None:
            reply.fail(error)
        if isinstance(error, Reject):
            if reply is None and message is not None:
                self.discard(envelope or message, "rejected", error)
        elif fatal and self.state in (RUNNING, STOPPING):
            self.node.life.fail(self, error, message, envelope)

    # -- tracing -----------------------------------------------------------------------------------

    def _handled_message(self, envelope: Envelope) -> HandledMessage | None:
        if self.node.sink is None or self.actor_class.trace == "off" or not envelope.context[24] & 1:
            return None
        return HandledMessage(
            kind=self.address.kind,
            key=self.address.key,
            message_type=self.node.name_of(envelope.message),
            message_id=envelope.message_id,
            sender="" if envelope.sender is None else str(envelope.sender),
            context=envelope.context,
            wait_s=max(0.0, monotonic() - envelope.put_at) if envelope.put_at else 0.0,
            remote=bool(envelope.remote),
            is_ask=envelope.reply is not None,
        )

    def _call_traced(self, handled: HandledMessage, function: Callable[..., Any], arguments: Any) -> Any:
        with self.node.sink.process(handled):  # type: ignore[union-attr]
            return function(*arguments)

    async def _traced(self, handled: HandledMessage, coroutine: Any) -> Any:
        with self.node.sink.process(handled):  # type: ignore[union-attr]
            return await coroutine
