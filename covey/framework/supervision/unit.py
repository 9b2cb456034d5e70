"""One child of a running supervisor: an agent of this node, an agent of another node, or a supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from covey.framework.supervision.machine import ChildRecord, Phase

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.node import Node
    from covey.framework.supervision.child import Child
    from covey.framework.supervision.supervisor import Supervisor
    from covey.framework.supervision.verdict import Verdict

__all__ = ["Superior", "Unit"]


class Superior(Protocol):
    """What a child needs of its supervisor, which may run on another node; see `RunningSupervisor`."""

    @property
    def node(self) -> Node: ...
    @property
    def path(self) -> str: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def is_performing(self) -> bool: ...
    @property
    def retired(self) -> bool: ...
    def child_up(self, unit: Unit) -> None: ...
    def child_down(self, unit: Unit, error: BaseException | None, verdict: Verdict) -> None: ...
    def child_ended(self, unit: Unit) -> None: ...
    def decide(self, unit: Unit, error: BaseException) -> Verdict: ...


class Unit(ChildRecord):
    """What a running supervisor does to a child; all of it on the node's loop thread.

    Each is told to the supervisor's machine when it is done, which may be at once: `up` or `down` after
    `begin`, `down` after `halt`, `ended` after `end`.
    """

    __slots__ = ("last_error", "parent", "spec", "waiting_replies")

    def __init__(
        self, parent: Superior | None, spec: Child | Supervisor, *, is_dynamic: bool = False
    ) -> None:
        super().__init__(getattr(spec, "restart", "permanent"), is_dynamic=is_dynamic)
        self.parent: Any = parent
        self.spec: Any = spec
        self.last_error = ""
        """The last failure of it, for lists."""
        self.waiting_replies: list[Any] | None = None
        """Of those who wait for its end."""

    @property
    def id(self) -> str:
        """What its supervisor knows it by."""
        return str(self.spec.id)

    def construct(self) -> None:
        """Make its first instances, in the calling thread; raises what their constructors do."""
        raise NotImplementedError

    def renew(self, *, is_made: bool) -> None:
        """It has ended; whether it is its supervisor's to construct it when it starts again, or a user's."""

    def begin(self, cause: str) -> None:
        """Bring an instance up; `cause` says why, empty for a first start."""
        raise NotImplementedError

    def halt(self) -> None:
        """Let the instance go, within the time that its spec gives; address and mail are kept."""
        raise NotImplementedError

    def end(self, reason: str) -> None:
        """The end for good, within the time that its spec gives."""
        raise NotImplementedError

    def cells(self) -> Iterator[Cell]:
        """The agents of this node below it, in the order in which they start."""
        raise NotImplementedError

    def addresses(self) -> list[str]:
        """The addresses that it occupies."""
        raise NotImplementedError

    def registered(self) -> None:
        """Its addresses were made known to all, which may have come after its end."""

    def forgotten(self) -> None:
        """Its supervisor knows it no more, although nobody asked for that: its address answers nothing."""

    def nodes_changed(self) -> None:
        """A node of the swarm came or went."""

    def retire(self) -> None:
        """Decide nothing any more: the node leaves."""

    def answer_ended(self) -> None:
        """It has ended: tell those who wait for that."""
        replies, self.waiting_replies = self.waiting_replies, None
        for reply in replies or ():
            reply.resolve(None)
