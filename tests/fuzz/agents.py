"""Who is fuzzed: agents that count what they handle, and the messages that they take."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import field
from datetime import datetime

from covey import Agent, Mailbox, handles, message, subscribes

__all__ = ["HANDLED", "Count", "Far", "Listener", "Narrow", "Near", "Shade", "Tree"]

HANDLED: Counter[str] = Counter()
"""Messages by the kind of the agent that handled them, through all its lives."""
ROOMY = Mailbox(capacity=1_000_000)


class Shade(enum.Enum):
    DARK = 0
    LIGHT = 1


@message(name="fuzz.Count")
class Count:
    number: int


@message(name="fuzz.Tree")
class Tree:
    """Something of everything, nested."""

    label: str
    shade: Shade = Shade.DARK
    ratio: float = 0.0
    at: datetime | None = None
    data: bytes = b""
    flag: bool = False
    numbers: list[int] = field(default_factory=list)
    children: list[Tree] = field(default_factory=list)


class _Counting(Agent):
    mailbox = ROOMY

    @handles
    def count(self, count: Count) -> Count:
        HANDLED[self.kind] += 1
        return count

    @handles
    def tree(self, tree: Tree) -> Tree:
        HANDLED[self.kind] += 1
        return tree


class Near(_Counting):
    """Lives on the node that is fuzzed."""

    kind = "near"


class Narrow(_Counting):
    """Has hardly any room; lives where `Near` does."""

    kind = "narrow"
    mailbox = Mailbox(capacity=2)


class Far(_Counting):
    """Lives on the other node."""

    kind = "far"


class Listener(Agent):
    """Hears what is published."""

    kind = "listener"
    mailbox = ROOMY

    @subscribes("news.>")
    def count(self, count: Count) -> None:
        HANDLED[self.kind] += 1
