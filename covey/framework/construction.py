"""Which cell the agent under construction belongs to: how `self.key` is known inside `__init__`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from covey.framework.errors import ConfigurationError

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["construct", "take_cell"]

_CONSTRUCTING: ContextVar[Cell | None] = ContextVar("covey_constructing", default=None)


def take_cell() -> Cell | None:
    """The cell of the instance that is being made; only the first instance made gets it."""
    cell = _CONSTRUCTING.get()
    if cell is not None:
        _CONSTRUCTING.set(None)
    return cell


def construct(cell: Cell) -> None:
    """Make the cell's instance in the calling thread; errors of the constructor pass through."""
    token = _CONSTRUCTING.set(cell)
    try:
        actor: Any = cell.actor_class(*cell.args, **(cell.kwargs or {}))
    finally:
        _CONSTRUCTING.reset(token)
    if getattr(actor, "_cell", None) is not cell:
        raise ConfigurationError(
            f"{cell.actor_class.__name__}(...) gave an instance that is not its own: do not override __new__"
        )
    cell.actor = actor
