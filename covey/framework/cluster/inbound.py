"""Frames that come in from other nodes: unpacked, checked, and put into mailboxes. On the loop thread."""

from __future__ import annotations

import logging
from collections import deque
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from pykka.messages import _ActorStop

from covey.framework.address import Address
from covey.framework.cluster.failures import unpack_failure
from covey.framework.cluster.inbound_ask import InboundAsk
from covey.framework.cluster.outbound import STOP_TYPE
from covey.framework.envelope import Envelope
from covey.framework.errors import (
    AgentDeadError,
    AskCycleError,
    CoveyError,
    NoHostError,
    SchemaChangedError,
    UndecodableError,
)
from covey.framework.messages import codec
from covey.framework.messages.schema import descriptor_bytes, differences
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.proto.envelope_pb2 import Frame

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.cluster.peer import Peer
    from covey.framework.node import Node

__all__ = ["Inbound"]

logger = logging.getLogger("covey.node")

MAX_HOPS = 3
_TELL, _ASK, _REPLY, _FAILURE, _CANCEL = (
    WireEnvelope.TELL,
    WireEnvelope.ASK,
    WireEnvelope.REPLY,
    WireEnvelope.FAILURE,
    WireEnvelope.CANCEL,
)
_parse_address = lru_cache(maxsize=65_536)(Address.parse)


