"""A supervised agent of another node, as its supervisor sees it. On the loop thread."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from covey.framework.address import Address
from covey.framework.cluster.failures import unpack_failure
from covey.framework.cluster.locator import RESERVED
from covey.framework.dead_letters import clip_text
from covey.framework.error_text import ERROR_CHARS, error_text
from covey.framework.errors import AddressInUseError, AgentDeadError, AskTimeoutError, RemoteError
from covey.framework.supervision.child import ANY_NODE
from covey.framework.supervision.orders import ChildOrder, ChildReport, travelling
from covey.framework.supervision.unit import Unit
from covey.framework.supervision.verdict import Verdict, check_verdict

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.held import HeldCell
    from covey.framework.supervision.child import Child
    from covey.framework.supervision.running import RunningSupervisor

__all__ = ["RemoteUnit"]

logger = logging.getLogger("covey.supervisor")

ORDER_WITHIN_S = 2.0
"""How long an order may take to be acknowledged before it is given again."""


class RemoteUnit(Unit):
    """Gives orders to the node where the child lives, and hears its reports.

    A child that may live anywhere goes to the node that placement names among those that host its kind, and
    moves on when that node is lost, with an empty mailbox; that is no failure of the child, and counts as no
    restart. One that is bound to a node waits until the node is there.
    """

    __slots__ = (
        "_epoch",
        "_first_order",
        "_found",
        "_ghost_on",
        "_heard",
        "_held",
        "_incarnation",
        "_is_wanted",
        "_lock",
        "_order",
        "is_up",
        "on_node",
        "restarts",
    )

    parent: RunningSupervisor
    spec: Child

    def __init__(self, parent: RunningSupervisor, spec: Child, *, is_dynamic: bool = False) -> None:
        super().__init__(parent, spec, is_dynamic=is_dynamic)
        self.on_node = ""
        """Where it lives; empty while it waits for a node."""
        self.restarts = 0
        self.is_up = False
        """Whether it lives on its node: mail goes there."""
        self._held: HeldCell | None = None
        self._lock = threading.Lock()
        self._epoch = secrets.randbits(62)
        self._found: str | None = None
        self._order = 0
        self._first_order = 0
        """With which its life on that node began."""
        self._heard = 0
        """Number of the last report from there."""
        self._incarnation = 0
        """Of that node, when it got the child."""
        self._ghost_on = ""
        """A node that was lost with the child: if it comes back, it was cut off, and the child is alive."""
        self._is_wanted = False
        """Whether it waits for a node to start on."""

    def construct(self) -> None:
        """Take its address; its instance is made over there."""
        node = self.parent.node
        known = node.trees.remote.setdefault(self.id, self)
        elsewhere = self._elsewhere()
        if known is not self or elsewhere:
            raise AddressInUseError(
                self.id, f"it is supervised already, on node {elsewhere or known.on_node or node.name}"
            )
        if self.state in ("waiting", "starting"):
            self._hold()

    def _elsewhere(self) -> str:
        """Another supervisor's node that had the address before this one's first order; from any thread."""
        if self._found is None:  # asked for once: later it may be registered by this child's own node
            self._found = self.parent.node.presence.registered_on(self.spec.address) or ""
        return self._found

    def _hold(self) -> None:
        """Let mail wait here until it is known where it lives; from any thread."""
        with self._lock:
            if self._held is None and not self.is_up:
                self._held = self.parent.node.directory.hold(self.spec.cls, self.spec.address)

    def _let_go(self, reason: str) -> None:
        """What was held goes on to where it lives, if it lives."""
        self.parent.node.presence.moved()
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            self.parent.node.life.finish(held, reason)

    # -- what the supervisor does ------------------------------------------------------------------

    def begin(self, cause: str) -> None:
        if self._order == 0 and self._elsewhere():
            return  # whoever supervises is told so
        node, destination = self.parent.node, self._destination()
        if not destination:
            logger.warning(
                "%s of supervisor %s waits for %s",
                self.id,
                self.parent.path,
                f"a node that hosts {self.spec.cls.kind}"
                if self.spec.node == ANY_NODE
                else f"node {self.spec.node}",
            )
            self._is_wanted = True
            return
        self._is_wanted = False
        if destination != self.on_node:
            self.on_node, self._heard = destination, 0
            self._incarnation = node.presence.incarnation_of(destination)
            self._first_order = self._order + 1
        node.trees.remote.setdefault(self.id, self)
        try:
            self._hold()
        except AddressInUseError as error:  # an agent was spawned there while the child had ended
            self._refused(error)
            return
        self._give("start", cause)

    def halt(self) -> None:
        if self._has_no_node():
            self.parent.child_down(self, None, "restart")
        else:
            self._give("halt")

    def end(self, reason: str) -> None:
        if self._has_no_node():
            self._ended()
        else:
            self._give("end", reason)

    def _has_no_node(self) -> bool:
        self._is_wanted = False
        return not self.on_node or not self._still_lives(self.on_node)

    def _destination(self) -> str:
        node, spec = self.parent.node, self.spec
        if spec.node == ANY_NODE:
            node.directory.kind_of(spec.cls)  # a swarm of this process alone hosts what it is asked for
            return node.presence.placement.owner(spec.cls.kind, self.id) or ""
        return spec.node if spec.node and self._is_live(spec.node) else ""

    def _is_live(self, name: str) -> bool:
        node = self.parent.node
        return name == node.name or node.presence.locate(Address("node", name), name) == name

    def _still_lives(self, name: str) -> bool:
        """Whether the node lives, and was not started anew meanwhile."""
        presence = self.parent.node.presence
        return self._is_live(name) and presence.incarnation_of(name) == self._incarnation

    def _give(self, what: str, cause: str = "") -> None:
        self._order += 1
        self._send(self._order_to(what, cause))

    def _order_to(self, what: str, cause: str) -> ChildOrder:
        return ChildOrder(
            what=what,
            supervisor=self.parent.path,
            number=self._order,
            epoch=self._epoch,
            child=travelling(self.spec),
            cause=cause,
            restarts=self.restarts,
        )

    def _send(self, order: ChildOrder) -> None:
        node, destination = self.parent.node, self.on_node
        if destination == node.name:
            node.trees.hosted.take(order, node.name, lambda _taken: None, self._refused)
            return
        reply = node.outbound.request(destination, order, ORDER_WITHIN_S)

        def answered() -> None:
            error = reply.error()
            if error is not None:
                node.dispatcher.call(self._unanswered, order, destination, error)

        reply.add_done_callback(answered)

    def _unanswered(self, order: ChildOrder, destination: str, error: BaseException) -> None:
        if order.number != self._order or destination != self.on_node:
            return  # another order has taken its place
        if isinstance(error, AskTimeoutError):
            self._send(order)
        elif not isinstance(error, AgentDeadError):  # that the node is gone is told by `node_left`
            self._refused(error)

    def _refused(self, error: BaseException) -> None:
        """The node cannot have the child."""
        self.last_error = error_text(error)
        logger.error("%s of %s cannot live on node %s: %s", self.id, self.parent.path, self.on_node, error)
        if self.state == "ending":
            self._ended()
        else:
            self.parent.child_down(self, error, "restart")

    # -- what it hears -----------------------------------------------------------------------------

    def heard(self, report: ChildReport) -> None:
        """A report of the node where the child lives."""
        if report.epoch != self._epoch or report.number <= self._heard or report.order < self._first_order:
            return  # told twice, or of an earlier life
        self._heard = report.number
        self.restarts = report.restarts
        if report.what == "up":
            self.is_up = True
            self._let_go("it lives on another node")
            self.parent.child_up(self)
        elif report.what == "ended":
            self._ended()
        else:
            error = unpack_failure(report.failure) if report.failure else None
            if error is not None:
                self.last_error = (
                    clip_text(str(error), ERROR_CHARS)
                    if isinstance(error, RemoteError)
                    else error_text(error)
                )
            self.parent.child_down(self, error, self._verdict(report, error))

    def _verdict(self, report: ChildReport, error: BaseException | None) -> Verdict:
        if report.verdict:
            return check_verdict(report.verdict, f"the report of {self.on_node} about {self.id}")
        verdict: Verdict = "restart" if error is None else self.parent.decide(self, error)
        return "restart" if verdict == "resume" else verdict  # it is too late to go on

    def _ended(self) -> None:
        self.on_node = ""
        self.is_up = False
        self._let_go("stopped")
        if self.parent.phase in ("stopping", "stopped"):
            self.parent.node.presence.unregister(self.addresses())
        children = self.parent.node.trees.remote
        if children.get(self.id) is self:
            del children[self.id]
        self.parent.child_ended(self)
        self.parent.node.leaving.agent_ended()

    def nodes_changed(self) -> None:
        """A node came or went."""
        if self._ghost_on and self._ghost_on != self.on_node and self._is_live(self._ghost_on):
            node, ghost_on, self._ghost_on = self.parent.node, self._ghost_on, ""
            node.outbound.request(ghost_on, self._order_to("end", "it was moved"), ORDER_WITHIN_S)
        if self._is_wanted and self.state == "starting":
            self.begin("")
        elif self.on_node and not self._still_lives(self.on_node):
            lost, self.on_node = self.on_node, ""
            self._ghost_on = lost
            self.is_up = False
            if self.state != "ending":
                self._hold()
            self.parent.node.presence.moved()
            self.last_error = f"its node {lost} was lost"
            if self.state in ("starting", "running"):
                logger.warning("%s was lost with node %s and starts anew", self.id, lost)
                self.parent.child_lost(self)
            elif self.state == "halting":
                self.parent.child_down(self, None, "restart")
            elif self.state == "ending":
                self._ended()

    def cells(self) -> Iterator[Cell]:
        return iter(())

    def addresses(self) -> list[str]:
        return [RESERVED + self.id]  # the node where it lives registers it as its own

    def forgotten(self) -> None:
        # The registry is bounded, and every node has it: a temporary child's address cannot stay there.
        self.parent.node.presence.unregister(self.addresses())

    def retire(self) -> None:
        self._let_go("the node stops")
