"""What an agent does with one message: find its handler, run it, answer, and see to an error.

Everything but `cancel` runs in the agent's executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from covey.framework.current import CURRENT, Current, Handling
from covey.framework.envelope import TICK, Envelope
from covey.framework.errors import AskCancelledError, Reject, UnhandledMessageError
from covey.framework.handlers import Handler, Subscription
from covey.framework.mail_queue import MailQueue
from covey.framework.state import RUNNING, STOPPING
from covey.framework.traced import call_traced, handled_message, run_traced

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.envelope import ReplyPort
    from covey.framework.handlers import RouteTable
    from covey.framework.node import Node

__all__ = ["Receiver", "cancel_from_outside"]

_PROXY_MESSAGES = (ProxyCall, ProxyGetAttr, ProxySetAttr)


class Receiver(MailQueue, Current):
    """A mailbox with the instance that handles its messages, one after the other or several at once."""

    __slots__ = (
        "actor",
        "concurrency",
        "context",
        "envelope",
        "open_spans",
        "restarts",
        "routes",
        "running",
        "stop_ports",
        "tasks",
    )

    is_async = False
    """As the `Current` of plain handlers."""

    def __init__(self, node: Node, actor_class: type[Agent], address: Address, executor: Executor) -> None:
        super().__init__(node, actor_class, address, executor)
        self.actor: Agent | None = None
        self.routes: RouteTable = actor_class._routes
        self.concurrency = actor_class.concurrency
        self.running = 0
        """Tasks of this agent that run now, hooks included."""
        self.restarts = 0
        self.tasks: dict[asyncio.Task[Any], Envelope | None] | None = None
        self.stop_ports: list[Any] | None = None
        """Who waits for the end."""
        self.context: Context | None = None
        self.envelope: Any = None
        self.open_spans = 0

    @property
    def cell(self) -> Receiver:  # type: ignore[override]
        """As the `Current` of plain handlers."""
        return self

    # -- what the life of the agent decides ---------------------------------------------------------

    def asked_to_stop(self) -> None:
        """The mail before the request to stop has been handled."""
        raise NotImplementedError

    def task_ended(self) -> None:
        """A task has ended while the agent stops."""
        raise NotImplementedError

    def failed(self, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        """A handler raised."""
        raise NotImplementedError

    # -- one message -------------------------------------------------------------------------------

    def own_context(self) -> Context:
        """The context that this agent's code runs in; made at first use."""
        context = self.context
        if context is None:
            context = self.context = Context()
            context.run(CURRENT.set, self)
        return context

    def cancel(self, reply: Any) -> None:
        """Cancel the handler that owes this reply, if it runs as a task and may be; from any thread."""
        if not self.actor_class.cancellable:
            return
        if self.executor is self.node.dispatcher:
            # Between two turns: the handler has then either not been looked at or has its task.
            self.node.dispatcher.call(self._cancel_tasks_for, reply)
        else:
            self._cancel_tasks_for(reply)

    def _cancel_tasks_for(self, reply: Any) -> None:
        for task, envelope in list((self.tasks or {}).items()):
            if envelope is not None and envelope.reply is reply:
                cancel_from_outside(task)

    def _handle(self, envelope: Envelope) -> None:
        """Handle what the fast path of `turn` left over."""
        message, reply = envelope.message, envelope.reply
        if reply is not None:
            if reply.deadline is not None and reply.deadline <= self.node.now() and not reply.done():
                reply.expire()
            if reply.done() and type(message) is not _ActorStop:
                self.node.dead_letter(self.address, envelope, "expired", "its asker waits no longer")
                return
        message_type = type(message)
        cache = self.routes.cache
        handler = cache[message_type] if message_type in cache else self.routes.find(message_type)
        if handler is None:
            self._handle_other(message, envelope)
        elif envelope.context:
            self._invoke(handler, (self.actor, message), message, envelope)
        elif handler.is_async:
            self._start_handler(handler.function(self.actor, message), message, envelope, True)
        else:
            self._call(handler.function, (self.actor, message), message, envelope)

    def _handle_other(self, message: Any, envelope: Envelope) -> None:
        if isinstance(message, _ActorStop):
            if envelope.reply is not None:
                self.add_stop_port(envelope.reply)
            self.asked_to_stop()
        elif type(getattr(message, "subscription", None)) is Subscription:
            # A publication: its topic has chosen the method.
            handler = message.subscription.handler
            message = message.message
            envelope.message = message  # dead letters and spans name what was published
            self._invoke(handler, (self.actor, message), message, envelope)
        elif isinstance(message, _PROXY_MESSAGES) or self.actor_class._has_on_receive:
            # Pykka's rule: an error in an ask returns to the caller and the actor lives.
            handler = Handler("on_receive", self.actor_class._handle_receive, False)
            self._invoke(handler, (self.actor, message), message, envelope, fatal=envelope.reply is None)
        else:
            name = self.node.name_of(message)
            error = UnhandledMessageError(str(self.address), name, self.routes.handled)
            self.discard(envelope, "unhandled", error)

    def add_stop_port(self, reply: ReplyPort) -> None:
        """Answer once the agent has stopped."""
        if self.stop_ports is None:
            self.stop_ports = []
        self.stop_ports.append(reply)

    def _invoke(
        self,
        handler: Handler,
        arguments: tuple[Any, ...],
        message: Any,
        envelope: Envelope,
        *,
        fatal: bool = True,
    ) -> None:
        """Run a handler, within its span if the message is traced."""
        function, sink = handler.function, self.node.sink
        handled = handled_message(self, envelope) if envelope.context else None
        if handler.is_async:
            coroutine = function(*arguments)
            if handled is not None:
                coroutine = run_traced(sink, handled, coroutine)
            self._start_handler(coroutine, message, envelope, fatal)
        elif handled is None:
            self._call(function, arguments, message, envelope, fatal)
        else:
            self._call(call_traced, (sink, handled, function, arguments), message, envelope, fatal)

    def _call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        message: Any,
        envelope: Envelope,
        fatal: bool = True,
    ) -> None:
        """Call a plain handler and answer with what it returns."""
        self.envelope = envelope
        try:
            result = (self.context or self.own_context()).run(function, *arguments)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            self._raised(error, message, envelope, fatal)
            return
        if type(result) is CoroutineType:  # an `async def` behind a decorator, on_receive or a proxy call
            self._start_handler(result, message, envelope, fatal)
        elif envelope.reply is not None:
            envelope.reply.resolve(result)

    # -- tasks -------------------------------------------------------------------------------------

    def _start_handler(
        self, coroutine: Coroutine[Any, Any, Any], message: Any, envelope: Envelope, fatal: bool
    ) -> None:
        handling = Handling(self, envelope)
        # One at a time shares the agent's context; several at once must not see each other's `sender`.
        context = self.context or self.own_context()
        if self.concurrency > 1:
            context = context.copy()
        context.run(CURRENT.set, handling)
        self._start(self._attend(coroutine, handling, message, envelope, fatal), context, handling, envelope)

    def start_hook(self, coroutine: Coroutine[Any, Any, Any], ended: Callable[[Any], None]) -> None:
        """Run a hook's coroutine as this agent's; then `ended(error)`, outside of the agent's context."""
        handling = Handling(self)
        context = self.own_context()
        context.run(CURRENT.set, handling)
        self._start(self._attend_hook(coroutine, handling, ended), context, handling, None)

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        handling: Handling,
        envelope: Envelope | None,
    ) -> None:
        self.running += 1
        handling.task, step = self.executor.make_task(coroutine, context)
        if self.tasks is None:
            self.tasks = {}
        self.tasks[handling.task] = envelope
        if step is None:
            self.executor.run_tasks()
        else:
            context.run(step)

    async def _attend(
        self,
        coroutine: Coroutine[Any, Any, Any],
        handling: Handling,
        message: Any,
        envelope: Envelope,
        fatal: bool,
    ) -> None:
        """The body of a handler's task."""
        born, since = self.restarts, monotonic()
        try:
            result = await coroutine
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            # Hooks that follow enter the agent's context anew, so this has to be left first.
            self.executor.call(self._task_failed, handling, error, message, envelope, fatal, born)
            return
        if envelope.reply is not None:
            envelope.reply.resolve(result)
        meter, took_s = self.executor.meter, monotonic() - since
        meter.tasks_left -= 1
        if took_s > meter.slow_s or meter.tasks_left <= 0:
            meter.attended(self, message, took_s)
        self._task_over(handling)
        if self.state == RUNNING:
            if self.stalled:
                self.resume()
        elif self.state == STOPPING:
            self.executor.call(self.task_ended)

    async def _attend_hook(
        self, coroutine: Coroutine[Any, Any, Any], handling: Handling, ended: Callable[[Any], None]
    ) -> None:
        raised: BaseException | None = None
        try:
            await coroutine
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            raised = error
        self.executor.call(self._hook_over, handling, ended, raised)

    def _task_over(self, handling: Handling) -> None:
        # Tasks that the handler left behind inherit neither its deadline nor its place in a chain.
        handling.envelope, handling.is_async = None, False
        if self.concurrency == 1 and self.context is not None:
            if CURRENT.get() is handling:
                CURRENT.set(self)
            else:
                self.context.run(CURRENT.set, self)
        self.running -= 1
        if self.tasks is not None and handling.task is not None:
            self.tasks.pop(handling.task, None)

    def _task_failed(
        self,
        handling: Handling,
        error: BaseException,
        message: Any,
        envelope: Envelope,
        fatal: bool,
        born: int,
    ) -> None:
        self._task_over(handling)
        # What an old instance left is no failure of the new one.
        self._raised(error, message, envelope, fatal and born == self.restarts)
        self._go_on()

    def _hook_over(
        self,
        handling: Handling,
        ended: Callable[[Any], None],
        error: BaseException | None,
    ) -> None:
        self._task_over(handling)
        ended(error)
        self._go_on()

    def _go_on(self) -> None:
        if self.state == RUNNING:
            self.resume()
        elif self.state == STOPPING:
            self.task_ended()

    def _raised(self, error: BaseException, message: Any, envelope: Envelope, fatal: bool) -> None:
        reply = envelope.reply
        if isinstance(error, asyncio.CancelledError):
            if reply is not None:
                reply.fail(AskCancelledError(str(self.address)))
            elif envelope is not TICK:
                self.discard(envelope, "cancelled")
            return
        if reply is not None:
            reply.fail(error)
        if isinstance(error, Reject):
            if reply is None and envelope is not TICK:
                self.discard(envelope, "rejected", error)
        elif (fatal or not isinstance(error, Exception)) and self.state in (RUNNING, STOPPING):
            self.failed(error, message, envelope)


def cancel_from_outside(task: asyncio.Task[Any]) -> None:
    """Cancel a task from any thread."""
    try:
        task.get_loop().call_soon_threadsafe(task.cancel)
    except RuntimeError:
        return  # its loop has ended, and the task with it
