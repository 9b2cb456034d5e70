"""A handler within its span: what the sink is told, and the two ways of running inside it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from covey.framework.events import HandledMessage, is_sampled

if TYPE_CHECKING:
    from covey.framework.envelope import Envelope
    from covey.framework.receive import Receiver

__all__ = ["call_traced", "handled_message", "run_traced"]


def handled_message(cell: Receiver, envelope: Envelope) -> HandledMessage | None:
    """What a sink needs to know; None when the message is not traced."""
    if cell.node.sink is None or cell.actor_class.trace == "off" or not is_sampled(envelope.context):
        return None
    return HandledMessage(
        kind=cell.address.kind,
        key=cell.address.key,
        message_type=cell.node.name_of(envelope.message),
        message_id=envelope.message_id,
        sender="" if envelope.sender is None else str(envelope.sender),
        context=envelope.context,
        wait_s=max(0.0, cell.node.now() - envelope.put_at) if envelope.put_at else 0.0,
        remote=bool(envelope.remote),
        is_ask=envelope.reply is not None,
    )


def call_traced(
    sink: Any, handled: HandledMessage, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """Call a plain handler; one that returns a coroutine has its span around that."""
    with sink.process(handled):
        return function(*arguments)


async def run_traced(sink: Any, handled: HandledMessage, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a handler's coroutine."""
    with sink.process(handled):
        return await coroutine
