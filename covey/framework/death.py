"""What is said of an agent that failed: who, under whom, why, how often, with what, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.error_text import REPORT_CHARS, error_text
from covey.framework.errors import AgentDeadError
from covey.framework.state import FAILED

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.supervision.verdict import Verdict

__all__ = ["death_of", "report_of"]


_DECIDED = {
    "resume": "its supervisor lets it go on with the state that it has",
    "restart": "its supervisor decides",
    "stop": "its supervisor stops it for good",
    "escalate": "its supervisor gives up",
}


def report_of(cell: Cell, error: BaseException, verdict: Verdict) -> str:
    """The report of a failure, for the log."""
    advice = (
        "it stops: spawn it under a Supervisor to have it restarted"
        if cell.supervisor is None
        else _DECIDED[verdict]
    )
    return (
        f"{cell.address} failed on node {cell.node.name}: {error_text(error, REPORT_CHARS)} "
        f"(message: {cell.last_message or 'none'}; supervisor: {_supervisor(cell)}; restarts so far: "
        f"{cell.restarts}; waiting: {len(cell.mail or ())}); {advice}"
    )


def death_of(cell: Cell, error: BaseException) -> AgentDeadError:
    """The error for those who talk to an agent that failed for good."""
    dead = AgentDeadError(
        str(cell.address),
        f"it failed with {error_text(error, REPORT_CHARS)} "
        f"(message: {cell.last_message or 'none'}; supervisor: {_supervisor(cell)}; failures: "
        f"{cell.failures}; restarts: {cell.restarts}); its traceback is in the log of node {cell.node.name}, "
        + _advice(cell),
        supervisor="" if cell.supervisor is None else cell.supervisor.path,
        restarts=cell.restarts,
        last_message=cell.last_message,
    )
    dead.__cause__ = error
    return dead


def _advice(cell: Cell) -> str:
    if cell.supervisor is None:
        return "and it is not started again: spawn it under a Supervisor"
    if cell.state == FAILED:
        return "and its supervisor decides: ask again, and mend the cause"
    if cell.placed:
        return "and its next message activates it afresh: mend the cause"
    return "and its supervisor has given it up: mend the cause, or raise the supervisor's intensity"


def _supervisor(cell: Cell) -> str:
    return "none" if cell.supervisor is None else cell.supervisor.path
