"""Idle agents give their instance up: `idle_after_s`. Their next message makes a new one.

The cell stays while anybody can reach it, so that there is never a moment in which a message finds none,
or two. A spawned agent's cell is kept by the directory (its constructor's arguments are needed again); a
placed one's only by the refs that know it, and with the last of them it is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.events import AgentPassivated
from covey.framework.state import NEW, PASSIVE, RUNNING, STOPPING
from covey.framework.timers import DelayedTell

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.node import Node

__all__ = ["Passivation"]


class Passivation:
    """Looks at each agent with `idle_after_s` twice in that time; no other agent costs anything."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def watch(self, cell: Cell) -> None:
        """Look at a running agent from now on."""
        idle_after_s = cell.actor_class.idle_after_s
        if idle_after_s is not None:
            cell.handled_when_seen = -1
            self._look_later(cell, idle_after_s / 2)

    def look(self, cell: Cell) -> None:
        """Passivate an agent that has handled nothing since it was looked at twice; in its executor."""
        idle_after_s = cell.actor_class.idle_after_s
        if cell.state != RUNNING or idle_after_s is None or cell.registered:
            return
        if cell.handled != cell.handled_when_seen or not _is_idle(cell):
            cell.handled_when_seen = cell.handled
            self._look_later(cell, idle_after_s)
        else:
            self._node.life.stop(cell, "idle", then=self._gave_up)

    def wake(self, cell: Cell) -> None:
        """A passive agent has mail: make a new instance; in its executor."""
        node = self._node
        belongs_here = not cell.placed or node.presence.locate(cell.address, "") == node.name
        if not belongs_here or not node.directory.revive(cell):
            node.life.finish(cell, "moved" if not belongs_here else "the node stops")
            return
        cell.state = NEW
        node.life.start(cell)

    def _look_later(self, cell: Cell, delay_s: float) -> None:
        dispatcher = self._node.dispatcher
        dispatcher.wheel.add(cell, dispatcher.now() + delay_s)
        dispatcher.check_deadlines()

    def _gave_up(self, cell: Cell) -> None:
        if cell.state != STOPPING:
            return  # killed while its on_stop ran
        node, parent = self._node, cell.parent
        if node.stopping or (parent is not None and parent.state >= STOPPING):
            node.life.finish(cell, "idle")
            return
        cell.actor = None
        cell.actor_ref = None
        cell.context = None
        cell.state = PASSIVE
        node.publishing.forget(cell)
        if cell.placed:
            node.directory.let_go(cell)
        node.emit(AgentPassivated(str(cell.address), node.name))
        cell.rest()


def _is_idle(cell: Cell) -> bool:
    if cell.scheduled or cell.running or cell.mail or cell.waiters or cell.children or cell.watches:
        return False
    return not any(isinstance(timer, DelayedTell) for timer in cell.timers or ())