class Inbound:
    """Takes the frames of other nodes apart. A bad envelope becomes a dead letter and spoils no other."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._asks: dict[tuple[str, int], tuple[InboundAsk, Cell, Envelope]] = {}
        # Envelopes that found their mailbox full. Bounded by the peers' credits, which stay taken.
        self._parked: dict[Address, deque[tuple[Envelope | Any, int, Peer]]] = {}

    def on_frame(self, data: bytes) -> None:
        """One transport message of another node."""
        try:
            frame = Frame.FromString(data)
        except DecodeError as error:
            self._bad("frame", data, UndecodableError(f"{len(data)} bytes that are no frame: {error}"))
            return
        if not frame.source or frame.source == self._node.name:
            self._bad("frame", data, UndecodableError(f"a frame of {len(data)} bytes without a source"))
            return
        peer = self._node.outbound.peer(frame.source)
        lost = peer.received(frame)
        if lost:
            logger.warning("%d frames from node %s were lost on the way", lost, frame.source)
        for schema in frame.schemas:
            self._compare(peer, schema.type, schema.descriptor)
        for envelope in frame.envelopes:
            self._take(peer, envelope)

    def node_left(self, name: str) -> None:
        """Nobody waits for the answers to that node's asks any more."""
        for source, message_id in [key for key in self._asks if key[0] == name]:
            self._asks[source, message_id][0].drop()

    # -- one envelope ------------------------------------------------------------------------------

    def _take(self, peer: Peer, data: bytes) -> None:
        size = len(data)
        try:
            wire = WireEnvelope.FromString(data)
        except DecodeError as error:
            peer.took(size)
            self._bad("envelope", data, UndecodableError(f"{size} bytes that are no envelope: {error}"))
            return
        kind = wire.kind
        if kind == _TELL or kind == _ASK:
            try:
                if self._deliver(peer, wire, size):
                    peer.took(size)
            except CoveyError as error:
                peer.took(size)
                self._refuse(peer, wire, error)
            return
        peer.took(size)
        if kind == _REPLY:
            self._answer(wire)
        elif kind == _FAILURE:
            reply = self._node.outbound.answered(wire.message_id)
            if reply is not None:
                reply.fail(unpack_failure(wire.payload))
        elif kind == _CANCEL:
            entry = self._asks.get((peer.name, wire.message_id))
            if entry is not None:
                port, cell, envelope = entry
                port.drop()
                cell.cancel(envelope)
        else:
            self._bad("envelope", data, UndecodableError(f"an envelope of the unknown kind {kind}"))

    def _answer(self, wire: WireEnvelope) -> None:
        reply = self._node.outbound.answered(wire.message_id)
        if reply is None:
            return  # it timed out or was cancelled here
        try:
            reply.resolve(codec.decode(wire.type, wire.payload))
        except CoveyError as error:
            reply.fail(error)

    def _deliver(self, peer: Peer, wire: WireEnvelope, size: int) -> bool:
        """Put it into its mailbox; False when it was parked and its credit stays taken."""
        address = _parse_address(wire.target)
        cell = self._node.directory.find(address, "")
        if cell is None:
            destination = self._node.presence.locate(address, "")
            if destination is not None and destination != self._node.name and wire.hops < MAX_HOPS:
                self._pass_on(peer, wire, destination)
                return True
            cell = self._node.directory.activate(address)
        if cell is None:
            raise self._absent(address)
        item = self._unpack(peer, wire, cell, address)
        parked = self._parked.get(address)
        if parked is None and cell.offer(item):
            return True
        if parked is None:
            parked = self._parked[address] = deque()
            cell.waiters.append(lambda: self._node.dispatcher.call(self._unpark, address))
        parked.append((item, size, peer))
        # Room may have come between the offer and the waiter.
        self._node.dispatcher.call(self._unpark, address)
        return False

    def _unpack(self, peer: Peer, wire: WireEnvelope, cell: Cell, address: Address) -> Any:
        if wire.type == STOP_TYPE:
            message: Any = _ActorStop()
        else:
            changed = peer.foreign.get(wire.type)
            if changed:
                raise SchemaChangedError(wire.type, changed)
            message = codec.decode(wire.type, wire.payload)
        if wire.kind == _TELL and not wire.sender and not wire.trace:
            return message
        sender = _parse_address(wire.sender) if wire.sender else None
        context = bytes(wire.trace)
        if len(context) != 25:
            context = b""
        envelope = Envelope(message, None, sender, context, monotonic() if context else 0.0)
        envelope.remote = peer.name
        if wire.kind == _ASK:
            envelope.reply = self._port(peer, wire, cell, envelope)
        if context:
            envelope.message_id = f"{peer.name}-{wire.message_id}"
        return envelope

    def _port(self, peer: Peer, wire: WireEnvelope, cell: Cell, envelope: Envelope) -> InboundAsk:
        chain = tuple(wire.chain)
        if wire.target in chain and not cell.actor_class.reentrant:
            raise AskCycleError((*chain[chain.index(wire.target) :], wire.target))
        asker = self._asker(peer, wire)
        key = (asker.name, wire.message_id)
        deadline = monotonic() + wire.remaining_ms / 1e3 if wire.remaining_ms else None
        port = InboundAsk(
            asker,
            wire.message_id,
            wire.target,
            deadline,
            chain,
            codec.encode,
            self._node.max_payload_bytes,
            lambda: self._asks.pop(key, None),
        )
        self._asks[key] = (port, cell, envelope)
        return port

    def _unpark(self, address: Address) -> None:
        parked = self._parked.get(address)
        if parked is None:
            return
        cell = self._node.directory.find(address, "")
        while parked:
            item, size, peer = parked[0]
            if cell is None:
                self._node.dead_letter(address, item, "stopped", "it stopped before there was room")
                if type(item) is Envelope and item.reply is not None:
                    item.reply.fail(self._absent(address))
            elif not cell.offer(item):
                cell.waiters.append(lambda: self._node.dispatcher.call(self._unpark, address))
                return
            parked.popleft()
            peer.took(size)
        del self._parked[address]

    def _pass_on(self, peer: Peer, wire: WireEnvelope, destination: str) -> None:
        def refuse(reason: str, error: CoveyError) -> None:
            self._node.dead_letter_wire(wire.target, wire.type, reason, str(error))
            if wire.kind == _ASK:
                self._fail(peer, wire, error)

        if not self._node.outbound.forward(wire, destination, refuse):
            refuse("mailbox full", self._node.outbound.peer(destination).full_error())

    # -- what goes wrong ---------------------------------------------------------------------------

    def _absent(self, address: Address) -> CoveyError:
        placement = self._node.presence.placement
        if address.kind in placement.hosted:
            return AgentDeadError(str(address), f"it is not on node {self._node.name}")
        return NoHostError(address.kind, placement.names, placement.hosted)

    def _refuse(self, peer: Peer, wire: WireEnvelope, error: CoveyError) -> None:
        reasons = {
            UndecodableError: "undecodable",
            SchemaChangedError: "schema changed",
            NoHostError: "no host",
        }
        self._node.dead_letter_wire(wire.target, wire.type, reasons.get(type(error), "stopped"), str(error))
        if wire.kind == _ASK:
            self._fail(peer, wire, error)

    def _fail(self, peer: Peer, wire: WireEnvelope, error: CoveyError) -> None:
        asker = self._asker(peer, wire)
        InboundAsk(asker, wire.message_id, wire.target, None, (), codec.encode, 0, lambda: None).fail(error)

    def _asker(self, peer: Peer, wire: WireEnvelope) -> Peer:
        """Who gets the answer: the node that asked, also when another one passed the ask on."""
        return peer if wire.reply_to in ("", peer.name) else self._node.outbound.peer(wire.reply_to)

    def _bad(self, what: str, data: bytes, error: UndecodableError) -> None:
        self._node.dead_letter_wire("", what, "undecodable", f"{error}; it begins with {data[:16].hex()}")

    def _compare(self, peer: Peer, type_name: str, descriptor: bytes) -> None:
        local = codec.resolve(type_name)
        if local is None:
            return
        found = tuple(differences(descriptor_bytes(local), descriptor))
        peer.foreign[type_name] = found
        if found:
            logger.error("%s of node %s is refused: %s", type_name, peer.name, "; ".join(found))
