"""The open wire: clients that are no nodes of the swarm ask and tell its agents. On the loop thread.

Any node that serves may get a request. One for an agent of another node is passed on undecoded: its type need
not be known here. What a client says of itself is not believed: it has no address, and no chain of waiting
agents.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from covey.framework.address import Address
from covey.framework.cluster.json_request import JsonAnswer, JsonPort, JsonRequest, message_type_of
from covey.framework.cluster.outside_port import OutsidePort
from covey.framework.cluster.refusals import CrowdedError, dead_letter_reason
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError, MailboxFullError, UndecodableError
from covey.framework.messages import codec
from covey.framework.messages.json_codec import from_json, to_json
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.cluster.inbound_ask import InboundAsk
    from covey.framework.envelope import ReplyPort
    from covey.framework.node import Node
    from covey.framework.transport import OutsideRequest

__all__ = ["OpenWire"]

logger = logging.getLogger("covey.node")

MAX_TIMEOUT_S = 3600.0
MAX_OPEN = 100_000
"""Requests of clients that one node has in hand; more are refused."""


class OpenWire:
    """Serves clients once this node has agents."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._open = 0
        self.serving = False
        """Whether the transport was asked for requests."""
        node.inbound.serve(JsonRequest, self._take_from_node)

    @property
    def open_requests(self) -> int:
        """Requests of clients that are not answered yet."""
        return self._open

    def serve(self) -> None:
        """Take requests, from soon on; from any thread. Idempotent."""
        node = self._node
        if self.serving or node.alone:
            return
        if node.dispatcher.here:
            self._serve()
        else:
            node.dispatcher.call(self._serve)

    def _serve(self) -> None:
        transport = self._node.transport
        if transport is None or self.serving:
            return  # without a connection it is called again once there is one
        self.serving = True
        try:
            transport.serve()
        except CoveyError as error:
            logger.error("node %s cannot serve clients: %s", self._node.name, error)

    def take(self, request: OutsideRequest) -> None:
        """A client wants something of an agent. Never raises."""
        port: OutsidePort | None = None
        type_name = request.json_type or ""
        try:
            if self._open >= MAX_OPEN and request.respond is not None:
                raise CrowdedError(f"{MAX_OPEN} requests of clients are open on this node")
            if request.json_type is None:
                wire = _parsed(request)
                type_name = wire.type
                self._check_type(type_name)
                port = self._port(request, wire.remaining_ms, wire.message_id)
                self._take_envelope(_address(request, wire.target), wire, port)
            else:
                self._check_type(type_name)
                port = self._port(request, request.remaining_ms, 0)
                self._take_json(_address(request), request.json_type, request.data, port)
        except Exception as error:
            if not isinstance(error, CoveyError):  # an agent's constructor may raise anything
                logger.exception("a request of a client for %s", request.address)
                error = UndecodableError(f"{type(error).__name__}: {error}")
            port = port or self._port(request, 0, 0)
            if port is not None:
                port.fail(error)
            reason = dead_letter_reason(error)
            if reason:
                self._node.dead_letter_wire(request.address, type_name, reason, str(error))

    def _check_type(self, type_name: str) -> None:
        if self._node.inbound.is_for_runtime(type_name):
            raise UndecodableError(f"{type_name} is for nodes of the swarm alone")

    def _port(self, request: OutsideRequest, remaining_ms: int, message_id: int) -> OutsidePort | None:
        node = self._node
        if request.respond is None:
            return None
        timeout_s = min(remaining_ms / 1e3, MAX_TIMEOUT_S) if remaining_ms else node.ask_timeout_s
        deadline = node.now() + timeout_s
        self._open += 1
        port = OutsidePort(
            request.address,
            deadline,
            timeout_s,
            request.respond,
            node.dispatcher.call,
            node.max_frame_bytes,
            self._settled,
            message_id=message_id,
            is_json=request.json_type is not None,
        )
        node.expect(port, deadline)
        return port

    def _settled(self) -> None:
        self._node.dispatcher.call(self._close_one)

    def _close_one(self) -> None:
        self._open -= 1

    # -- envelopes ---------------------------------------------------------------------------------

    def _take_envelope(self, address: Address, wire: WireEnvelope, port: OutsidePort | None) -> None:
        cell = self._node.directory.find(address)
        if cell is None:
            self._node.outbound.pass_on(address, wire, port)
            return
        context = wire.trace if len(wire.trace) == 25 else b""
        self._put(cell, codec.decode(wire.type, wire.payload), port, context)

    def _put(self, cell: Cell, received: Any, port: ReplyPort | None, context: bytes = b"") -> None:
        now = self._node.now()
        envelope = Envelope(received, port, None, context, now if context else 0.0)
        envelope.remote = "client"
        try:
            if not cell.offer(envelope):
                cell.refuse(envelope, cell.full_error())  # a client cannot be made to wait
        except MailboxFullError:
            pass  # the mailbox's policy is to fail: it has told the asker, and kept a dead letter

    # -- JSON --------------------------------------------------------------------------------------

    def _take_json(self, address: Address, type_name: str, data: bytes, port: OutsidePort | None) -> None:
        node = self._node
        cell = node.directory.find(address)
        if cell is not None:
            self._put(cell, self._read(cell, type_name, data), port)
            return
        name, payload = node.outbound.encode(
            JsonRequest(type=type_name, json=data, wants_answer=port is not None)
        )
        timeout_s = node.ask_timeout_s if port is None else port.timeout_s
        passing = JsonPort(port, node.now() + timeout_s, timeout_s)
        # As an envelope of a client, which has to find room on its way: only orders of nodes are urgent.
        node.outbound.pass_on(address, WireEnvelope(type=name, payload=payload), passing)

    def _read(self, cell: Cell, type_name: str, data: bytes) -> Any:
        cls = message_type_of(cell, type_name)
        self._check_type(codec.type_name(cls))  # what the client wrote may be the last part of the name
        return from_json(cls, data)

    def _take_from_node(
        self, request: JsonRequest, address: Address, _sender: Address, port: InboundAsk
    ) -> None:
        """Another node got a client's request for an agent of this one."""
        try:
            cell = self._node.directory.find(address)
            if cell is None:
                raise self._node.outbound.nowhere(address, "")
            received = self._read(cell, request.type, request.json)
        except CoveyError as error:
            port.fail(error)
            reason = dead_letter_reason(error)
            if reason:
                self._node.dead_letter_wire(str(address), request.type, reason, str(error))
            return
        if request.wants_answer:
            asked: Reply[Any] = Reply(address, port.deadline, 0.0, (), request.type, self._node.now)
            asked.add_done_callback(lambda: _answer_in_json(asked, port))
            self._put(cell, received, asked)
        else:
            self._put(cell, received, None)
            port.resolve(None)


def _parsed(request: OutsideRequest) -> WireEnvelope:
    try:
        wire = WireEnvelope.FromString(request.data)
    except DecodeError as error:
        raise UndecodableError(f"{len(request.data)} bytes that are no envelope: {error}") from error
    if wire.kind not in (WireEnvelope.TELL, WireEnvelope.ASK) or wire.more:
        raise UndecodableError("an envelope that is neither an ask nor a tell of one payload")
    return wire


def _address(request: OutsideRequest, target: str = "") -> Address:
    if target not in ("", request.address):
        raise UndecodableError(f"an envelope for {target[:80]!r} on the subject of {request.address}")
    return Address.parse(request.address)


def _answer_in_json(asked: Reply[Any], port: InboundAsk) -> None:
    error = asked.error()
    try:
        if error is not None:
            port.fail(error)
        else:
            name, text = to_json(asked.get())
            port.resolve(JsonAnswer(type=name, json=text))
    except CoveyError as unserializable:
        port.fail(unserializable)
