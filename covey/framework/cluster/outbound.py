"""Messages that leave this node: where to, packed, with their pending replies."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from covey.framework.backpressure import DONE, send_or_wait
from covey.framework.cluster.packing import Header, Outgoing, pack_answer, pack_ask, pack_tell
from covey.framework.cluster.peer import Peer
from covey.framework.envelope import Envelope
from covey.framework.errors import (
    AgentDeadError,
    CoveyError,
    NoHostError,
    PayloadTooLargeError,
    UndecodableError,
)
from covey.framework.messages import codec
from covey.framework.messages.schema import descriptor_bytes, differences
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.node import Node
    from covey.framework.reply import Reply

__all__ = ["ENVELOPE_OVERHEAD_BYTES", "STOP_TYPE", "Outbound"]

STOP_TYPE = "covey.v1.Stop"
"""Type name of the system message that stops an agent on another node; it has no payload."""

ENVELOPE_OVERHEAD_BYTES = 32 * 1024
"""Room in a frame for everything but the payload: a chain of 64 addresses of up to 321 bytes, and more."""

ROUTES_KEPT = 65_536
WAITING_ASKS = 10_000
"""Asks that may wait for room towards one node."""


class _Route:
    """Where the agent at an address lives, until the placement changes."""

    __slots__ = ("headers", "peer")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.headers: dict[str, Header] = {}


class Outbound:
    """Packs messages for other nodes and keeps the asks that wait for their answers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[Reply[Any], str]] = {}
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
        type_name, payload = self._encode(item if envelope is None else envelope.message)
        header = route.headers.get(type_name) or self._header(route, address, node_name, type_name)
        outgoing = Outgoing(pack_tell(header, envelope, payload), header, item)
        if route.peer.offer(outgoing):
            return DONE
        return send_or_wait(route.peer, outgoing, self._node.ask_timeout_s)

    def ask(self, address: Address, node_name: str, envelope: Envelope, reply: Reply[Any]) -> None:
        """As `tell`; the reply resolves with the answer, or fails when the node is lost."""
        route = self._routes.get((address, node_name)) or self._find_route(address, node_name)
        if route is None:
            error = self._nowhere(address, node_name)
            reply.fail(error)
            self._node.dead_letter(address, envelope, _reason(error), str(error))
            return
        type_name, payload = self._encode(envelope.message)
        header = route.headers.get(type_name) or self._header(route, address, node_name, type_name)
        message_id = next(self._ids)
        data = pack_ask(header, envelope, reply, message_id, self._node.name, payload)
        outgoing = Outgoing(data, header, envelope)
        peer = route.peer
        self._await_answer(reply, message_id, peer.name)
        if not peer.offer(outgoing):
            self._offer_when_room(peer, outgoing, reply)

    def stop(self, address: Address, node_name: str, reply: Reply[Any]) -> bool:
        """Ask the node where the agent lives to stop it; False when that is not another node."""
        route = self._find_route(address, node_name)
        if route is None:
            return False
        message_id = next(self._ids)
        self._await_answer(reply, message_id, route.peer.name)
        route.peer.send_urgent(pack_answer(WireEnvelope.ASK, message_id, type=STOP_TYPE, target=str(address)))
        return True

    def _encode(self, message: Any) -> tuple[str, bytes]:
        type_name, payload = codec.encode(message)
        if len(payload) > self._node.max_payload_bytes:
            raise PayloadTooLargeError(type_name, len(payload), self._node.max_payload_bytes)
        return type_name, payload

    def _find_route(self, address: Address, node_name: str) -> _Route | None:
        # The dict is taken before the look-up: when the placement changes in between, the old one is gone.
        routes = self._routes
        destination = self._node.presence.locate(address, node_name)
        if destination is None or destination == self._node.name:
            return None
        if len(routes) >= ROUTES_KEPT:
            routes.clear()
        route = routes[address, node_name] = _Route(self.peer(destination))
        return route

    def _header(self, route: _Route, address: Address, node_name: str, type_name: str) -> Header:
        header = route.headers[type_name] = Header(address, node_name, type_name)
        return header

    def _offer_when_room(self, peer: Peer, outgoing: Outgoing, reply: Reply[Any]) -> None:
        if len(peer.waiters) >= WAITING_ASKS:
            peer.refuse(outgoing, peer.full_error())
            return
        claim = [True]  # popped by whoever offers: the loop thread and this one may do so at once

        def offer() -> None:
            try:
                claim.pop()
            except IndexError:
                return
            if reply.done() or peer.offer(outgoing):
                return
            claim.append(True)
            peer.waiters.append(offer)
            if peer.has_room():  # it came between the offer and the wait
                offer()

        offer()

    def _await_answer(self, reply: Reply[Any], message_id: int, destination: str) -> None:
        self._pending[message_id] = (reply, destination)

        def settled() -> None:
            self._pending.pop(message_id, None)

        def cancel() -> None:
            self.peer(destination).send_urgent(pack_answer(WireEnvelope.CANCEL, message_id))

        reply.add_done_callback(settled)
        reply._on_cancel = cancel

    def _nowhere(self, address: Address, node_name: str) -> CoveyError:
        placement = self._node.presence.placement
        if node_name and node_name != self._node.name:
            return AgentDeadError(str(address), f"its node {node_name} is gone")
        if node_name or address.kind in placement.hosted:
            return AgentDeadError(str(address), "it has stopped, or never was")
        return NoHostError(address.kind, placement.names, placement.hosted)

    # -- answers and losses, on the loop thread ----------------------------------------------------

    def placement_changed(self) -> None:
        """Agents may live elsewhere now: look again for each."""
        self._routes = {}

    def answered(self, message_id: int) -> Reply[Any] | None:
        """The reply that waits for this answer; None when it waits no longer."""
        entry = self._pending.get(message_id)
        return None if entry is None else entry[0]

    def node_left(self, name: str, why: str) -> None:
        """Fail what waits for a node that is gone; send on what was not sent yet."""
        self.placement_changed()
        peer = self._peers.pop(name, None)
        for item in () if peer is None else peer.abandon(why):
            self._send_elsewhere(item, name, why)
        for reply, destination in list(self._pending.values()):
            if destination == name:
                reply.fail(_gone(reply.target, name, why))

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
            self.refuse(item, "node left", _gone(str(header.address), name, why))
        elif not route.peer.offer(item):
            route.peer.refuse(item, route.peer.full_error())

    # -- what a peer needs -------------------------------------------------------------------------

    def schedule_flush(self, peer: Peer) -> None:
        self._node.schedule_flush(peer)

    def schema_of(self, type_name: str) -> bytes | None:
        message_type = codec.resolve(type_name)
        return None if message_type is None else descriptor_bytes(message_type)

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        local = codec.resolve(type_name)
        if local is None:
            return ()
        try:
            return tuple(differences(descriptor_bytes(local), descriptor))
        except UndecodableError:
            return ()  # it told nothing; what its payloads hold is checked as they are decoded

    def refuse(self, item: Outgoing, reason: str, error: CoveyError) -> None:
        item.refuse(self._node, reason, error)

    def too_late(self, item: Outgoing, name: str, why: str) -> None:
        self._node.dispatcher.call(self._send_elsewhere, item, name, why)


def _gone(target: str, name: str, why: str) -> AgentDeadError:
    return AgentDeadError(target, f"its node {name} is gone ({why})")


def _reason(error: CoveyError) -> str:
    return "no host" if isinstance(error, NoHostError) else "stopped"
