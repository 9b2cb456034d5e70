"""What a node tells of one of its agents: its state and its mailbox's counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from covey.framework.state import STATES

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["AgentInfo", "info_of"]


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """One agent at one moment; the figures belong to its address, and outlive restarts."""

    address: str
    state: str
    """`new`, `starting`, `running`, `restarting`, `stopping` or `passive`."""
    waiting: int
    """Messages in its mailbox."""
    capacity: int
    """How many its mailbox takes."""
    senders_waiting: int
    """Senders that wait for room."""
    handlers: int
    """`async def` handlers that run now."""
    handled: int
    """Messages handled so far, requests to stop included."""
    dropped: int
    """Messages that its overflow policy made dead letters of."""
    restarts: int


def info_of(cell: Cell) -> AgentInfo:
    """The present figures; read without a lock, each for itself."""
    return AgentInfo(
        address=str(cell.address),
        state=STATES[cell.state],
        waiting=len(cell.mail or ()),
        capacity=cell.capacity,
        senders_waiting=len(cell.waiters or ()),
        handlers=cell.running,
        handled=cell.handled,
        dropped=cell.dropped,
        restarts=cell.restarts,
    )
