"""Messages that leave this node: where to, packed, with their pending replies."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.backpressure import DONE, send_or_wait
from covey.framework.cluster.peer import Outgoing, Peer
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError, CoveyError, NoHostError, PayloadTooLargeError
from covey.framework.messages import codec
from covey.framework.messages.schema import descriptor_bytes
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

if TYPE_CHECKING:
    from covey.framework.node import Node
    from covey.framework.reply import Reply

__all__ = ["STOP_TYPE", "Outbound"]

STOP_TYPE = "covey.v1.Stop"
"""Type name of the system message that stops an agent on another node; it has no payload."""

ENVELOPE_OVERHEAD_BYTES = 4_096
"""Room in a frame for everything but the payload: two addresses, 64 hops of a chain come on top."""


class Outbound:
    """Packs messages for other nodes and keeps the asks that wait for their answers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[Reply[Any], str]] = {}
        self._peers: dict[str, Peer] = {}

    @property
    def asks_in_flight(self) -> int:
        """Asks to other nodes that wait for their answers."""
        return len(self._pending)

    def peer(self, name: str) -> Peer:
        """The queue towards a node."""
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers.setdefault(name, Peer(name, self._node.schedule_flush, _schema_of))
        return peer

    @property
    def peers(self) -> tuple[Peer, ...]:
        return tuple(self._peers.values())

    # -- sending, from any thread ------------------------------------------------------------------

    def tell(self, address: Address, node_name: str, item: Any) -> Awaitable[None]:
        """Send to wherever the agent lives; a dead letter when that is nowhere."""
        destination = self._node.presence.locate(address, node_name)
        envelope = item if type(item) is Envelope else None
        if destination is None or destination == self._node.name:
            reason = "no host" if destination is None else "stopped"
            self._node.dead_letter(address, item, reason, str(self._nowhere(address, destination)))
            return DONE
        outgoing = self._pack(
            address, node_name, item if envelope is None else envelope.message, envelope, None, 0
        )
        peer = self.peer(destination)
        if peer.offer(outgoing):
            return DONE
        return send_or_wait(peer, outgoing, self._node.ask_timeout_s)

    def ask(self, address: Address, node_name: str, envelope: Envelope, reply: Reply[Any]) -> None:
        """As `tell`; the reply resolves with the answer, or fails when the node is lost."""
        destination = self._node.presence.locate(address, node_name)
        if destination is None or destination == self._node.name:
            error = self._nowhere(address, destination)
            reply.fail(error)
            self._node.dead_letter(
                address, envelope, "no host" if destination is None else "stopped", str(error)
            )
            return
        message_id = next(self._ids)
        outgoing = self._pack(address, node_name, envelope.message, envelope, reply, message_id)
        self._await_answer(reply, message_id, destination)
        peer = self.peer(destination)
        if not peer.offer(outgoing):
            self._offer_when_room(peer, outgoing, reply)

    def stop(self, address: Address, node_name: str, reply: Reply[Any]) -> bool:
        """Ask the node where the agent lives to stop it; False when that is not another node."""
        destination = self._node.presence.locate(address, node_name)
        if destination is None or destination == self._node.name:
            return False
        message_id = next(self._ids)
        self._await_answer(reply, message_id, destination)
        wire = WireEnvelope(kind=WireEnvelope.ASK, message_id=message_id, type=STOP_TYPE, target=str(address))
        self.peer(destination).send_urgent(wire.SerializeToString())
        return True

    def forward(
        self, wire: WireEnvelope, destination: str, refuse: Callable[[str, CoveyError], None]
    ) -> bool:
        """Pass an envelope on to the node where its agent lives now; False when there is no room."""
        wire.hops += 1
        address = Address.parse(wire.target)
        return self.peer(destination).offer(
            Outgoing(wire.SerializeToString(), wire.type, address, "", None, refuse)
        )

    def _pack(
        self,
        address: Address,
        node_name: str,
        message: Any,
        envelope: Envelope | None,
        reply: Any,
        message_id: int,
    ) -> Outgoing:
        type_name, payload = codec.encode(message)
        limit = self._node.max_payload_bytes
        if len(payload) > limit:
            raise PayloadTooLargeError(type_name, len(payload), limit)
        wire = WireEnvelope(type=type_name, target=str(address), payload=payload)
        if envelope is not None:
            if envelope.sender is not None:
                wire.sender = str(envelope.sender)
            if envelope.context:
                wire.trace = envelope.context
        if reply is not None:
            wire.kind = WireEnvelope.ASK
            wire.message_id = message_id
            wire.reply_to = self._node.name
            wire.remaining_ms = max(1, round((reply.deadline - monotonic()) * 1e3))
            wire.chain.extend(reply.chain)
        node = self._node

        def refuse(reason: str, error: CoveyError) -> None:
            if reply is not None:
                reply.fail(error)
            node.dead_letter(address, envelope or message, reason, str(error))

        return Outgoing(wire.SerializeToString(), type_name, address, node_name, reply, refuse)

    def _offer_when_room(self, peer: Peer, outgoing: Outgoing, reply: Reply[Any]) -> None:
        if len(peer.waiters) >= 10_000:
            peer.refuse(outgoing, peer.full_error())
            return

        def offer() -> None:
            if not reply.done() and not peer.offer(outgoing):
                peer.waiters.append(offer)

        peer.waiters.append(offer)

    def _await_answer(self, reply: Reply[Any], message_id: int, destination: str) -> None:
        self._pending[message_id] = (reply, destination)
        reply.add_done_callback(lambda: self._pending.pop(message_id, None))

        def cancel() -> None:
            wire = WireEnvelope(kind=WireEnvelope.CANCEL, message_id=message_id)
            self.peer(destination).send_urgent(wire.SerializeToString())

        reply._on_cancel = cancel

    def _nowhere(self, address: Address, destination: str | None) -> CoveyError:
        if destination is not None:
            return AgentDeadError(str(address), "it has stopped, or never was")
        placement = self._node.presence.placement
        return NoHostError(address.kind, placement.names, placement.hosted)

    # -- answers and losses, on the loop thread ----------------------------------------------------

    def answered(self, message_id: int) -> Reply[Any] | None:
        """The reply that waits for this answer; None when it waits no longer."""
        entry = self._pending.get(message_id)
        return None if entry is None else entry[0]

    def node_left(self, name: str, why: str) -> None:
        """Fail what waits for a node that is gone; send on what was not sent yet."""
        for reply, destination in list(self._pending.values()):
            if destination == name:
                reply.fail(AgentDeadError(reply.target, f"its node {name} is gone ({why})"))
        peer = self._peers.pop(name, None)
        for item in () if peer is None else peer.abandon():
            self._send_elsewhere(item, name, why)

    def _send_elsewhere(self, item: Outgoing, name: str, why: str) -> None:
        destination = None if item.node_name else self._node.presence.locate(item.address, "")
        if destination in (None, name, self._node.name) or item.reply is not None:
            item.refuse("node left", AgentDeadError(str(item.address), f"its node {name} is gone ({why})"))
        elif not self.peer(str(destination)).offer(item):
            item.refuse("mailbox full", self.peer(str(destination)).full_error())


def _schema_of(type_name: str) -> bytes | None:
    message_type = codec.resolve(type_name)
    return None if message_type is None else descriptor_bytes(message_type)
