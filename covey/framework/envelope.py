"""What lies in a mailbox: a message with what came along with it.

An item of mail has one of three forms, from light to heavy, and the fast path depends on it:
- a bare message (any object that is neither a `tuple` nor an `Envelope`): a tell with nothing attached;
- a pair `(message, sender's address)`: a tell from an agent of the same node, untraced;
- an `Envelope`: everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from covey.framework.events import NO_CONTEXT

if TYPE_CHECKING:
    from covey.framework.address import Address

__all__ = ["TICK", "Envelope", "ReplyPort", "message_of", "opened"]


class ReplyPort(Protocol):
    """Where the answer to an ask goes; resolves exactly once, from any thread."""

    deadline: float | None
    """On the node's monotonic clock; None waits for ever (Pykka's own asks)."""

    chain: tuple[Address, ...]
    """Addresses of the agents that are awaiting this answer, outermost first."""

    def done(self) -> bool:
        """Whether it was answered, failed, cancelled or timed out."""
        ...

    def resolve(self, value: Any) -> bool:
        """Answer; False if it was resolved before."""
        ...

    def expire(self) -> bool | None:
        """Its deadline has passed: answer with `AskTimeoutError`."""
        ...

    def fail(self, error: BaseException) -> bool:
        """Answer with an error; False if it was resolved before."""
        ...


class Envelope:
    """A message with its reply port, sender and trace context."""

    __slots__ = ("attempt", "context", "message", "message_id", "put_at", "remote", "reply", "sender")

    def __init__(
        self,
        message: Any,
        reply: ReplyPort | None = None,
        sender: Address | None = None,
        context: bytes = NO_CONTEXT,
        put_at: float = 0.0,
    ) -> None:
        self.message = message
        self.reply = reply
        self.sender = sender
        self.context = context
        self.put_at = put_at
        """When it was sent, on the monotonic clock; only set for traced messages."""
        self.remote: str = ""
        """Name of the node that it came from; empty when it never left this one."""
        self.message_id: str = ""
        self.attempt = 0
        """How often an instance has failed with it."""

    def __repr__(self) -> str:
        return f"Envelope({self.message!r}, sender={self.sender}, ask={self.reply is not None})"


TICK = Envelope(None)
"""Stands for the tick of a timer: what a timer's method sends may begin a trace."""


def opened(item: Any) -> Envelope:
    """An item of mail as an envelope, whichever form it has."""
    if type(item) is Envelope:
        return item
    if type(item) is tuple:
        return Envelope(item[0], None, item[1])
    return Envelope(item)


def message_of(item: Any) -> Any:
    """The message in an item of mail."""
    if type(item) is Envelope:
        return item.message
    return item[0] if type(item) is tuple else item
