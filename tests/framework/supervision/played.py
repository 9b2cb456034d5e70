"""Children of a supervisor's machine that are played by a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from covey.framework.supervision.backoff import Backoff
from covey.framework.supervision.machine import ChildRecord

__all__ = ["BAD", "STRATEGIES", "Kid", "Spec"]

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
BAD = ValueError("bad")


@dataclass
class Spec:
    strategy: str = "one_for_one"
    intensity: int = 3
    period_s: float = 10.0
    backoff: Backoff | None = None


class Kid(ChildRecord):
    """A child that is played: what it does now, and whether it has an instance."""

    __slots__ = ("doing", "ends_alone", "has_ended", "name", "revived", "was_up")

    def __init__(self, name: str, restart: Any = "permanent", *, is_dynamic: bool = False) -> None:
        super().__init__(restart, is_dynamic=is_dynamic)
        self.name = name
        self.doing = ""
        """`start`, `halt` or `end` until it has answered; `run` while it has an instance."""
        self.was_up = False
        self.revived = False
        self.has_ended = False
        """Whether it ended after its supervisor started."""
        self.ends_alone = False
        """Whether its end has nothing to do with the order of a group."""

    def __repr__(self) -> str:
        return f"{self.name}:{self.state}"
