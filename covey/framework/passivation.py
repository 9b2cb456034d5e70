"""Idle agents give their instance up: `idle_after_s`. Their next message makes a new one.

The cell stays while anybody can reach it, so that there is never a moment in which a message finds none,
or two. A spawned agent's cell is kept by the directory (its constructor's arguments are needed again); a
placed one's only by the refs that know it, and with the last of them it is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.cluster.moving import REPLACED
from covey.framework.events import AgentPassivated
from covey.framework.state import NEW, PASSIVE, RUNNING, STOPPING
from covey.framework.thread_executor import ThreadExecutor
from covey.framework.timers import DelayedTell

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.deadlines import Bucket, DeadlineWheel
    from covey.framework.node import Node

__all__ = ["IdleLook", "Passivation"]


class IdleLook:
    """When to look next whether an agent is idle: waits in the node's deadline wheel."""

    __slots__ = ("_bucket", "_cell", "handled", "quiet_since")

    def __init__(self, cell: Cell, quiet_since: float) -> None:
        self._cell = cell
        self._bucket: Bucket | None = None
        self.handled = cell.handled
        self.quiet_since = quiet_since

    def wait(self, wheel: DeadlineWheel, deadline: float) -> None:
        """Look at that time."""
        self._bucket = wheel.add(self, deadline)

    def cancel(self) -> None:
        """The agent has ended: nothing may keep it in memory until the next look."""
        if self._bucket is not None:
            self._bucket.discard(self)

    def expire(self) -> None:
        cell = self._cell
        cell.executor.call(cell.node.passivation.look, cell, self)


class Passivation:
    """Looks at each agent with `idle_after_s` twice in that time at most; no other agent costs anything."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def watch(self, cell: Cell) -> None:
        """Look at a running agent from now on."""
        if cell.idle_look is not None:
            cell.idle_look.cancel()  # of an earlier instance
        if cell.actor_class.idle_after_s is not None and not cell.registered:
            self._look_later(cell, IdleLook(cell, self._node.now()))

    def look(self, cell: Cell, look: IdleLook) -> None:
        """Passivate an agent that has handled nothing for long enough; in its executor."""
        idle_after_s = cell.actor_class.idle_after_s
        if cell.state != RUNNING or cell.idle_look is not look or idle_after_s is None:
            return  # a later instance has a look of its own
        now = self._node.now()
        if cell.handled != look.handled or not _is_idle(cell):
            self._look_later(cell, IdleLook(cell, now))
        elif now - look.quiet_since < idle_after_s:
            self._look_later(cell, look)
        else:
            self._node.life.stop(cell, "idle", then=self._gave_up)

    def wake(self, cell: Cell) -> None:
        """A passive agent has mail: make a new instance; in its executor."""
        node = self._node
        belongs_here = not cell.placed or node.presence.locate(cell.address, "") == node.name
        if not belongs_here or not node.directory.revive(cell):
            reason = REPLACED if belongs_here else "it belongs to another node now"
            node.life.finish(cell, "stopped" if node.stopping else reason)
            return
        cell.state = NEW
        node.life.start(cell)

    def _look_later(self, cell: Cell, look: IdleLook) -> None:
        assert cell.actor_class.idle_after_s is not None
        cell.idle_look = look
        dispatcher = self._node.dispatcher
        look.wait(dispatcher.wheel, dispatcher.now() + cell.actor_class.idle_after_s / 2)
        dispatcher.check_deadlines()

    def _gave_up(self, cell: Cell) -> None:
        if cell.state != STOPPING:
            return  # killed while its on_stop ran
        node = self._node
        if node.stopping or cell.idle_look is None:  # somebody asked it to stop meanwhile
            supervisor = cell.supervisor
            if supervisor is not None and supervisor.replaces(cell):
                node.life.step_down(cell, supervisor, "stopped")
            else:
                node.life.finish(cell, "stopped")
            return
        cell.actor = None
        cell.actor_ref = None
        cell.context = None
        cell.ticks = None
        cell.state = PASSIVE
        node.publishing.forget(cell)
        if isinstance(cell.executor, ThreadExecutor):
            cell.executor.park()
        if cell.placed:
            node.directory.let_go(cell)
        node.emit(AgentPassivated(str(cell.address), node.name))
        cell.rest()


def _is_idle(cell: Cell) -> bool:
    if cell.scheduled and not cell.ticks:
        return False  # a tick that waits for its turn keeps nobody
    if cell.running or cell.mail or cell.waiters or cell.children or cell.watches or cell.links:
        return False
    return not any(isinstance(timer, DelayedTell) for timer in tuple(cell.timers or ()))
