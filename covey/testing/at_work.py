"""Who is at work, and with what: for the error that ends a wait."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING

from covey.framework.receive import Receiver
from covey.testing.thread_agents import nodes_on

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.testing.manual_loop import ManualLoop

__all__ = ["at_work"]


def at_work(loops: Iterable[ManualLoop], thread_cells: Iterable[Cell]) -> tuple[str, ...]:
    """One text for each agent with a busy thread and for each loop that is not quiet."""
    idents = {thread.name: thread.ident for thread in threading.enumerate()}
    threads = [_in_thread(cell, idents.get(getattr(cell.executor, "name", ""))) for cell in thread_cells]
    return (*threads, *(_on_loop(loop) for loop in loops if not loop.is_quiet))


def _in_thread(cell: Cell, ident: int | None) -> str:
    found = _running(ident)
    return (
        f"{cell.address} (in {found[1]}, in its own thread)" if found else f"{cell.address} (its own thread)"
    )


def _on_loop(loop: ManualLoop) -> str:
    nodes = nodes_on([loop])
    name = f"node {nodes[0].name}" if nodes else "a node that starts or has stopped"
    if loop.outside:
        return f"{name} (waits for {loop.outside} functions in other threads, as of asyncio.to_thread)"
    ident = nodes[0].dispatcher.ident if nodes else None
    found = _running(ident)
    if found is not None:
        return f"{found[0].address} (in {found[1]})"
    turns = [cell for node in nodes for cell in node.directory.cells if cell.scheduled and not cell.stalled]
    return f"{name} (agents that take turns: {', '.join(str(cell.address) for cell in turns[:10]) or 'none'})"


def _running(ident: int | None) -> tuple[Receiver, str] | None:
    """The agent whose code a thread runs, and the method."""
    frame: FrameType | None = None if ident is None else sys._current_frames().get(ident)
    method = ""
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), Receiver):
            return (frame.f_locals["self"], method) if method else None
        if not frame.f_globals.get("__name__", "").startswith("covey.framework"):
            method = frame.f_code.co_qualname
        frame = frame.f_back
    return None
