"""The end of an agent on its node, or of one of its instances: asked for, by its supervisor, by force.

What changes a cell's state runs in the cell's executor, between two messages of the cell; `request_drain`,
`request_kill`, `cut`, `force_end` and `abandon` say otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pykka

from covey.framework.cell import Cell
from covey.framework.dispatch_loop import cancel, cancel_from_outside
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError
from covey.framework.events import AgentStopped
from covey.framework.hooks import report_hook, run_hook
from covey.framework.linking import end_links
from covey.framework.pykka_registry import leave
from covey.framework.state import FAILED, NEW, PASSIVE, RUNNING, STARTING, STOPPED, STOPPING
from covey.framework.thread_executor import ThreadExecutor
from covey.framework.watching import end_watches, notify_watches, watch_elsewhere

if TYPE_CHECKING:
    from covey.framework.node import Node
    from covey.framework.supervision.guardian import Guardian

__all__ = ["Ending"]

logger = logging.getLogger("covey.agent")

CHILDREN_S = 5.0
"""How long the restart of an agent waits for its children to stop before they are killed."""
CHILDREN_POLL_S = 0.005
CANCEL_S = 1.0
"""How long a new instance waits for the cancelled handlers of the one before."""
KILL_S = 0.2
"""How long a thread is waited for that was told to end."""


class Ending:
    """Lets the cells of one node go down."""

    def __init__(self, node: Node) -> None:
        self._node = node

    # -- stop --------------------------------------------------------------------------------------

    def stop(self, cell: Cell, reason: str, then: Callable[[Cell], None] | None = None) -> None:
        """Stop once what runs now has ended: children first, then `on_stop`, then dead letters.

        `then` takes the place of the end.
        """
        if cell.state in (STOPPING, STOPPED):
            cell.idle_look = None  # one that is being passivated ends instead
            if cell.state == STOPPED:
                self.answer_stops(cell)
            return
        actor, born = cell.actor if cell.state in (RUNNING, STARTING) else None, cell.restarts
        if cell.state != FAILED:
            cell.last_error = None  # what it failed with earlier is not why it ends
        cell.state = STOPPING
        self.cancel_timers(cell)

        def stopped(error: BaseException | None) -> None:
            if cell.state != STOPPING or cell.restarts != born:
                return  # it was killed meanwhile, and another instance may stand here
            if error is not None:
                report_hook(cell, "on_stop", error)
            supervisor = cell.supervisor
            if then is not None:
                then(cell)
            elif supervisor is not None and supervisor.replaces(cell):
                self.step_down(cell, supervisor, reason)
            else:
                self.finish(cell, reason)

        def end() -> None:
            if actor is None:
                self.finish(cell, reason)
            elif cell.actor_class.on_stop is pykka.Actor.on_stop:
                stopped(None)
            else:
                if cell.supervisor is None and then is None:
                    leave(cell)
                run_hook(cell, actor.on_stop, (), stopped)

        cell.ending = end
        self.stop_children(cell, "its parent stopped")
        self.proceed(cell)

    def step_down(self, cell: Cell, supervisor: Guardian, reason: str) -> None:
        """The end of an instance that will be replaced: the address and the mail are kept."""
        cell.state = FAILED
        cell.failed_at = self._node.now()
        cell.last_error = None
        cell.stops_met = cell.waiting_stops()
        self.answer_stops(cell)
        end_links(cell, reason, has_failed=False)
        self._node.emit(AgentStopped(str(cell.address), self._node.name, reason))
        supervisor.child_down(cell, None, "restart")

    def halt(self, cell: Cell, reason: str) -> None:
        """Let a supervised agent's instance stop as `stop` does, and keep address and mail."""
        supervisor = cell.supervisor
        assert supervisor is not None
        if cell.state in (PASSIVE, NEW, FAILED):
            supervisor.child_down(cell, None, "restart")
        else:
            self.stop(cell, reason)  # its supervisor says that it is replaced

    def proceed(self, cell: Cell) -> None:
        """Go on stopping if neither a task nor a child is in the way any more."""
        if cell.ending is None or cell.state != STOPPING:
            return
        if not cell.running and not cell.children:
            end, cell.ending = cell.ending, None
            end()

    def request_drain(self, cell: Cell) -> None:
        """Stop an agent after its mail; at once if it has failed and waits for its restart."""

        if cell.is_held:
            cell.post(self.finish, cell, "the node stops")
            return

        def drain() -> None:
            if cell.state in (FAILED, PASSIVE):
                self.stop(cell, "the node stops")
            else:
                cell.put_stop(None)

        if cell.state in (FAILED, PASSIVE):
            cell.post(drain)
        else:
            drain()

    def request_kill(self, cell: Cell, reason: str) -> None:
        """Stop an agent without waiting for its handlers; from any thread."""
        cell.post(self.kill, cell, reason)
        if isinstance(cell.executor, ThreadExecutor):
            # Its thread comes to its system lane when the running handler has ended.
            for task in list(cell.tasks or ()):
                cancel_from_outside(task)

    def kill(self, cell: Cell, reason: str) -> None:
        """Stop without waiting: running tasks are cancelled, `on_stop` is not called."""
        if cell.state == STOPPED:
            return
        cell.end_reason = f"killed: {reason}"
        end_links(cell, cell.end_reason, has_failed=True)
        self.cancel_tasks(cell, cell.end_error())
        self._node.fencing.leave_tasks(cell)
        self.cancel_timers(cell)
        self.stop_children(cell, reason)
        self.finish(cell, reason)

    def cut(self, cell: Cell, reason: str) -> None:
        """Take a supervised agent's instance away without waiting; on the loop thread.

        Address and mail are kept. `on_stop` is not called; a handler that holds a thread is left behind.
        """
        supervisor = cell.supervisor
        assert supervisor is not None
        if cell.state in (PASSIVE, NEW, FAILED, STOPPED):
            if cell.state != STOPPED:
                supervisor.child_down(cell, None, "restart")
            return
        end_links(cell, f"killed: {reason}", has_failed=True)
        if isinstance(cell.executor, ThreadExecutor):
            cell.end_reason = f"killed: {reason}"
            cell = self._node.fencing.supersede(cell)
        else:
            cell.ending = None
            self.cancel_tasks(cell, AgentDeadError(str(cell.address), f"killed: {reason}"))
            for handling in list((cell.tasks or {}).values()):
                self._node.fencing.detach(cell, handling)
            self.cancel_timers(cell)
            self.stop_children(cell, reason)
            cell.state = FAILED
            cell.failed_at = self._node.now()
        cell.last_error = None
        cell.stops_met = cell.waiting_stops()
        self.answer_stops(cell)
        self._node.emit(AgentStopped(str(cell.address), self._node.name, reason))
        supervisor.child_down(cell, None, "restart")

    def force_end(self, cell: Cell, reason: str) -> None:
        """The end without waiting; on the loop thread. A handler that holds a thread is left behind."""
        self.request_kill(cell, reason)
        if isinstance(cell.executor, ThreadExecutor):
            self._node.later(KILL_S, partial(self._give_up_if_held, cell, reason))

    def _give_up_if_held(self, cell: Cell, reason: str) -> None:
        if cell.state != STOPPED:
            cell.end_reason = f"killed: {reason}"
            self._node.fencing.give_up(cell)

    def abandon(self, cell: Cell) -> None:
        """The end of an agent whose thread is held up by a handler; from another thread."""
        cell.scheduled = True
        cell.state = STOPPED
        leave(cell)
        self._node.forget(cell)
        cell.bury()
        self.answer_stops(cell)
        end_links(cell, "its handler holds its thread", has_failed=True)
        end_watches(cell)
        notify_watches(cell, "stopped")
        self._node.emit(AgentStopped(str(cell.address), self._node.name, cell.end_reason or "stopped"))
        if cell.supervisor is not None:
            cell.supervisor.child_ended(cell)
        if isinstance(cell.executor, ThreadExecutor):
            cell.executor.end()

    def finish(self, cell: Cell, reason: str) -> None:
        """The end: forget the address, make dead letters of the mail, tell who wants to know."""
        if cell.state == STOPPED:
            return
        if cell.state not in (FAILED, STOPPING):
            cell.last_error = None
        cell.end_reason = cell.end_reason or reason
        cell.scheduled = True  # so that a sender who comes later sees the state and buries
        cell.state = STOPPED
        cell.ending = None
        if cell.idle_look is not None:
            cell.idle_look.cancel()
        self.cancel_timers(cell)
        leave(cell)
        if cell.last_error is not None:
            self._node.directory.remember(cell)
        self._node.forget(cell)
        cell.bury()
        self.answer_stops(cell)
        cell.actor = None
        cell.context = None
        if cell.links is not None:
            end_links(cell, reason, has_failed=False)
        if cell.watching is not None:
            end_watches(cell)
        if cell.watches is not None:
            self._tell_watchers(cell, reason)
        if self._node.is_observed and not cell.is_held:
            self._node.emit(AgentStopped(str(cell.address), self._node.name, reason))
        if cell.supervisor is not None:
            cell.supervisor.child_ended(cell)
        parent = cell.parent
        if parent is not None and parent.state == STOPPING:
            parent.post(self.proceed, parent)
        if isinstance(cell.executor, ThreadExecutor):
            cell.executor.end()

    def _tell_watchers(self, cell: Cell, reason: str) -> None:
        node = self._node
        may_move = (cell.placed or cell.is_held) and not node.stopping
        destination = node.presence.locate(cell.address, "") if may_move else None
        if destination in (None, node.name):
            notify_watches(cell, reason)
        else:  # it has moved, which is no end
            watch_elsewhere(cell)

    def stop_children(self, cell: Cell, reason: str) -> None:
        """Ask all children to stop, the last spawned first; does not wait."""
        for child in reversed(tuple(cell.children or ())):
            if child.state < STOPPING or child.idle_look is not None:
                child.post(self.stop, child, reason)

    def answer_stops(self, cell: Cell) -> None:
        """Tell those who asked it to stop that it has."""
        ports = cell.stop_ports
        if ports is None:
            return
        cell.stop_ports = None
        for port in ports:
            port.resolve(None)

    # -- parts -------------------------------------------------------------------------------------

    def cancel_tasks(self, cell: Cell, error: AgentDeadError) -> None:
        """Cancel what runs; those who asked for it get the error."""
        if not cell.tasks:
            return
        for task, handling in list(cell.tasks.items()):
            envelope = handling.envelope
            if type(envelope) is Envelope and envelope.reply is not None:
                envelope.reply.fail(error)
            # Not at once where a first step is still to come: a task that never began could not tell its end.
            cancel(task)

    def cancel_timers(self, cell: Cell) -> None:
        """The instance has ended, and its timers with it."""
        timers = cell.timers
        if timers is not None:
            cell.timers = None
            for timer in tuple(timers):
                timer.cancel()
