"""Messages that leave this node: where to, packed, with their pending replies."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.backpressure import DONE, send_or_wait
from covey.framework.cluster.packing import Header, Outgoing, StopOrder, pack_answer, pack_ask, pack_tell
from covey.framework.cluster.peer import Peer
from covey.framework.cluster.pending import PendingReplies, gone
from covey.framework.cluster.schemas import schema_differences, schema_of
from covey.framework.envelope import Envelope
from covey.framework.errors import (
    AgentDeadError,
    CoveyError,
    NoHostError,
    PayloadTooLargeError,
    TransportError,
)
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply
from covey.framework.watching import relay

if TYPE_CHECKING:
    from covey.framework.envelope import ReplyPort
    from covey.framework.node import Node

__all__ = ["ENVELOPE_OVERHEAD_BYTES", "STOP_TYPE", "WATCH_TYPE", "Outbound"]

logger = logging.getLogger("covey.node")

STOP_TYPE = "covey.v1.Stop"
"""Type name of the system message that stops an agent on another node; it has no payload."""

WATCH_TYPE = "covey.v1.Watch"
"""Type name of the system message that asks to be told of an agent's end; it has no payload."""

ENVELOPE_OVERHEAD_BYTES = 32 * 1024
"""Room in a frame for everything but the payload: a chain of 64 addresses of up to 321 bytes, and more."""

NODE_KIND = "node"
"""Stands for the kind where a request is for a node and not for an agent."""

ROUTES_KEPT = 65_536
WAITING_ASKS = 10_000  # for room towards one node


class _Route:
    """Where the agent at an address lives, until the placement changes."""

    __slots__ = ("headers", "peer")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.headers: dict[str, Header] = {}

    def add_header(self, address: Address, node_name: str, type_name: str) -> Header:
        header = self.headers[type_name] = Header(address, node_name, type_name)
        return header


