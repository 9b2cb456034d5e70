"""What becomes of an agent that failed: `on_failure`, the report, and the decision of its supervisor.

Every function runs in the cell's executor, between two messages of the cell.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pykka

from covey.framework.death import death_of, report_of
from covey.framework.envelope import TICK
from covey.framework.events import NO_CONTEXT, AgentFailed
from covey.framework.hooks import beyond_the_runtime, report_hook, run_hook
from covey.framework.pykka_bridge import ends_all, report_failure
from covey.framework.pykka_registry import leave
from covey.framework.state import FAILED, STOPPING

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.envelope import Envelope
    from covey.framework.node import Node

__all__ = ["Failing"]

logger = logging.getLogger("covey.agent")


class Failing:
    """Sees to the failures of one node's agents."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def fail(self, cell: Cell, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        """A handler, hook or constructor raised: `on_failure`, a report, and the supervisor decides."""
        life, stopping = self._node.life, cell.state == STOPPING
        actor = cell.actor
        cell.state = FAILED
        cell.failed_at = self._node.now()
        cell.failures += 1
        cell.last_error = error
        cell.ending = None
        life.cancel_timers(cell)
        life.cancel_tasks(cell, death_of(cell, error))
        life.stop_children(cell, "its parent failed")
        name, context = "", NO_CONTEXT
        cell.last_message = ""
        if envelope is not None and envelope is not TICK:
            name, context = self._node.name_of(message), envelope.context
            envelope.message_id = envelope.message_id or self._node.new_message_id()
            cell.last_message = f"{name} {envelope.message_id}"
            if envelope.reply is None:
                self._node.dead_letter(cell.address, envelope, "failed", repr(error))
        cell.failed_context = context
        _report(cell, error)
        self._node.emit(AgentFailed(str(cell.address), self._node.name, error, name, cell.restarts, context))

        all_end = ends_all(cell, error)
        if cell.supervisor is None:
            leave(cell)

        def decided(hook_error: BaseException | None) -> None:
            if hook_error is not None:
                report_hook(cell, "on_stop" if all_end else "on_failure", hook_error)
            supervisor = cell.supervisor
            if supervisor is None or (stopping and not supervisor.replaces(cell)):
                life.finish(cell, f"failed: {type(error).__name__}: {error}")
                return
            life.answer_stops(cell)
            self._node.dispatcher.call(supervisor.child_down, cell, error)

        if all_end and actor is not None:
            run_hook(cell, actor.on_stop, (), decided)
            pykka.ActorRegistry.stop_all(block=False)
        elif actor is None or cell.actor_class.on_failure is pykka.Actor.on_failure:
            decided(None)
        else:
            run_hook(cell, actor.on_failure, (type(error), error, error.__traceback__), decided)


def _report(cell: Cell, error: BaseException) -> None:
    trace = (type(error), error, beyond_the_runtime(error))
    if report_failure(cell, error, trace[2]):
        logger.warning("%s", report_of(cell, error))
    else:
        logger.error("%s", report_of(cell, error), exc_info=trace)
