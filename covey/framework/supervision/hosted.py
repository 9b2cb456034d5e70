"""Agents of this node whose supervisor runs on another node. On the loop thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, get_args

from covey.framework.address import Address
from covey.framework.cluster.failures import pack_failure
from covey.framework.errors import AddressInUseError, CoveyError, NoHostError
from covey.framework.supervision.agent_unit import AgentUnit
from covey.framework.supervision.machine import Phase
from covey.framework.supervision.orders import (
    ChildOrder,
    ChildReport,
    Taken,
    arrived,
    verdict_by_name,
    verdicts_of,
)
from covey.framework.supervision.unit import Unit
from covey.framework.supervision.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from covey.framework.cell import Cell
    from covey.framework.cluster.inbound_ask import InboundAsk
    from covey.framework.node import Node

__all__ = ["HostedChildren", "HostedUnit"]

logger = logging.getLogger("covey.supervisor")

REPORT_WITHIN_S = 2.0
"""How long a report may take before it is sent again."""
REPORT_TRIES = 20


class _Away:
    """Stands for the supervisor that runs on another node: what it is told travels there."""

    phase: Phase = "running"
    is_performing = False

    def __init__(self, node: Node, path: str, supervisor_node: str) -> None:
        self.node = node
        self.path = path
        self.supervisor_node = supervisor_node
        self._reports = 0

    @property
    def retired(self) -> bool:
        return self.node.stopping

    def child_up(self, unit: Unit) -> None:
        if unit.state == "starting":
            unit.state = "running"
        self._tell(unit, "up")

    def child_down(self, unit: Unit, error: BaseException | None, verdict: Verdict) -> None:
        unit.state = "halted"
        assert isinstance(unit, HostedUnit)
        failure = b"" if error is None else pack_failure(error)
        self._tell(unit, "down", verdict=verdict if unit.has_verdict else "", failure=failure)

    def child_ended(self, unit: Unit) -> None:
        unit.state = "ended"
        self.node.trees.hosted.forget(unit)
        if not self.node.stopping:  # else its supervisor is told that the node has left
            self._tell(unit, "ended")

    def decide(self, unit: Unit, error: BaseException) -> Verdict:  # noqa: ARG002 - decided over there
        return "restart"

    def _tell(self, unit: Unit, what: str, **more: Any) -> None:
        assert isinstance(unit, HostedUnit)
        self._reports += 1
        cell = unit.cell
        report = ChildReport(
            what=what,
            supervisor=self.path,
            address=unit.id,
            number=self._reports,
            order=unit.order,
            epoch=unit.epoch,
            restarts=unit.restarts + (0 if cell is None else cell.restarts),
            **more,
        )
        if self.supervisor_node == self.node.name:
            self.node.dispatcher.call(self.node.trees.take_report, report)
        else:
            self._send(report)

    def _send(self, report: ChildReport, tries: int = REPORT_TRIES) -> None:
        node = self.node
        reply = node.outbound.request(self.supervisor_node, report, REPORT_WITHIN_S)

        def answered() -> None:
            # Also where that node is not seen: it may have joined just now. One that is lost ends the child.
            if reply.error() is not None and tries > 1 and not node.stopping:
                node.later(REPORT_WITHIN_S / 2, lambda: self._send(report, tries - 1))

        reply.add_done_callback(answered)


class HostedUnit(AgentUnit):
    """An agent of this node that is a child of a supervisor on another one."""

    __slots__ = ("_verdicts", "epoch", "has_verdict", "order", "restarts", "supervisor_node")

    def __init__(self, node: Node, cls: Any, order: ChildOrder, supervisor_node: str) -> None:
        super().__init__(_Away(node, order.supervisor, supervisor_node), arrived(order.child, cls))
        self.supervisor_node = supervisor_node
        self.epoch = order.epoch
        self.order = order.number
        """Of the last order that was taken."""
        self.restarts = order.restarts
        """Before it came here."""
        self._verdicts = verdicts_of(order.child, get_args(Verdict))
        self.has_verdict = False
        """Whether its spec named its last error: else the supervisor's `decide` has the word."""
        self._is_made = True  # its instance is made in its executor

    def verdict(self, cell: Cell, error: BaseException) -> Verdict:
        verdict = verdict_by_name(error, self._verdicts)
        self.has_verdict = verdict is not None
        return super().verdict(cell, error) if verdict is None else self.by_type(verdict)

    def begin(self, cause: str) -> None:
        node, address = self.parent.node, self.spec.address
        self.announce()
        other = node.directory.find(address, activate=False)
        if other is not None and other.placed and other is not self.cell:
            # Placement put one there while nobody supervised the address: it handles what it has, and goes.
            stopped = node.ref_of(other).stop()
            stopped.add_done_callback(lambda: node.dispatcher.call(self.begin, cause))
        elif self.state == "starting":
            super().begin(cause)


