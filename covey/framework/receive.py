"""What an agent does with one message: find its handler, run it, answer. In the agent's executor."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from covey.framework.attending import Attending
from covey.framework.cluster.topic_message import TopicMessage
from covey.framework.errors import UnhandledMessageError
from covey.framework.handlers import Handler
from covey.framework.traced import call_traced, handled_message, run_traced

if TYPE_CHECKING:
    from covey.framework.envelope import Envelope

__all__ = ["Receiver"]

_PROXY_MESSAGES = (ProxyCall, ProxyGetAttr, ProxySetAttr)


class Receiver(Attending):
    """Routes each message to its handler, and runs it."""

    __slots__ = ()

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
        elif type(message) is TopicMessage:
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
        elif envelope.reply is not None and not envelope.reply.resolve(result):
            self.answered_too_late(envelope, result)
