"""Whom an agent reports its end to: a running supervisor, or the placement of this node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["Guardian"]


class Guardian(Protocol):
    """Decides what becomes of an agent that failed or stopped."""

    path: str
    """Names from the root down, for reports."""

    def replaces(self, cell: Cell) -> bool:
        """Whether the cell, which stops by itself, gets a fresh instance; from the cell's executor."""
        ...

    def child_down(self, cell: Cell, error: BaseException | None) -> None:
        """The cell waits with its mailbox for what is decided: it failed, or (no error) is to be replaced."""
        ...

    def child_ended(self, cell: Cell) -> None:
        """The cell ended for good; its mail is a matter for the dead letters."""
        ...
