"""What a probe keeps of a message, and what a test may say of the one that it expects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.framework.envelope import ReplyPort
    from covey.framework.ref import AgentRef

__all__ = ["Received", "Wanted", "is_wanted", "name_of"]

Wanted = type[Any] | Callable[[Any], object] | object
"""A message type, a predicate, or a message that it has to equal."""


@dataclass(slots=True, eq=False)
class Received:
    """One message, in the order of arrival."""

    message: Any
    sender: AgentRef | None
    at_s: float
    """When it came, on the node's clock."""
    port: ReplyPort | None
    """Where the answer goes, while it is owed."""
    taken: bool = False
    """Whether an `expect` has returned it."""

    def __str__(self) -> str:
        sender = "the test" if self.sender is None else self.sender.address
        return f"{self.message!r} from {sender} at {self.at_s:g} s"


def is_wanted(wanted: Wanted, message: Any) -> bool:
    """Whether a message is what a test means."""
    if isinstance(wanted, type):
        return isinstance(message, wanted)
    if callable(wanted):
        return bool(wanted(message))
    return bool(wanted == message)


def name_of(wanted: Wanted) -> str:
    """How an error calls it."""
    if isinstance(wanted, type):
        return wanted.__name__
    if callable(wanted):
        return f"message that fits {getattr(wanted, '__name__', wanted)}"
    return repr(wanted)
