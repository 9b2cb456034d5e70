"""Which cell the agent under construction belongs to: how `self.key` is known inside `__init__`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covey.framework.current import CURRENT
from covey.framework.errors import ConfigurationError

if TYPE_CHECKING:
    from covey.framework.agent import Agent
    from covey.framework.cell import Cell

__all__ = ["construct", "state_of", "take_cell"]

_OF_THE_RUNTIME = ("_cell", "_actor_urn")

_UNDER_CONSTRUCTION: Any = object()
"""Stands in `envelope` of the cell whose instance is about to be made."""


def take_cell() -> Cell | None:
    """The cell of the instance that is being made; only the first instance made gets it."""
    current: Any = CURRENT.get()
    if current is None or current.envelope is not _UNDER_CONSTRUCTION:
        return None
    current.envelope = None
    found: Cell = current
    return found


def construct(cell: Cell) -> None:
    """Make the cell's instance in the calling thread; errors of the constructor pass through.

    It runs in the agent's own context: variables that the constructor sets stay with the agent. Most set
    none, and an agent that has handled nothing yet then needs no context.
    """
    context = cell.own_context()
    cell.envelope = _UNDER_CONSTRUCTION
    try:
        actor: Any = context.run(cell.actor_class, *cell.args, **(cell.kwargs or {}))
    finally:
        cell.envelope = None
    if getattr(actor, "_cell", None) is not cell:
        raise ConfigurationError(
            f"{cell.actor_class.__name__}(...) gave an instance that is not its own: do not override __new__"
        )
    cell.actor = actor
    if len(context) == 1:
        cell.context = None


def state_of(actor: Agent) -> dict[str, Any]:
    """The attributes of an instance, less the runtime's own."""
    return {name: value for name, value in vars(actor).items() if name not in _OF_THE_RUNTIME}
