"""The mailbox of an agent, as its class declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from covey.framework.errors import ConfigurationError

__all__ = ["Mailbox", "Overflow"]

Overflow = Literal["backpressure", "drop_oldest", "drop_newest", "fail"]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Bound and overflow policy of an agent's mailbox: `mailbox = Mailbox(capacity=100)`.

    With `backpressure` a full mailbox makes its sender wait: a thread blocks, a coroutine waits at
    `await ref.tell(...)`, both at most until the deadline; a plain handler on the loop gets
    `MailboxFullError`. `drop_oldest` and `drop_newest` make a dead letter of a message, `fail` raises
    `MailboxFullError` at the sender.
    """

    capacity: int = 10_000
    """Messages that may wait. A request to stop, a `Terminated` and a message of `after` find room even when
    it is full, and are never dropped."""
    overflow: Overflow = "backpressure"

    def __post_init__(self) -> None:
        if not isinstance(self.capacity, int) or self.capacity < 1:
            raise ConfigurationError(
                f"Mailbox(capacity={self.capacity!r}): a mailbox holds at least 1 message"
            )
        if self.overflow not in get_args(Overflow):
            raise ConfigurationError(
                f"Mailbox(overflow={self.overflow!r}): choose one of {', '.join(get_args(Overflow))}"
            )
