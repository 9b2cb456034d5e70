"""Reads the tree of a node: without locks, each figure for itself, from any thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from covey.framework.dead_letters import clip_text
from covey.framework.error_text import encodable, error_text
from covey.framework.errors import ConfigurationError
from covey.framework.state import PASSIVE, RUNNING, STATES
from covey.framework.supervision.agent_unit import AgentUnit
from covey.framework.supervision.excerpt import STRUCTURE, TROUBLED, WELL, Bounds, excerpt
from covey.framework.supervision.hosted import HostedUnit
from covey.framework.supervision.placed_guardian import PlacedGuardian
from covey.framework.supervision.remote_unit import RemoteUnit
from covey.framework.supervision.running import RunningSupervisor
from covey.framework.supervision.tree import NodeTree, TreeLine
from covey.framework.supervision.unit import Unit

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.node import Node

__all__ = ["MOST_BYTES", "MOST_CHILDREN", "check_most", "tree_of"]

MOST_CHILDREN = 20
MOST_BYTES = 512 * 1024
LABEL_CHARS = 600


class Group(NamedTuple):
    """A heading, and what stands below it."""

    label: str
    items: Sequence[Unit | Cell]


def check_most(most_children: int) -> int:
    """Refuse what is no number of children to show."""
    if isinstance(most_children, bool) or not isinstance(most_children, int):
        raise ConfigurationError(f"most_children={most_children!r}: give a number of children, such as 20")
    return most_children


def tree_of(node: Node, most_children: int = MOST_CHILDREN) -> NodeTree:
    """The node's tree, small enough for one message; see `excerpt` for what is left out.

    Time is in proportion to the number of agents; called in another thread, the loop has its turns meanwhile.
    """
    cells = node.directory.cells
    bounds = Bounds(max(0, most_children), min(MOST_BYTES, node.max_payload_bytes // 2))
    lines, left_out, troubled = excerpt(_roots(node, cells), _Source(node), bounds)
    return NodeTree(
        node=node.name,
        pid=os.getpid(),
        agents=len(cells),
        handled=node.handled,
        dead_letters=len(node.dead_letters),
        failure="" if node.failure is None else encodable(str(node.failure)),
        peers=[peer.name for peer in node.presence.members],
        lines=lines,
        left_out=left_out,
        left_out_troubled=troubled,
    )


def _roots(node: Node, cells: Sequence[Cell]) -> list[Group | Unit | Cell]:
    """What stands at the top: supervisors, and agents that have none here, by what made them."""
    hosted = [unit for unit in node.trees.hosted.units if unit.supervisor_node != node.name]
    placed = [cell for cell in cells if cell.placed]
    spawned = [cell for cell in cells if cell.supervisor is None and cell.parent is None and not cell.is_held]
    groups = (
        Group("children of supervisors on other nodes", hosted),
        Group("placed agents", placed),
        Group("spawned agents", spawned),
    )
    # One that was stopped is of no more interest; one that gave up is.
    supervisors = [root for root in node.trees.roots if root.phase != "stopped" or root.last_error]
    return [*supervisors, *(group for group in groups if group.items)]


class _Source:
    """The whole tree of one node, see `excerpt`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def below(self, item: Group | Unit | Cell) -> Sequence[Unit | Cell]:
        if isinstance(item, Group):
            return item.items
        if isinstance(item, RunningSupervisor):
            return item.known
        cell = self._cell(item) if isinstance(item, Unit) else item
        return () if cell is None or not cell.children else tuple(cell.children)

    def rank(self, item: Group | Unit | Cell) -> int:
        if isinstance(item, AgentUnit):  # the first: there may be a million
            cell = item.cell
            is_well = item.state == "running" and not item.last_error and (cell is None or not cell.restarts)
            return WELL if is_well else TROUBLED
        if isinstance(item, Group):
            return STRUCTURE
        if isinstance(item, RunningSupervisor):
            is_well = _state_of(item) == "running" and not item.last_error and not item.has_restarted
            return STRUCTURE if is_well else TROUBLED
        if isinstance(item, RemoteUnit):
            is_well = item.state == "running" and not item.last_error and not item.restarts
        else:
            is_well = item.state in (RUNNING, PASSIVE) and not item.restarts
        return WELL if is_well else TROUBLED

    def line(self, item: Group | Unit | Cell) -> TreeLine:
        if isinstance(item, Group):
            return TreeLine(what="group", label=item.label)
        if isinstance(item, RunningSupervisor):
            return self._of_supervisor(item)
        if isinstance(item, Unit):
            return self._of_child(item)
        what = "placed" if item.placed else "spawned"
        line = TreeLine(what=what, label=str(item.address), state=STATES[item.state], restarts=item.restarts)
        if isinstance(item.supervisor, PlacedGuardian):
            line.last_error = item.supervisor.last_error_of(item)
        elif item.last_error is not None:
            line.last_error = encodable(error_text(item.last_error))
        _add_mailbox(line, item)
        return line

    def _of_supervisor(self, unit: RunningSupervisor) -> TreeLine:
        return TreeLine(
            what="supervisor",
            label=_label(unit.id),
            state=_state_of(unit),
            restarts=unit.recent_restarts,
            last_error=encodable(unit.last_error),
            strategy=unit.spec.strategy,
            intensity=unit.spec.intensity,
            period_s=unit.spec.period_s,
        )

    def _of_child(self, unit: Unit) -> TreeLine:
        cell = self._cell(unit)
        is_passive = unit.state == "running" and cell is not None and cell.state == PASSIVE
        line = TreeLine(
            what="child",
            label=unit.id,
            state="passive" if is_passive else unit.state,
            restart=unit.restart,
            restarts=0 if cell is None else cell.restarts,
            last_error=encodable(unit.last_error),
        )
        if cell is not None:
            _add_mailbox(line, cell)
        if isinstance(unit, HostedUnit):
            line.what, line.node, line.supervisor = "hosted", unit.supervisor_node, _label(unit.path)
            line.restarts += unit.restarts
        elif isinstance(unit, RemoteUnit):
            line.node = "" if unit.on_node == self._node.name else unit.on_node
            is_wanted = unit.state == "starting" and not unit.on_node
            line.waits_for = str(unit.spec.node) if is_wanted else ""
            line.restarts = unit.restarts
        return line

    def _cell(self, unit: Unit) -> Cell | None:
        """A child's cell, if it lives here."""
        if isinstance(unit, AgentUnit):
            return unit.cell
        if isinstance(unit, RemoteUnit) and unit.on_node == self._node.name:
            return self._node.directory.find(unit.spec.address, activate=False)
        return None


def _state_of(unit: RunningSupervisor) -> str:
    """As its own supervisor sees it; a root's, as it sees itself."""
    return unit.phase if unit.parent is None else unit.state


def _label(text: str) -> str:
    return encodable(clip_text(text, LABEL_CHARS))


def _add_mailbox(line: TreeLine, cell: Cell) -> None:
    line.waiting, line.capacity, line.handled = len(cell.mail or ()), cell.capacity, cell.handled
