"""Tells and asks to agents of other nodes: the way is looked up, the message encoded and queued."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.backpressure import DONE, send_or_wait
from covey.framework.cluster.outbox import Item
from covey.framework.cluster.packing import Outgoing, Run, pack_answer, pack_ask, pack_tell
from covey.framework.cluster.peer import Gate
from covey.framework.cluster.peers import Peers
from covey.framework.cluster.pending import PendingReplies
from covey.framework.cluster.route import Route
from covey.framework.envelope import Envelope, opened
from covey.framework.errors import (
    AgentDeadError,
    CoveyError,
    NoHostError,
    PayloadTooLargeError,
    PermissionDeniedError,
)
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Sending"]

ROUTES_KEPT = 65_536
WAITING_ASKS = 1_000_000
"""For room towards one node; each ends at its deadline."""


class Sending(Peers):
    """Knows the ways, and keeps the asks that wait for their answers. From any thread."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._pending = PendingReplies()
        self._routes: dict[tuple[Address, str], Route] = {}
        self.generation = 0
        """Grows whenever agents may live elsewhere than before."""

    # -- the way -----------------------------------------------------------------------------------

    def route(self, address: Address, node_name: str) -> Route | None:
        """The way to an agent of another node; None when it is of none."""
        return self._routes.get((address, node_name)) or self._find_route(address, node_name)

    def _find_route(self, address: Address, node_name: str) -> Route | None:
        # These are taken before the look-up: when the placement changes in between, the route is old at once.
        if self._closed:
            return None
        routes, generation = self._routes, self.generation
        destination = self._node.presence.locate(address, node_name)
        if destination is None or destination == self._node.name:
            return None
        if len(routes) >= ROUTES_KEPT:
            routes.clear()
        route = Route(address, node_name, self.peer(destination), generation)
        routes[address, node_name] = route
        return route

    def placement_changed(self) -> None:
        """Agents may live elsewhere now: look again for each."""
        self.generation += 1
        self._routes = {}

    def arrived_here(self, address: Address) -> None:
        """An agent was spawned on this node: what led to another of its address leads here now."""
        if (address, "") in self._routes:
            self.placement_changed()

    def nowhere(self, address: Address, node_name: str) -> CoveyError:
        """Why there is no way to an agent."""
        placement = self._node.presence.placement
        if self._node.stopping:
            why = f"this process has left the swarm {self._node.swarm!r}: ask while the Swarm is running"
            return AgentDeadError(str(address), why)
        if node_name and node_name != self._node.name:
            return AgentDeadError(str(address), f"its node {node_name} is gone")
        death = self._node.directory.death_at(address)
        if death is not None:
            return death
        if node_name or address.kind in placement.hosted or self._node.trees.knows(address):
            return AgentDeadError(
                str(address), "it has stopped, or never was: spawn it (again) before you ask"
            )
        return NoHostError(address.kind, placement.names, placement.hosted)

    # -- messages ----------------------------------------------------------------------------------

    def tell(self, address: Address, node_name: str, item: Any) -> Awaitable[None]:
        """Send to wherever the agent lives; a dead letter when that is nowhere."""
        route = self.route(address, node_name)
        envelope = opened(item)
        if route is None:
            error = self.nowhere(address, node_name)
            self._node.dead_letter(address, envelope, _reason(error), str(error))
            return DONE
        return self.tell_by(route, envelope.message, envelope.sender, envelope.context)

    def tell_by(self, route: Route, message: Any, sender: Address | None, context: bytes) -> Awaitable[None]:
        """As `tell`, by a route that is still good."""
        peer = route.peer
        kind = type(message)
        known = None if context else route.encoders.get(kind if sender is None else (kind, sender))
        if known is not None:
            header, encode = known
            payload = encode(message)
            if len(payload) > self._node.max_payload_bytes:
                raise PayloadTooLargeError(header.type_name, len(payload), self._node.max_payload_bytes)
            # Who waits for room already is not overtaken: order is kept per sender.
            is_behind = peer.waiters or peer.admitting or (peer.lanes and route.address in peer.lanes)
            if not is_behind and peer.offer_tell(header, payload):
                return DONE
        else:
            type_name, payload = self.encode(message)
            header = route.header(type_name, sender)
            route.remember(kind, sender, header)
        gate = peer.gate(route.address)
        item: Item
        if context:
            envelope = Envelope(message, None, sender, context)
            item = Outgoing(pack_tell(header, envelope, payload), header, envelope)
            if not gate.is_waited_for and gate.offer(item):
                return DONE
        elif not gate.is_waited_for and gate.offer_tell(header, payload):
            return DONE
        else:
            item = Run(header, payload)
        return send_or_wait(gate, item, self._node.ask_timeout_s, gate.wait_for_room)

    def ask(self, address: Address, node_name: str, envelope: Envelope, reply: Reply[Any]) -> None:
        """As `tell`; the reply resolves with the answer, or fails when the node is lost."""
        route = self.route(address, node_name)
        if route is None:
            error = self.nowhere(address, node_name)
            reply.fail(error)
            self._node.dead_letter(address, envelope, _reason(error), str(error))
            return
        type_name, payload = self.encode(envelope.message)
        header = route.header(type_name, envelope.sender)
        message_id = self._pending.new_id()
        data = pack_ask(header, envelope, reply, message_id, self._node.name, payload)
        item = Outgoing(data, header, envelope)
        peer = route.peer
        gate = peer.gate(address)
        self._await_answer(reply, message_id, peer.name)
        try:
            if gate.is_waited_for or not gate.offer(item):
                self._ask_when_room(gate, item, reply)
        except BaseException as error:
            reply.fail(error)  # nothing is on its way: it must not stay pending
            raise

    def encode(self, message: Any) -> tuple[str, bytes]:
        """Type name and payload of a message that may leave this node."""
        type_name, payload = codec.encode(message)
        if len(payload) > self._node.max_payload_bytes:
            raise PayloadTooLargeError(type_name, len(payload), self._node.max_payload_bytes)
        return type_name, payload

    def _ask_when_room(self, gate: Gate, item: Outgoing, reply: Reply[Any]) -> None:
        """Offer again once there is room; the reply's deadline ends it."""
        full = len(gate.waiters) >= WAITING_ASKS

        def offer() -> None:
            if full or reply.done():
                gate.refuse(item, gate.full_error())
            elif not gate.offer(item):
                gate.waiters.appendleft(offer)  # another sender took the room

        offer() if full else gate.wait_for_room(offer)

    # -- answers -----------------------------------------------------------------------------------

    @property
    def asks_in_flight(self) -> int:
        """Asks to other nodes that wait for their answers."""
        return len(self._pending)

    def _await_answer(self, reply: Reply[Any], message_id: int, destination: str) -> None:
        def cancel() -> None:
            self.peer(destination).send_urgent(pack_answer(WireEnvelope.CANCEL, message_id))

        self._pending.add(message_id, reply, destination, cancel)

    def answered(self, message_id: int) -> Reply[Any] | None:
        """The reply that waits for this answer; None when it waits no longer."""
        return self._pending.get(message_id)

    def debtors(self) -> set[str]:
        """Nodes that owe answers since the last call."""
        return self._pending.debtors()

    def denied(self, error: PermissionDeniedError) -> None:
        """The server lets nothing out to a node: what waits for its answers waits in vain."""
        self._pending.denied(error)


def _reason(error: CoveyError) -> str:
    return "no host" if isinstance(error, NoHostError) else "stopped"
