"""Whom an agent reports its failures and its end to: its supervisor, or the placement of its node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from covey.framework.supervision.verdict import Verdict

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["Guardian"]


class Guardian(Protocol):
    """Decides what becomes of an agent that failed or stopped; called in the agent's executor."""

    @property
    def path(self) -> str:
        """Names of the supervisors from the root down, for reports."""
        ...

    def verdict(self, cell: Cell, error: BaseException) -> Verdict:
        """What is to be done about an error; must not raise."""
        ...

    def replaces(self, cell: Cell) -> bool:
        """Whether the cell, whose instance stops, is kept for another instance."""
        ...

    def awaits(self, cell: Cell) -> bool:
        """Whether the cell is still to have another instance: a restart may have waited, and be void now."""
        ...

    def preserves_state(self, cell: Cell) -> bool:
        """Whether its next instance takes over what the last one had."""
        ...

    def child_up(self, cell: Cell) -> None:
        """The cell has an instance that handles messages."""
        ...

    def child_down(self, cell: Cell, error: BaseException | None, verdict: Verdict) -> None:
        """The cell waits with its mailbox for what is decided: it failed, or (no error) it stopped."""
        ...

    def child_ended(self, cell: Cell) -> None:
        """The cell ended for good; its mail is a matter for the dead letters."""
        ...

    def child_replaced(self, old: Cell, new: Cell) -> None:
        """Another cell stands for the child now: the thread of the old one is held up for ever."""
        ...
