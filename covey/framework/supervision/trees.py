"""The trees of supervisors on one node, and what they have to do with other nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from covey.framework.address import Address
from covey.framework.cluster.locator import RESERVED
from covey.framework.fenced import check_acting
from covey.framework.supervision.hosted import HostedChildren
from covey.framework.supervision.orders import ChildOrder, ChildReport, Taken
from covey.framework.supervision.running import RunningSupervisor
from covey.framework.supervision.survey import TreeAnswers, TreeRequest

if TYPE_CHECKING:
    from covey.framework.cluster.inbound_ask import InboundAsk
    from covey.framework.node import Node
    from covey.framework.supervision.remote_unit import RemoteUnit
    from covey.framework.supervision.supervisor import Supervisor

__all__ = ["Trees"]


class Trees:
    """The part of a `Node` that supervises."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.roots: list[RunningSupervisor] = []
        """The supervisors that are nobody's children, the oldest first."""
        self.hosted = HostedChildren(node)
        self.remote: dict[str, RemoteUnit] = {}
        """Children of this node's supervisors that live on other nodes, by id."""
        node.inbound.serve(ChildReport, self._serve_report)
        node.inbound.serve(ChildOrder, self.hosted.serve)
        node.inbound.serve(TreeRequest, TreeAnswers(node).serve)
        node.presence.home_of(self._home_of)

    def supervise(self, spec: Supervisor) -> RunningSupervisor:
        """Start a supervisor with its children on this node, and make their addresses known to all.

        Constructors run in the calling thread, all or none; the children then start in order.
        """
        node = self._node
        check_acting(node, spec.name)
        root = RunningSupervisor(node, spec)
        addresses = root.addresses()
        node.presence.registration.check(addresses)
        node.dispatcher.call(root.begin, "")  # children whose turn it is start while later ones are made
        try:
            root.construct()
        except BaseException:
            root.abort()
            raise
        node.presence.register(addresses)
        self.roots.append(root)
        node.dispatcher.call(root.registered)
        return root

    def answer_all(self) -> None:
        """The node has stopped: tell those who wait for the end of something that was supervised."""
        for root in self.roots:
            root.answer_all()

    # -- addresses; from any thread ----------------------------------------------------------------

    def knows(self, address: Address) -> bool:
        """Whether a supervisor's child lives, or ended, at the address."""
        node = self._node
        return node.presence.registered_on(address) is not None or node.directory.is_released(address)

    def release(self, address: Address) -> None:
        """A supervised agent ended for good: the address is free for whoever spawns there."""
        node = self._node
        cell = node.directory.find(address, activate=False)
        if cell is None:
            node.directory.release(address)
        if cell is None or cell.supervisor is None:
            node.presence.unregister([str(address)])

    def unrelease(self, addresses: Iterable[str]) -> None:
        """No supervisor knows these addresses any more: placement may use them."""
        for address in addresses:
            if address.startswith(RESERVED):
                self._node.presence.unregister([address])
            else:
                self._node.directory.unrelease(Address.parse(address))

    def _home_of(self, address: str) -> str | None:
        """The node where a child of this node's supervisors lives, if it is up."""
        unit = self.remote.get(address)
        return unit.on_node if unit is not None and unit.is_up else None

    # -- other nodes; on the loop thread -----------------------------------------------------------

    def nodes_changed(self) -> None:
        """A node came or went, or hosts other kinds."""
        # Not within the task that read of it: what they start or stop may be tasks that step at once.
        for root in tuple(self.roots):
            self._node.dispatcher.call(root.nodes_changed)

    def node_left(self, name: str) -> None:
        """A node is gone."""
        self._node.dispatcher.call(self.hosted.node_left, name)
        self.nodes_changed()

    def take_report(self, report: ChildReport) -> None:
        """The node where a child of a supervisor of this node lives tells what happened to it."""
        unit = self.remote.get(report.address)
        if unit is not None and unit.parent.path == report.supervisor:
            unit.heard(report)

    def _serve_report(
        self, report: ChildReport, _target: Address, _sender: Address, port: InboundAsk
    ) -> None:
        unit = self.remote.get(report.address)
        if unit is not None and unit.on_node == port.asker:
            self._node.dispatcher.call(self.take_report, report)
        port.resolve(Taken())
