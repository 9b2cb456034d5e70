"""Frames that come in from other nodes: unpacked, checked, and put into mailboxes. On the loop thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from covey.framework.address import Address
from covey.framework.cluster.failures import unpack_failure
from covey.framework.cluster.forwarded_reply import ForwardedReply
from covey.framework.cluster.frame_limits import excess_of
from covey.framework.cluster.inbound_ask import InboundAsk
from covey.framework.cluster.outbound import STOP_TYPE, WATCH_TYPE
from covey.framework.cluster.packing import Header, PassedOn
from covey.framework.cluster.parking import Parking
from covey.framework.cluster.refusals import CrowdedError, absent, dead_letter_reason
from covey.framework.envelope import Envelope
from covey.framework.errors import AskCycleError, CoveyError, MailboxFullError, UndecodableError
from covey.framework.linking import LinkRequest, serve_link
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.proto.envelope_pb2 import Frame
from covey.framework.terminated import Terminated
from covey.framework.watching import unwatch, watch_here

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.cluster.peer import Peer
    from covey.framework.node import Node

__all__ = ["Inbound"]

logger = logging.getLogger("covey.node")

MAX_HOPS = 3
MAX_CHAIN = 64
MAX_ASKS = 1_000_000
"""Asks, watches and links of other nodes that one node has in hand; more are refused."""
RUNTIME_TYPES = ("covey.v1.", "covey.framework.")
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
        self._asks: dict[tuple[str, int], tuple[InboundAsk, Cell | None]] = {}
        self._parking = Parking(node)
        self._messages = 0
        """In the frame that is being taken."""
        self._system: dict[str, Callable[[Peer, WireEnvelope, Address, int], int]] = {
            STOP_TYPE: self._deliver_stop,
            WATCH_TYPE: self._watch,
        }
        """What the runtime does itself, by type name."""
        self.serve(LinkRequest, partial(serve_link, node))

    @property
    def asks_in_hand(self) -> int:
        """Asks of other nodes that were not answered yet."""
        return len(self._asks)

    def on_frame(self, source: str, data: bytes) -> None:
        """One transport message of another node; `source` is who the transport says that it is."""
        try:
            frame = Frame.FromString(data)
        except DecodeError as error:
            self._bad("frame", data, f"{len(data)} bytes of node {source} that are no frame: {error}")
            return
        excess = excess_of(frame)
        if excess:
            self._bad("frame", data, f"a frame of node {source} {excess}")
            return
        peer = self._node.outbound.known_peer(source)
        if peer is None:
            self._bad("frame", data, f"a frame of node {source}, which is not in the swarm", "forged")
            return
        self._node.presence.is_heard(source)
        if peer.silent:
            self._node.presence.reached(source)
        if not peer.received(frame):
            self._bad("frame", data, f"a frame of node {source} that came before", "replayed")
            return
        for schema in frame.schemas:
            peer.compare(schema.type, schema.descriptor)
        self._messages = withheld = size = 0
        for envelope in frame.envelopes:
            size += len(envelope)
            withheld += self._take(peer, envelope)
        if frame.chunk:
            self._take_chunk(peer, frame)
        peer.incoming.got(self._messages)
        peer.took(size - withheld)

    def _take_chunk(self, peer: Peer, frame: Frame) -> None:
        try:
            envelope = peer.incoming.chunk(frame, self._node.max_envelope_bytes)
        except UndecodableError as error:
            self._bad("envelope", frame.chunk, str(error))
            return
        if envelope is not None:
            self._take(peer, envelope)

    def serve(self, request: type, handle: Callable[[Any, Address, Address, InboundAsk], object]) -> None:
        """Let requests of this type be handled by the runtime: `handle(request, target, sender, port)`."""

        def take(peer: Peer, wire: WireEnvelope, address: Address, _size: int) -> int:
            sender = _parse_address(wire.sender) if wire.sender else address
            order = codec.decode(wire.type, wire.payload)
            port = self._unregistered_port(peer, wire)
            self._register(port, None)
            try:
                handle(order, address, sender, port)
            except BaseException:
                port.drop()  # it is refused: nobody will answer it otherwise
                raise
            return 0

        self._system[codec.type_name(request)] = take

    def is_parked(self, address: Address) -> bool:
        """Whether messages for an agent wait for room in its mailbox."""
        return self._parking.holds(address)

    def is_for_runtime(self, type_name: str) -> bool:
        """Whether messages of this type are orders to the runtime, which only nodes may give."""
        return type_name in self._system or type_name.startswith(RUNTIME_TYPES)

    def node_left(self, name: str) -> None:
        """Nobody waits for the answers to that node's asks any more."""
        for key in list(self._asks):  # a copy: agents with a thread of their own may answer meanwhile
            entry = self._asks.get(key) if key[0] == name else None
            if entry is not None:
                entry[0].drop()

    # -- one envelope ------------------------------------------------------------------------------

    def _take(self, peer: Peer, data: bytes) -> int:
        """Do what an envelope asks for; returns for how many bytes of it there is no credit yet."""
        self._messages += 1
        try:
            wire = WireEnvelope.FromString(data)
        except DecodeError as error:
            self._bad("envelope", data, f"{len(data)} bytes that are no envelope: {error}")
            return 0
        kind = wire.kind
        if kind != _TELL and kind != _ASK:
            self._answer(peer, wire, data)
            return 0
        try:
            return self._deliver(peer, wire, len(data))
        except CoveyError as error:
            self._refuse(peer, wire, error)
        except Exception as error:  # an agent's constructor or thread may fail: the frame goes on
            logger.exception("an envelope of node %s for %s", peer.name, wire.target)
            self._refuse(peer, wire, UndecodableError(f"{type(error).__name__}: {error}"))
        return 0

    def _deliver(self, peer: Peer, wire: WireEnvelope, size: int) -> int:
        address = _parse_address(wire.target)
        type_name = wire.type
        more = wire.more
        self._messages += len(more)
        system = self._system.get(type_name)
        if system is not None:
            if wire.kind != _ASK:
                raise UndecodableError(f"{type_name} is an order, which is asked, and this is a tell")
            return system(peer, wire, address, size)
        cell = self._node.directory.find(address, self._node.name if wire.bound else "")
        if cell is None:
            if not wire.bound:
                destination = self._node.presence.locate(address, "")
                if destination not in (None, self._node.name) and wire.hops < MAX_HOPS:
                    self._pass_on(peer, wire, address, str(destination))
                    return 0
                cell = self._node.directory.activate(address)
            if cell is None:
                raise absent(self._node, address)
        foreign = peer.foreign
        if foreign and type_name in foreign:
            raise foreign[type_name]
        if more:
            return self._deliver_run(peer, wire, cell)
        item = self._unpack(peer, wire, cell, codec.decode(type_name, wire.payload))
        if self._parking.is_empty or not self._parking.holds(address):
            try:
                if cell.offer(item):
                    return 0
            except MailboxFullError:
                return 0  # the mailbox's policy is to fail: it has told the asker, and kept a dead letter
        return self._parking.park(cell, item, size, peer)

    def _deliver_run(self, peer: Peer, wire: WireEnvelope, cell: Cell) -> int:
        """Tells that differ in their payload alone: all else is looked up once for them."""
        if wire.kind != _TELL or len(wire.trace):
            raise UndecodableError("an envelope of several payloads that is no plain tell")
        type_name = wire.type
        decode = codec.decoder(type_name)
        sender = _parse_address(wire.sender) if wire.sender else None
        items: list[Any] = []
        sizes = []
        for payload in (wire.payload, *wire.more):
            try:
                message = decode(payload)
            except UndecodableError as error:
                self._node.dead_letter_wire(wire.target, type_name, "undecodable", str(error))
                continue
            items.append(message if sender is None else (message, sender))
            sizes.append(len(payload))
        parking = self._parking
        is_held = not parking.is_empty and parking.holds(cell.address)
        taken = 0 if is_held else cell.offer_all(items)
        if taken == len(items):
            return 0
        left = zip(items[taken:], sizes[taken:], strict=True)
        return sum(parking.park(cell, item, size, peer) for item, size in left)

    def _unpack(self, peer: Peer, wire: WireEnvelope, cell: Cell, message: Any) -> Any:
        sender, context = wire.sender, wire.trace
        asked = wire.kind == _ASK
        if not asked and not sender and not context:
            return message
        if len(context) != 25:
            context = b""
        envelope = Envelope(
            message,
            None,
            _parse_address(sender) if sender else None,
            context,
            self._node.now() if context else 0.0,
        )
        envelope.remote = peer.name
        if asked:
            envelope.reply = self._port(peer, wire, cell)
        if context:
            envelope.message_id = f"{peer.name}-{wire.message_id}"
        return envelope

    def _deliver_stop(self, peer: Peer, wire: WireEnvelope, address: Address, size: int) -> int:
        if self._parking.holds(address):  # its place is behind what waits for room
            return self._parking.park_call(address, lambda: self._stop(peer, wire, address), size, peer)
        self._stop(peer, wire, address)
        return 0

    def _watch(self, peer: Peer, wire: WireEnvelope, address: Address, _size: int) -> int:
        port = self._unregistered_port(peer, wire)
        cell = self._node.directory.find(address)
        if cell is None:
            port.resolve(Terminated(address=wire.target, reason="it is not alive"))
            return 0
        self._register(port, cell)
        settled = port.on_settled
        assert settled is not None

        def unwatched() -> None:
            settled()
            unwatch(cell, port)

        port.on_settled = unwatched
        watch_here(cell, port)
        return 0

    def _port(self, peer: Peer, wire: WireEnvelope, cell: Cell) -> InboundAsk:
        if len(wire.chain) > MAX_CHAIN:
            raise UndecodableError(f"an ask with a chain of {len(wire.chain)} agents: {MAX_CHAIN} at most")
        chain = tuple(map(_parse_address, wire.chain))
        if cell.address in chain and not cell.actor_class.reentrant:
            raise AskCycleError(tuple(map(str, (*chain[chain.index(cell.address) :], cell.address))))
        port = self._unregistered_port(peer, wire, chain)
        self._register(port, cell)
        return port

    def _register(self, port: InboundAsk, cell: Cell | None) -> None:
        if len(self._asks) >= MAX_ASKS:
            raise CrowdedError(f"{MAX_ASKS} asks of other nodes are open on node {self._node.name}")
        key = (port.asker, port.message_id)
        port.on_settled = lambda: self._asks.pop(key, None)
        self._asks[key] = (port, cell)

    def _unregistered_port(
        self, peer: Peer, wire: WireEnvelope, chain: tuple[Address, ...] = ()
    ) -> InboundAsk:
        # The answer goes to the node that asked, also when another one passed the ask on.
        asker = peer
        if wire.reply_to not in ("", peer.name):
            asker = self._node.outbound.known_peer(wire.reply_to) or peer
        deadline = self._node.now() + wire.remaining_ms / 1e3 if wire.remaining_ms else None
        return InboundAsk(asker, wire.message_id, wire.target, deadline, chain, self._node.max_payload_bytes)

    def _stop(self, peer: Peer, wire: WireEnvelope, address: Address) -> None:
        port = self._unregistered_port(peer, wire)
        cell = self._node.directory.find(address, activate=False)
        if cell is None:
            port.resolve(None)
            return
        reply = self._node.ref_of(cell).stop()

        def stopped() -> None:
            try:
                port.resolve(reply.get())
            except CoveyError as error:
                port.fail(error)

        reply.add_done_callback(stopped)

    # -- answers -----------------------------------------------------------------------------------

    def _answer(self, peer: Peer, wire: WireEnvelope, data: bytes) -> None:
        kind = wire.kind
        if kind == _CANCEL:
            entry = self._asks.get((peer.name, wire.message_id))
            if entry is not None:
                port, cell = entry
                port.drop()
                if cell is not None:
                    cell.cancel(port)
            return
        if kind not in (_REPLY, _FAILURE):
            self._bad("envelope", data, f"an envelope of the unknown kind {kind}")
            return
        reply = self._node.outbound.answered(wire.message_id)
        if reply is None:  # it timed out or was cancelled here
            if kind == _REPLY and wire.payload:
                detail = f"node {peer.name} answered after its asker had given up"
                self._node.dead_letter_wire("", wire.type, "late reply", detail)
            return
        if isinstance(reply, ForwardedReply):
            reply.resolve(wire)
            return
        if kind == _FAILURE:
            reply.fail(unpack_failure(wire.payload))
            return
        try:
            changed = peer.foreign.get(wire.type)
            if changed is not None:
                raise changed
            reply.resolve(codec.decode(wire.type, wire.payload))
        except CoveyError as error:
            reply.fail(error)

    # -- what goes wrong, or elsewhere -------------------------------------------------------------

    def _pass_on(self, peer: Peer, wire: WireEnvelope, address: Address, destination: str) -> None:
        port = self._unregistered_port(peer, wire) if wire.kind == _ASK else None
        wire.hops += 1
        item = PassedOn(wire.SerializeToString(), Header(address, "", wire.type), Envelope(None, port))
        item.count = 1 + len(wire.more)
        gate = self._node.outbound.peer(destination).gate(address)
        if not gate.offer(item):
            gate.refuse(item, gate.full_error())

    def _refuse(self, peer: Peer, wire: WireEnvelope, error: CoveyError) -> None:
        if wire.kind == _ASK:
            self._unregistered_port(peer, wire).fail(error)
        reason = dead_letter_reason(error)
        if reason:
            self._node.dead_letter_wire(wire.target, wire.type, reason, str(error))

    def _bad(self, what: str, data: bytes, detail: str, reason: str = "undecodable") -> None:
        self._node.dead_letter_wire("", what, reason, f"{detail}; it begins with {data[:16].hex()}")
