"""An agent's hooks: `on_start`, `on_stop`, `on_failure`, each `def` or `async def`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from covey.framework.pykka_bridge import report_failure

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["beyond_the_runtime", "report_hook", "run_hook"]

logger = logging.getLogger("covey.agent")

_RUNTIME = os.path.dirname(__file__) + os.sep


def run_hook(
    cell: Cell,
    hook: Callable[..., Any],
    args: tuple[Any, ...],
    then: Callable[[BaseException | None], None],
) -> None:
    """Run a hook in the agent's context; then `then(error)`, in the agent's executor."""
    cell.envelope = None
    try:
        result = cell.call_hook(hook, args)
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
        trace = (type(error), error, beyond_the_runtime(error))
        logger.error("%s: %s raised", cell.address, hook, exc_info=trace)


def beyond_the_runtime(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame that is not the runtime's: those before it help nobody."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_RUNTIME):
            break
        trace = trace.tb_next
    return trace