class Outbound:
    """Packs messages for other nodes and keeps the asks that wait for their answers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pending = PendingReplies()
        self._closed = ""
        self._peers: dict[str, Peer] = {}
        self._routes: dict[tuple[Address, str], _Route] = {}

    @property
    def asks_in_flight(self) -> int:
        """Asks to other nodes that wait for their answers."""
        return len(self._pending)

    def peer(self, name: str) -> Peer:
        """The queue towards a node."""
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers.setdefault(name, Peer(name, self))
            if self._closed:
                peer.abandon(self._closed)
        return peer

    @property
    def peers(self) -> tuple[Peer, ...]:
        return tuple(self._peers.values())

    # -- sending, from any thread ------------------------------------------------------------------

    def tell(self, address: Address, node_name: str, item: Any) -> Awaitable[None]:
        """Send to wherever the agent lives; a dead letter when that is nowhere."""
        route = self._routes.get((address, node_name)) or self._find_route(address, node_name)
        if route is None:
            error = self._nowhere(address, node_name)
            self._node.dead_letter(address, item, _reason(error), str(error))
            return DONE
        envelope = item if type(item) is Envelope else None
        type_name, payload = self.encode(item if envelope is None else envelope.message)
        header = route.headers.get(type_name) or route.add_header(address, node_name, type_name)
        outgoing = Outgoing(pack_tell(header, envelope, payload), header, item)
        peer = route.peer
        # Who waits for room already is not overtaken: order is kept per sender.
        if not peer.is_waited_for and peer.offer(outgoing):
            return DONE
        return send_or_wait(peer, outgoing, self._node.ask_timeout_s, peer.wait_for_room)

    def ask(self, address: Address, node_name: str, envelope: Envelope, reply: Reply[Any]) -> None:
        """As `tell`; the reply resolves with the answer, or fails when the node is lost."""
        route = self._routes.get((address, node_name)) or self._find_route(address, node_name)
        if route is None:
            error = self._nowhere(address, node_name)
            reply.fail(error)
            self._node.dead_letter(address, envelope, _reason(error), str(error))
            return
        type_name, payload = self.encode(envelope.message)
        header = route.headers.get(type_name) or route.add_header(address, node_name, type_name)
        message_id = self._pending.new_id()
        data = pack_ask(header, envelope, reply, message_id, self._node.name, payload)
        outgoing = Outgoing(data, header, envelope)
        peer = route.peer
        self._await_answer(reply, message_id, peer.name)
        try:
            if peer.is_waited_for or not peer.offer(outgoing):
                self._ask_when_room(peer, outgoing, reply)
        except BaseException as error:
            reply.fail(error)  # nothing is on its way: it must not stay pending
            raise

    def stop(self, address: Address, node_name: str, reply: Reply[Any]) -> bool:
        """Stop an agent of another node after what was sent to it before; False when it is of no other."""
        route = self._find_route(address, node_name)
        if route is None:
            return False
        message_id = self._pending.new_id()
        peer = route.peer
        data = pack_answer(WireEnvelope.ASK, message_id, type=STOP_TYPE, target=str(address))
        order = StopOrder(data, Header(address, node_name, STOP_TYPE), Envelope(None, reply))
        self._await_answer(reply, message_id, peer.name)
        if peer.is_waited_for:
            peer.wait_for_room(lambda: peer.enlist(order))
        else:
            peer.enlist(order)
        return True

    def request_of(
        self, address: Address, node_name: str, request: Any, reply: Reply[Any], *, sender: str = ""
    ) -> bool:
        """Ask the runtime of the node where an agent lives about it; False when that is no other node.

        Such requests are urgent: no credit and no mailbox holds them up.
        """
        route = self._find_route(address, node_name)
        if route is None:
            return False
        self._request(route.peer, request, reply, str(address), sender)
        return True

    def request(self, node_name: str, request: Any, timeout_s: float | None = None) -> Reply[Any]:
        """Ask the runtime of another node."""
        node = self._node
        timeout_s = node.ask_timeout_s if timeout_s is None else timeout_s
        target = f"{NODE_KIND}/{node_name}"
        reply: Reply[Any] = Reply(target, node.now() + timeout_s, timeout_s, (), type(request), node.now)
        if self._closed or node.presence.locate(Address(NODE_KIND, node_name), node_name) != node_name:
            reply.fail(AgentDeadError(target, f"node {node_name} is gone"))
            return reply
        self._request(self.peer(node_name), request, reply, target, "")
        node.expect(reply, node.now() + timeout_s)
        return reply

    def _request(self, peer: Peer, request: Any, reply: Reply[Any], target: str, sender: str) -> None:
        type_name, payload = self.encode(request)
        message_id = self._pending.new_id()
        self._await_answer(reply, message_id, peer.name)
        data = pack_answer(
            WireEnvelope.ASK, message_id, type=type_name, target=target, sender=sender, payload=payload
        )
        peer.send_urgent(data, type_name)

    def watch(self, address: Address, node_name: str, reply: ReplyPort) -> bool:
        """Learn of the end of an agent of another node; False when it is of no other."""
        route = self._find_route(address, node_name)
        if route is None:
            return False
        message_id = self._pending.new_id()
        peer = route.peer
        data = pack_answer(WireEnvelope.ASK, message_id, type=WATCH_TYPE, target=str(address))
        asked: Reply[Any] = Reply(address, message_type="watch")
        relay(asked, address, reply)
        self._await_answer(asked, message_id, peer.name)
        peer.send_urgent(data, WATCH_TYPE)
        return True

    def encode(self, message: Any) -> tuple[str, bytes]:
        """Type name and payload of a message that may leave this node."""
        type_name, payload = codec.encode(message)
        if len(payload) > self._node.max_payload_bytes:
            raise PayloadTooLargeError(type_name, len(payload), self._node.max_payload_bytes)
        return type_name, payload

    def _find_route(self, address: Address, node_name: str) -> _Route | None:
        # The dict is taken before the look-up: when the placement changes in between, the old one is gone.
        if self._closed:
            return None
        routes = self._routes
        destination = self._node.presence.locate(address, node_name)
        if destination is None or destination == self._node.name:
            return None
        if len(routes) >= ROUTES_KEPT:
            routes.clear()
        route = routes[address, node_name] = _Route(self.peer(destination))
        return route

    def _ask_when_room(self, peer: Peer, outgoing: Outgoing, reply: Reply[Any]) -> None:
        """Offer again once there is room; the reply's deadline ends it."""
        full = len(peer.waiters) >= WAITING_ASKS

        def offer() -> None:
            if full or reply.done():
                peer.refuse(outgoing, peer.full_error())
            elif not peer.offer(outgoing):
                peer.waiters.appendleft(offer)  # another sender took the room

        offer() if full else peer.wait_for_room(offer)

    def _await_answer(self, reply: Reply[Any], message_id: int, destination: str) -> None:
        def cancel() -> None:
            self.peer(destination).send_urgent(pack_answer(WireEnvelope.CANCEL, message_id))

        self._pending.add(message_id, reply, destination, cancel)

    def _nowhere(self, address: Address, node_name: str) -> CoveyError:
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

    # -- answers and losses, on the loop thread ----------------------------------------------------

    def placement_changed(self) -> None:  # agents may live elsewhere now: look again for each
        self._routes = {}

    def answered(self, message_id: int) -> Reply[Any] | None:
        """The reply that waits for this answer; None when it waits no longer."""
        return self._pending.get(message_id)

    def node_left(self, name: str, why: str) -> None:
        """Fail what waits for a node that is gone; send on what was not sent yet."""
        self.placement_changed()
        peer = self._peers.pop(name, None)
        for item in () if peer is None else peer.abandon(why):
            self._send_elsewhere(item, name, why)
        self._pending.node_left(name, why)

    def close(self, reason: str, why: str) -> None:
        """This node leaves: what was not sent yet, and what comes from now on, becomes dead letters."""
        self._closed = why
        self._routes = {}
        self._pending.close(why)
        left = [item for peer in self.peers for item in peer.abandon(why)]
        for item in left:
            self.refuse(item, reason, TransportError(why))
        if left:
            logger.warning("%d messages were not sent and are dead letters: %s", len(left), why)

    def _send_elsewhere(self, item: Outgoing, name: str, why: str) -> None:
        header = item.header
        # An ask is not sent elsewhere: its asker is told, and may ask again.
        movable = not header.node_name and item.reply is None
        cell = self._node.directory.find(header.address) if movable and type(item) is Outgoing else None
        route = self._find_route(header.address, "") if movable else None
        if cell is not None:
            if not cell.offer(item.item):
                cell.refuse(item.item, cell.full_error())
        elif route is None or route.peer.name == name:
            self.refuse(item, "node left", gone(str(header.address), name, why))
        elif not route.peer.offer(item):
            route.peer.refuse(item, route.peer.full_error())

    # -- what a peer needs -------------------------------------------------------------------------

    def schedule_flush(self, peer: Peer) -> None:
        self._node.schedule_flush(peer)

    def schema_of(self, type_name: str) -> bytes | None:
        return schema_of(type_name)

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        return schema_differences(type_name, descriptor)

    def refuse(self, item: Outgoing, reason: str, error: CoveyError) -> None:
        item.refuse(self._node, reason, error)

    def too_late(self, item: Outgoing, name: str, why: str) -> None:
        if self._closed:
            self.refuse(item, "no link", TransportError(self._closed))
        else:
            self._node.dispatcher.call(self._send_elsewhere, item, name, why)


def _reason(error: CoveyError) -> str:
    return "no host" if isinstance(error, NoHostError) else "stopped"