class HostedChildren:
    """Carries out the orders of other nodes' supervisors."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._units: dict[str, HostedUnit] = {}
        self._next: dict[str, Callable[[], object]] = {}
        """What is to be done once the child at an address has ended."""

    @property
    def units(self) -> tuple[HostedUnit, ...]:
        """The children that live here; from any thread."""
        return tuple(self._units.values())

    def serve(self, order: ChildOrder, _target: Address, _sender: Address, port: InboundAsk) -> None:
        """An order of another node."""
        # Not within the task that read it: what it starts may be a task that takes its first step at once.
        self._node.dispatcher.call(self.take, order, port.asker, port.resolve, port.fail)

    def take(
        self,
        order: ChildOrder,
        supervisor_node: str,
        taken: Callable[[Taken], object],
        refused: Callable[[CoveyError], object],
    ) -> None:
        """Do what a supervisor says of a child."""
        address = f"{order.child.kind}/{order.child.key}"
        unit = self._units.get(address)
        if unit is not None and unit.supervisor_node != supervisor_node:
            refused(AddressInUseError(address, f"a supervisor on node {unit.supervisor_node} has it"))
            return
        if unit is not None and unit.epoch != order.epoch:
            # Of the same node before it, or its supervisor, was started anew: that child ends first.
            self._next[address] = lambda: self.take(order, supervisor_node, taken, refused)
            unit.state = "ending"
            unit.end(f"its supervisor on node {supervisor_node} starts anew")
            return
        if unit is not None and order.number <= unit.order:
            taken(Taken())
            return
        try:
            if unit is None and order.what == "start":
                unit = self._units[address] = self._made(order, supervisor_node)
        except CoveyError as error:
            refused(error)
            return
        taken(Taken())
        if unit is None:
            # It ended here, and the report of that may be lost.
            self._node.outbound.request(supervisor_node, self._ended(order, address))
            return
        unit.order = order.number
        if order.what == "start":
            unit.state = "starting"
            unit.begin(order.cause)
        elif order.what == "halt":
            unit.state = "halting"
            unit.halt()
        else:
            unit.state = "ending"
            unit.end(f"stopped by {order.supervisor} on node {supervisor_node}")

    def forget(self, unit: Unit) -> None:
        """A child has ended."""
        if self._units.get(unit.id) is unit:
            del self._units[unit.id]
            following = self._next.pop(unit.id, None)
            if following is not None:
                self._node.dispatcher.call(following)

    def node_left(self, name: str) -> None:
        """Children whose supervisor's node is lost stop: nobody would restart them."""
        for unit in self.units:
            if unit.supervisor_node != name:
                continue
            logger.error(
                "%s stops: node %s, where its supervisor %s ran, has left; start the supervisor on another "
                "node to have it again",
                unit.id,
                name,
                unit.path,
            )
            unit.state = "ending"
            unit.end(f"its supervisor {unit.path} was lost with node {name}")

    def _made(self, order: ChildOrder, supervisor_node: str) -> HostedUnit:
        node, kind = self._node, order.child.kind
        cls = node.directory.hosts.get(kind)
        if cls is None:
            raise NoHostError(kind, [node.name], sorted(node.directory.hosts))
        return HostedUnit(node, cls, order, supervisor_node)

    def _ended(self, order: ChildOrder, address: str) -> ChildReport:
        return ChildReport(
            what="ended",
            supervisor=order.supervisor,
            address=address,
            number=1 << 62,
            order=order.number,
            epoch=order.epoch,
        )
