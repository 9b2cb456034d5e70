"""An agent's hooks: `on_start`, `on_stop`, `on_failure`, each `def` or `async def`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.pykka_bridge import report_failure

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["report_hook", "run_hook"]

logger = logging.getLogger("covey.agent")


def run_hook(
    cell: Cell,
    hook: Callable[..., Any],
    args: tuple[Any, ...],
    then: Callable[[BaseException | None], None],
) -> None:
    """Run a hook in the agent's context; then `then(error)`, in the agent's executor."""
    cell.envelope = None
    try:
        result = (cell.context or cell.own_context()).run(hook, *args)
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        then(error)
        return
    if asyncio.iscoroutine(result):
        cell.start_hook(result, then)
    else:
        then(None)


def report_hook(cell: Cell, hook: str, error: BaseException) -> None:
    """Log what a hook raised, as Pykka does where Pykka started the agent."""
    if not report_failure(cell, error, error.__traceback__):
        logger.error("%s: %s raised", cell.address, hook, exc_info=error)
