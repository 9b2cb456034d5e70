"""What lies in a mailbox: a message with what came along with it.

A bare message (any object that is not an `Envelope`) in a mailbox is a tell with nothing attached: no
sender, no trace. Most tells from outside the swarm are such, and the fast path depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from covey.framework.events import NO_CONTEXT

if TYPE_CHECKING:
    from covey.framework.address import Address

__all__ = ["Envelope", "ReplyPort"]


class ReplyPort(Protocol):
    """Where the answer to an ask goes; resolves exactly once, from any thread."""

    deadline: float | None
    """On the node's monotonic clock; None waits for ever (Pykka's own asks)."""

    chain: tuple[str, ...]
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

    __slots__ = ("context", "message", "message_id", "put_at", "remote", "reply", "sender")

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

    def __repr__(self) -> str:
        return f"Envelope({self.message!r}, sender={self.sender}, ask={self.reply is not None})"
