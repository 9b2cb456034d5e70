"""A published message on its way to one subscriber."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.framework.handlers import Subscription

__all__ = ["TopicMessage"]


class TopicMessage:
    """A published message in the mailbox of one subscriber: its topic has chosen the method."""

    __slots__ = ("message", "subscription")

    def __init__(self, message: Any, subscription: Subscription) -> None:
        self.message = message
        self.subscription = subscription

    def __repr__(self) -> str:
        return f"TopicMessage({self.message!r})"
