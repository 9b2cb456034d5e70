"""`ChildInfo`: what a supervisor's list says of one child, and `ChildCounts` of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from covey.framework.state import PASSIVE
from covey.framework.supervision.agent_unit import AgentUnit
from covey.framework.supervision.remote_unit import RemoteUnit
from covey.framework.supervision.running import RunningSupervisor
from covey.framework.supervision.unit import Unit

__all__ = ["ChildCounts", "ChildInfo", "info_of"]


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One child of a supervisor at one moment."""

    id: str
    """Its address, or its name if it is a supervisor."""
    is_supervisor: bool
    state: str
    """`waiting`, `starting`, `running`, `passive`, `backoff`, `halting`, `halted`, `ending` or `ended`."""
    restart: str
    restarts: int
    waiting: int
    """Messages in its mailbox; 0 where that is on another node."""
    last_error: str
    node: str
    """Where it lives; empty while it waits for a node."""


class ChildCounts(NamedTuple):
    """How many children a supervisor has, as Erlang/OTP's `count_children` says it."""

    specs: int
    active: int
    supervisors: int
    workers: int


def info_of(unit: Unit) -> ChildInfo:
    """How a child fares now; from any thread."""
    cell = unit.cell if isinstance(unit, AgentUnit) else None
    remote = unit if isinstance(unit, RemoteUnit) else None
    restarts = 0 if cell is None else cell.restarts
    state: str = unit.state
    if cell is not None and cell.state == PASSIVE and state == "running":
        state = "passive"
    return ChildInfo(
        id=unit.id,
        is_supervisor=isinstance(unit, RunningSupervisor),
        state=state,
        restart=unit.restart,
        restarts=restarts if remote is None else remote.restarts,
        waiting=0 if cell is None else len(cell.mail or ()),
        last_error=unit.last_error,
        node=unit.parent.node.name if remote is None else remote.on_node,
    )
