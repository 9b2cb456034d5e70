"""A supervisor at work: it does what its machine decides. On the node's loop thread, unless it says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from covey.framework.error_text import REPORT_CHARS, error_text
from covey.framework.errors import SwarmFailedError
from covey.framework.events import AgentEscalated
from covey.framework.reply import LOOP_THREADS, Reply
from covey.framework.supervision.agenda import Agenda
from covey.framework.supervision.agent_unit import AgentUnit
from covey.framework.supervision.child import Child
from covey.framework.supervision.machine import Action, Phase, SupervisorMachine
from covey.framework.supervision.remote_unit import RemoteUnit
from covey.framework.supervision.supervisor import Supervisor
from covey.framework.supervision.unit import Unit
from covey.framework.supervision.verdict import Verdict, check_verdict

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.node import Node

__all__ = ["RunningSupervisor"]

logger = logging.getLogger("covey.supervisor")

ABORT_S = 5.0
"""How long whoever supervises waits for the end of the agents that were made before one could not be."""


class RunningSupervisor(Unit):
    """The children of one supervisor, running; itself a child where it has a supervisor."""

    __slots__ = (
        "_agenda",
        "_by_id",
        "_machine",
        "_numbers",
        "_restart_cause",
        "_stop_reason",
        "node",
        "path",
        "retired",
    )

    spec: Supervisor

    def __init__(
        self,
        node: Node,
        spec: Supervisor,
        parent: RunningSupervisor | None = None,
        *,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(parent, spec, is_dynamic=is_dynamic)
        self.node = node
        self.path: str = spec.name if parent is None else f"{parent.path}/{spec.name}"
        self.retired = False
        """Whether the node leaves: nothing is restarted any more."""
        self._agenda: Agenda = Agenda(node) if parent is None else parent._agenda
        self._stop_reason = "stopped"
        self._restart_cause = ""
        """Why all children start anew, until they have."""
        units = [self.unit_of(child) for child in spec.children]
        self._machine: SupervisorMachine[Unit] = SupervisorMachine(spec, units, self._note)
        self._by_id = {unit.id: unit for unit in units}
        self._numbers = count(len(units) + 1)

    def unit_of(self, child: Child | Supervisor, *, is_dynamic: bool = False) -> Unit:
        """A child of this supervisor, not started yet."""
        if isinstance(child, Child):
            if child.node is not None:
                return RemoteUnit(self, child, is_dynamic=is_dynamic)
            return AgentUnit(self, child, is_dynamic=is_dynamic)
        return RunningSupervisor(self.node, child, self, is_dynamic=is_dynamic)

    def _note(self, action: Action[Unit]) -> None:
        self._agenda.add(self, action)

    def leaves(self) -> Iterator[Unit]:
        """The agents below it, wherever they live, in the order in which they start."""
        for unit in self.units:
            if isinstance(unit, RunningSupervisor):
                yield from unit.leaves()
            else:
                yield unit

    def construct(self) -> None:
        for unit in self.leaves():
            unit.construct()

    def renew(self, *, is_made: bool) -> None:
        for unit in self.leaves():
            unit.renew(is_made=is_made)

    def agents(self) -> Iterator[AgentUnit]:
        """The agents of this node below it, in the order in which they start."""
        return (unit for unit in self.leaves() if isinstance(unit, AgentUnit))

    @property
    def is_performing(self) -> bool:
        """Whether what is told now is taken up at once; on the loop thread."""
        return self._agenda.is_performing

    @property
    def phase(self) -> Phase:
        return self._machine.phase

    @property
    def has_restarted(self) -> bool:
        """Whether it has restarted a child since its start; from any thread, like the next."""
        return self._machine.has_restarted

    @property
    def recent_restarts(self) -> int:
        """How many restarts count towards its intensity now."""
        return self._machine.recent_restarts(self.node.now())

    @property
    def units(self) -> tuple[Unit, ...]:
        """The children in order; from any thread."""
        return tuple(self._machine.children)

    @property
    def known(self) -> tuple[Unit, ...]:
        """As `units`, with those that were claimed and are about to be added; from any thread."""
        return tuple(self._by_id.values())

    def find(self, child_id: str) -> Unit | None:
        """The child of that id; from any thread."""
        return self._by_id.get(child_id)

    def claim(self, unit: Unit) -> Unit:
        """Let a new child have its id, unless another has it, which is returned then; from any thread."""
        return self._by_id.setdefault(unit.id, unit)

    def unclaim(self, unit: Unit) -> None:
        """The child is not known any more; from any thread."""
        if self._by_id.get(unit.id) is unit:
            del self._by_id[unit.id]

    def next_number(self) -> int:
        """Of a pool's next child: none is given twice; from any thread."""
        return next(self._numbers)

    # -- as a child of another, or of the node -----------------------------------------------------

    def begin(self, cause: str) -> None:
        if self.retired:
            return  # the node leaves already
        is_first = self._machine.phase == "new"
        self._restart_cause = "" if is_first else cause or f"its supervisor {self.path} restarts"
        self._machine.start()
        self._agenda.perform()

    def halt(self) -> None:
        self._machine.halt()
        self._agenda.perform()

    def end(self, reason: str) -> None:
        self._stop_reason = reason
        if self._machine.phase == "stopped":
            self._has_stopped()
        else:
            self._machine.stop()
            self._agenda.perform()

    def stop(self, reason: str) -> None:
        """End a supervisor that is nobody's child, or was never started."""
        self.end(reason)

    def abort(self) -> None:
        """One of its agents could not be constructed: end the others, and wait for that; from any thread."""
        ended = threading.Event()
        reply: Reply[None] = Reply(self.path, message_type="abort")
        reply.add_done_callback(ended.set)

        def end() -> None:
            self.waiting_replies = [*(self.waiting_replies or ()), reply]
            self.stop("a sibling could not be constructed")

        self.node.dispatcher.call(end)
        if threading.get_ident() not in LOOP_THREADS:
            ended.wait(ABORT_S)  # their addresses are free for whoever tries again

    def answer_all(self) -> None:
        """The node has stopped, and with it all that is below: tell those who wait for an end."""
        for unit in self.units:
            unit.answer_ended()
            if isinstance(unit, RunningSupervisor):
                unit.answer_all()
        self.answer_ended()

    def nodes_changed(self) -> None:
        for unit in self.units:
            unit.nodes_changed()

    def retire(self) -> None:
        self.retired = True
        self._machine.retire()
        for unit in self._machine.children:
            unit.retire()

    def cells(self) -> Iterator[Cell]:
        for unit in self.units:
            yield from unit.cells()

    def addresses(self) -> list[str]:
        return [address for unit in self.units for address in unit.addresses()]

    def registered(self) -> None:
        for unit in self.leaves():
            unit.registered()

    # -- what happened to a child ------------------------------------------------------------------

    def child_up(self, unit: Unit) -> None:
        self._machine.up(unit)
        self._agenda.perform()

    def child_down(self, unit: Unit, error: BaseException | None, verdict: Verdict) -> None:
        self._machine.down(unit, error, self.node.now(), verdict)
        self._agenda.perform()

    def child_ended(self, unit: Unit) -> None:
        self._machine.ended(unit)
        if unit.is_dynamic and unit.restart == "temporary":
            self.unclaim(unit)
            unit.forgotten()
        unit.answer_ended()
        self._agenda.perform()

    def child_registered(self, unit: Unit) -> None:
        """The addresses of a child were made known, which it may not have lived to see."""
        unit.registered()
        if self.find(unit.id) is not unit:
            unit.forgotten()

    def child_lost(self, unit: Unit) -> None:
        """A child is gone with its node, which is no failure of it."""
        self._machine.lost(unit)
        self._agenda.perform()

    def decide(self, unit: Unit, error: BaseException) -> Verdict:
        """What the spec's `decide` says; from any thread."""
        try:
            return check_verdict(self.spec.decide(error), f"{self.path}.decide")
        except BaseException as crash:  # noqa: BLE001 - whatever a user's decide may raise
            self._crash(unit, crash)
            return "escalate"

    def _crash(self, unit: Unit, error: BaseException) -> None:
        logger.error("supervisor %s has crashed: its decide raised", self.path, exc_info=error)
        if self.is_performing and self.node.dispatcher.here:
            self._crashed(unit, error)
        else:
            self.node.dispatcher.call(self._crashed, unit, error)

    def _crashed(self, unit: Unit, error: BaseException) -> None:
        self._machine.give_up(unit, error, "crash")
        self._agenda.perform()

    # -- changes of the children -------------------------------------------------------------------

    def add(self, unit: Unit) -> None:
        """A child that was constructed; it starts once it is its turn."""
        self._machine.add(unit)
        self._end_if_stopping(unit)
        self._agenda.perform()

    def revive(self, unit: Unit) -> None:
        """Start a child again that has ended."""
        self._machine.revive(unit)
        self._end_if_stopping(unit)
        self._agenda.perform()

    def _end_if_stopping(self, unit: Unit) -> None:
        if self._machine.phase in ("stopping", "stopped"):
            self._machine.terminate(unit)

    def terminate(self, unit: Unit) -> None:
        """End a child; `answer_ended` follows."""
        if unit.state == "ended":
            unit.answer_ended()
        else:
            self._machine.terminate(unit)
            self._agenda.perform()

    def delete(self, unit: Unit) -> bool:
        """Forget a child that has ended; False where it has not."""
        if unit.state != "ended":
            return False
        if self.find(unit.id) is unit:
            self._machine.delete(unit)
            self.unclaim(unit)
            if self.find(unit.id) is None:  # else another child has taken its place
                self.node.trees.unrelease(unit.addresses())
        return True

    # -- what the machine decides ------------------------------------------------------------------

    def perform(self, action: Action[Unit]) -> None:
        """Carry out one action."""
        what, unit = action.what, action.child
        if self.retired:
            return
        if what == "start":
            assert unit is not None
            if unit.state == "starting":
                unit.begin(self._cause(unit))
        elif what == "halt":
            assert unit is not None
            if unit.state == "halting":
                unit.halt()
        elif what == "end":
            assert unit is not None
            if unit.state == "ending":
                unit.end(self._stop_reason if self.phase == "stopping" else "stopped by its supervisor")
        elif what == "wait":
            due = self.node.now() + action.wait_s
            self.node.dispatcher.call_at(due, lambda: self._due(unit, action.token))
        elif what == "escalate":
            self._escalate()
        elif what == "started":
            self._restart_cause = ""
            if self.parent is not None:
                self.parent.child_up(self)
        elif what == "halted":
            self._has_halted()
        else:
            self._has_stopped()

    def _due(self, unit: Unit | None, token: int) -> None:
        self._machine.due(unit, token)
        self._agenda.perform()

    def _cause(self, unit: Unit) -> str:
        """Why a child is restarted, where it is not its own failure."""
        failed = self._machine.cause
        if failed is None:
            return self._restart_cause
        return "" if failed is unit else f"{failed.id} failed"

    def _has_halted(self) -> None:
        failure = self._machine.failure
        error = None if failure is None else failure.error
        if failure is not None:
            self.last_error = f"gave up on {failure.child.id}"
        if self.parent is not None:
            self.parent.child_down(self, error, "restart")

    def _has_stopped(self) -> None:
        if self.parent is not None:
            self.parent.child_ended(self)
        else:
            if self in self.node.trees.roots:
                self.node.trees.roots.remove(self)
            self.answer_ended()

    def _escalate(self) -> None:
        failure = self._machine.failure
        assert failure is not None
        child, error = failure.child.id, failure.error
        what = error_text(error, REPORT_CHARS)
        why = {
            "intensity": f"more than {self.spec.intensity} restarts within {self.spec.period_s:g} s",
            "verdict": "the verdict on its error is to escalate",
            "crash": "deciding about it, the supervisor itself has crashed",
        }[failure.why]
        logger.error("supervisor %s gives up on %s: %s; the last error was %s", self.path, child, why, what)
        self.node.emit(AgentEscalated(self.path, self.node.name, child, error))
        if self.parent is not None:
            return
        advice = (
            "Mend the cause, or raise the supervisor's intensity"
            if failure.why == "intensity"
            else "Mend the cause, or change what the supervisor decides"
        )
        failed = SwarmFailedError(
            f"supervisor {self.path} gave up on {child}: {why}; the last error was {what}. {advice}"
        )
        failed.__cause__ = error
        self.node.give_up(failed)
        self.end(f"its supervisor {self.path} gave up")
