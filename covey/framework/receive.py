"""What an agent does with one message: find its handler, run it, answer, and see to an error.

Everything but `cancel` runs in the agent's executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from covey.framework.current import CURRENT, Handling
from covey.framework.envelope import Envelope
from covey.framework.errors import AskCancelledError, Reject, UnhandledMessageError
from covey.framework.handlers import Subscription
from covey.framework.mail_queue import MailQueue
from covey.framework.state import RUNNING, STOPPING
from covey.framework.traced import call_traced, handled_message, run_traced

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.handlers import RouteTable
    from covey.framework.node import Node

__all__ = ["Receiver", "cancel_from_outside"]

_PROXY_MESSAGES = (ProxyCall, ProxyGetAttr, ProxySetAttr)


class Receiver(MailQueue):
    """A mailbox with the instance that handles its messages, one after the other or several at once."""

    __slots__ = (
        "actor",
        "concurrency",
        "context",
        "handling",
        "restarts",
        "routes",
        "running",
        "stop_ports",
        "tasks",
    )

    def __init__(self, node: Node, actor_class: type[Agent], address: Address, executor: Executor) -> None:
        super().__init__(node, actor_class, address, executor)
        self.actor: Agent | None = None
        self.routes: RouteTable = actor_class._routes
        self.concurrency = actor_class.concurrency
        self.running = 0
        """Tasks of this agent that run now, hooks included."""
        self.restarts = 0
        self.tasks: dict[asyncio.Task[Any], Envelope | None] = {}
        self.stop_ports: list[Any] = []
        """Who waits for the end."""
        self.handling = Handling(self)
        self.context = Context()
        self.context.run(CURRENT.set, self.handling)

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

    def cancel(self, envelope: Envelope) -> None:
        """Cancel the handler of an envelope if it runs as a task and may be cancelled; from any thread."""
        if not self.actor_class.cancellable:
            return
        if self.executor is self.node.dispatcher:
            # Between two turns: the handler has then either not been looked at or has its task.
            self.node.dispatcher.call(self._cancel_tasks_of, envelope)
        else:
            self._cancel_tasks_of(envelope)

    def _cancel_tasks_of(self, envelope: Envelope) -> None:
        for task in list(self.tasks):
            if self.tasks.get(task) is envelope:
                cancel_from_outside(task)

    def _handle(self, item: Any) -> None:
        envelope: Envelope | None = None
        message = item
        if type(item) is Envelope:
            envelope, message = item, item.message
            reply = item.reply
            if reply is not None:
                if not reply.done() and reply.deadline is not None and reply.deadline <= monotonic():
                    reply.expire()
                if reply.done() and type(message) is not _ActorStop:
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
            self.asked_to_stop()
        elif type(getattr(message, "subscription", None)) is Subscription:
            # A publication: its topic has chosen the method.
            handler = message.subscription.handler
            message = message.message
            if envelope is not None:
                envelope.message = message  # dead letters and spans name what was published
            self._invoke(
                handler.function, handler.is_async, (self.actor, message), message, envelope, fatal=True
            )
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
        handled = handled_message(self, envelope) if envelope is not None and envelope.context else None
        if is_async:
            coroutine = function(*arguments)
            self.start_task(
                run_traced(self.node.sink, handled, coroutine) if handled else coroutine,
                envelope,
                self._then(message, envelope, fatal),
            )
            return
        self.handling.envelope = envelope
        try:
            if handled is None:
                result = self.context.run(function, *arguments)
            else:
                result = self.context.run(call_traced, self.node.sink, handled, function, arguments)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            self._raised(error, message, envelope, fatal)
            return
        if asyncio.iscoroutine(result):  # an `async def` behind on_receive or a proxy call
            self.start_task(result, envelope, self._then(message, envelope, fatal))
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
            # Tasks that the handler left behind inherit neither its deadline nor its place in a chain.
            handling.envelope, handling.is_async = None, False
            self.running -= 1
            self.tasks.pop(finished, None)
            if finished.cancelled():
                ended(None, asyncio.CancelledError())
            else:
                error = finished.exception()
                ended(None if error else finished.result(), error)
            if self.state == RUNNING:
                self.resume()
            elif self.state == STOPPING:
                self.task_ended()

        self.executor.start_task(coroutine, context, started, done)

    def _then(self, message: Any, envelope: Envelope | None, fatal: bool) -> Callable[[Any, Any], None]:
        return partial(self._ended, message, envelope, fatal, self.restarts)

    def _ended(
        self, message: Any, envelope: Envelope | None, fatal: bool, born: int, result: Any, error: Any
    ) -> None:
        if error is not None:
            fatal = fatal and born == self.restarts  # what an old instance left is no failure of the new
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
            self.failed(error, message, envelope)


def cancel_from_outside(task: asyncio.Task[Any]) -> None:
    """Cancel a task from any thread."""
    try:
        task.get_loop().call_soon_threadsafe(task.cancel)
    except RuntimeError:
        return  # its loop has ended, and the task with it
