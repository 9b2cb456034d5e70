"""What becomes of an agent that failed: `on_failure`, the report, and the decision of its supervisor.

Every function runs in the cell's executor, between two messages of the cell.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pykka

from covey.framework.death import death_of, report_of
from covey.framework.envelope import TICK
from covey.framework.error_text import REPORT_CHARS, error_text
from covey.framework.events import NO_CONTEXT, AgentFailed
from covey.framework.hooks import beyond_the_runtime, report_hook, run_hook
from covey.framework.linking import end_links
from covey.framework.pykka_bridge import ends_all, report_failure
from covey.framework.pykka_registry import leave
from covey.framework.state import FAILED, RUNNING, STOPPING

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.envelope import Envelope
    from covey.framework.node import Node
    from covey.framework.supervision.verdict import Verdict

__all__ = ["Failing"]

logger = logging.getLogger("covey.agent")


class Failing:
    """Sees to the failures of one node's agents."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def fail(self, cell: Cell, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        """A handler, hook or constructor raised: a report, `on_failure`, and the supervisor decides."""
        life, stopping = self._node.life, cell.state == STOPPING
        actor, supervisor, born = cell.actor, cell.supervisor, cell.restarts
        verdict: Verdict = "stop" if supervisor is None else supervisor.verdict(cell, error)
        if verdict == "resume" and cell.state == RUNNING:
            self._resume(cell, error, message, envelope)
            return
        if verdict == "resume":
            verdict = "restart"  # there is no instance that could go on
        retried = verdict == "restart" and not stopping and _may_retry(cell, envelope)
        if envelope is not None and envelope.reply is not None and not retried:
            envelope.reply.fail(error)
        cell.state = FAILED
        cell.failed_at = self._node.now()
        cell.failures += 1
        cell.last_error = error
        cell.ending = None
        life.cancel_timers(cell)
        if cell.tasks:
            life.cancel_tasks(cell, death_of(cell, error))
        life.stop_children(cell, "its parent failed")
        name, context = self._note_message(cell, message, envelope)
        if retried:
            assert envelope is not None
            envelope.attempt += 1
            cell.put_back(envelope)
        elif name and envelope is not None and envelope.reply is None:
            self._node.dead_letter(cell.address, envelope, "failed", error_text(error, REPORT_CHARS))
        cell.failed_context = context
        _report(cell, error, verdict)
        self._tell(cell, error, name, context, verdict, envelope)
        if cell.links is not None:
            end_links(cell, f"it failed: {error_text(error, REPORT_CHARS)}", has_failed=True)

        all_end = ends_all(cell, error)
        if cell.supervisor is None:
            leave(cell)

        def decided(hook_error: BaseException | None) -> None:
            if hook_error is not None:
                report_hook(cell, "on_stop" if all_end else "on_failure", hook_error)
            if cell.state != FAILED or cell.restarts != born:
                return  # it was restarted with its group, or ended, while its hook ran
            if supervisor is None or (stopping and not supervisor.replaces(cell)):
                life.finish(cell, f"failed: {error_text(error, REPORT_CHARS)}")
                return
            life.answer_stops(cell)
            supervisor.child_down(cell, error, verdict)

        if all_end and actor is not None:
            run_hook(cell, actor.on_stop, (), decided)
            pykka.ActorRegistry.stop_all(block=False)
        elif actor is None or cell.actor_class.on_failure is pykka.Actor.on_failure:
            decided(None)
        else:
            run_hook(cell, actor.on_failure, (type(error), error, error.__traceback__), decided)

    def _resume(self, cell: Cell, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        """The verdict is that the instance goes on with its state: only the message is lost."""
        if envelope is not None and envelope.reply is not None:
            envelope.reply.fail(error)
        cell.failures += 1
        name, context = self._note_message(cell, message, envelope)
        if name and envelope is not None and envelope.reply is None:
            self._node.dead_letter(cell.address, envelope, "failed", error_text(error, REPORT_CHARS))
        _report(cell, error, "resume")
        self._tell(cell, error, name, context, "resume", envelope)

    def _note_message(self, cell: Cell, message: Any, envelope: Envelope | None) -> tuple[str, bytes]:
        """Type name and trace context of the message that an agent failed with; empty for none."""
        cell.last_message = ""
        if envelope is None or envelope is TICK:
            return "", NO_CONTEXT
        name = self._node.name_of(message)
        envelope.message_id = envelope.message_id or self._node.new_message_id()
        cell.last_message = f"{name} {envelope.message_id}"
        return name, envelope.context

    def _tell(
        self,
        cell: Cell,
        error: BaseException,
        message_type: str,
        context: bytes,
        verdict: Verdict,
        envelope: Envelope | None,
    ) -> None:
        supervisor = cell.supervisor
        self._node.emit(
            AgentFailed(
                str(cell.address),
                self._node.name,
                error,
                message_type,
                cell.restarts,
                context,
                "" if supervisor is None else supervisor.path,
                "" if supervisor is None else verdict,
                "" if envelope is None else envelope.message_id,
            )
        )


def _may_retry(cell: Cell, envelope: Envelope | None) -> bool:
    if envelope is None or envelope is TICK or envelope.attempt >= cell.actor_class.max_retries:
        return False
    return envelope.reply is None or not envelope.reply.done()


def _report(cell: Cell, error: BaseException, verdict: Verdict) -> None:
    trace = (type(error), error, beyond_the_runtime(error))
    if report_failure(cell, error, trace[2]):
        logger.warning("%s", report_of(cell, error, verdict))
    else:
        logger.error("%s", report_of(cell, error, verdict), exc_info=trace)
