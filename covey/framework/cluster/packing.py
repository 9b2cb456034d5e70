"""Envelopes as bytes, put together from parts that are serialized once.

Protobuf merges messages whose bytes are joined (the encoding guide, "Last One Wins"), so an envelope is the
concatenation of a header that all messages of one type to one agent share, of what this message has beyond
it, and of its payload. That costs a third of filling and serializing a protobuf object for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from covey.framework.address import Address
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

if TYPE_CHECKING:
    from covey.framework.node import Node
    from covey.framework.reply import Reply

__all__ = [
    "Header",
    "Outgoing",
    "PassedOn",
    "Run",
    "StopOrder",
    "Urgent",
    "pack_answer",
    "pack_ask",
    "pack_payload",
    "pack_tell",
]

_PAYLOAD_TAG = WireEnvelope.PAYLOAD_FIELD_NUMBER << 3 | 2  # length-delimited
_MORE_TAG = WireEnvelope.MORE_FIELD_NUMBER << 3 | 2
ITEM_OVERHEAD_BYTES = 64
"""What an envelope takes beside its payload, more or less: for bounds, not for sums."""


class Header:
    """What all messages of one type, from one sender to one agent, have in common."""

    __slots__ = ("address", "data", "node_name", "sender", "target", "type_name")

    def __init__(
        self, address: Address, node_name: str, type_name: str, sender: Address | None = None
    ) -> None:
        self.address = address
        self.target = str(address)
        self.node_name = node_name
        """The node that the agent is bound to; empty for a placed one, which may be sent elsewhere."""
        self.type_name = type_name
        self.sender = sender
        self.data = WireEnvelope(
            type=type_name,
            target=self.target,
            bound=bool(node_name),
            sender="" if sender is None else str(sender),
        ).SerializeToString()


class Urgent(NamedTuple):
    """An answer, a cancellation or a system message: outside the credits; each answers something bounded."""

    data: bytes
    type_name: str = ""


class Run:
    """Tells, one after the other, that share a header: one envelope on the wire.

    It keeps no messages, only their bytes: objects would keep the garbage collector busy, which costs more
    than encoding them did. A dead letter is decoded when it is needed.
    """

    __slots__ = ("header", "payloads", "size_bytes")

    def __init__(self, header: Header, payload: bytes) -> None:
        self.header = header
        self.payloads = [payload]
        self.size_bytes = len(payload) + ITEM_OVERHEAD_BYTES
        """What it counts for in the bounds of queues."""

    reply = None
    is_stale = False

    @property
    def count(self) -> int:
        """How many messages it is."""
        return len(self.payloads)

    def pack(self) -> bytes:
        """The envelope."""
        first, *more = self.payloads
        parts = [self.header.data, pack_payload(first)]
        for payload in more:
            parts.append(_more_prefix(len(payload)))
            parts.append(payload)
        return b"".join(parts)

    def mail(self) -> Iterator[Any]:
        """The messages, for a mailbox of this node."""
        decode, sender = codec.decoder(self.header.type_name), self.header.sender
        for payload in self.payloads:
            yield Envelope(decode(payload), None, sender)

    def refuse(self, node: Node, reason: str, error: CoveyError) -> None:
        """They are not sent: each becomes a dead letter."""
        header = self.header
        for payload in self.payloads:
            try:
                message = codec.decode(header.type_name, payload)
            except CoveyError:  # it was encoded here; but decoding may run code of the user's
                node.dead_letter_wire(str(header.address), header.type_name, reason, str(error))
            else:
                node.dead_letter(header.address, Envelope(message, None, header.sender), reason, str(error))


class Outgoing:
    """An envelope in bytes, and what it was made of, for the case that it cannot be sent."""

    __slots__ = ("data", "header", "item")

    count = 1

    def __init__(self, data: bytes, header: Header, item: Any) -> None:
        self.data = data
        self.header = header
        self.item = item
        """The message, or its `Envelope`."""

    @property
    def size_bytes(self) -> int:
        """What it counts for in the bounds of queues."""
        return len(self.data)

    def pack(self) -> bytes:
        """The envelope."""
        return self.data

    @property
    def reply(self) -> Any:
        """Who waits for the answer; None for a tell."""
        return self.item.reply if type(self.item) is Envelope else None

    def mail(self) -> Iterator[Any]:
        """The message, for a mailbox of this node."""
        yield self.item

    @property
    def is_stale(self) -> bool:
        """Whether it is an ask whose asker waits no longer."""
        item = self.item
        return type(item) is Envelope and item.reply is not None and item.reply.done()

    def refuse(self, node: Node, reason: str, error: CoveyError) -> None:
        """It is not sent: its asker gets the error, and it becomes a dead letter."""
        reply = self.reply
        if reply is not None:
            reply.fail(error)
        node.dead_letter(self.header.address, self.item, reason, str(error))


class StopOrder(Outgoing):
    """Stops an agent after what was sent to it before. It is never too late, and no dead letter."""

    __slots__ = ()

    @property
    def is_stale(self) -> bool:
        return False  # an agent in this process stops too when its asker waits no longer

    def refuse(self, node: Node, reason: str, error: CoveyError) -> None:  # noqa: ARG002
        if self.reply is not None:
            self.reply.fail(error)


class PassedOn(Outgoing):
    """An envelope of another node, on its way to where its agent lives now; its item holds the asker only."""

    __slots__ = ("count",)

    count: int

    def mail(self) -> Iterator[Any]:
        """Its messages, decoded.

        Raises:
            UndecodableError: this node, which only passed it on, does not know its type.
        """
        wire = WireEnvelope.FromString(self.data)
        sender = Address.parse(wire.sender) if wire.sender else None
        messages = [codec.decode(wire.type, payload) for payload in (wire.payload, *wire.more)]
        for message in messages:
            yield Envelope(message, self.reply, sender)

    def refuse(self, node: Node, reason: str, error: CoveyError) -> None:
        if self.reply is not None:
            self.reply.fail(error)
        node.dead_letter_wire(str(self.header.address), self.header.type_name, reason, str(error))


def pack_payload(payload: bytes) -> bytes:
    """The payload as a field of an envelope."""
    return _payload_prefix(len(payload)) + payload


@lru_cache(maxsize=4096)
def _payload_prefix(size: int) -> bytes:
    return bytes((_PAYLOAD_TAG, *_varint(size)))


@lru_cache(maxsize=4096)
def _more_prefix(size: int) -> bytes:
    return bytes((_MORE_TAG, *_varint(size)))


def _varint(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def pack_tell(header: Header, envelope: Envelope, payload: bytes) -> bytes:
    """A tell that travels alone: it has a trace."""
    context = envelope.context
    traced = WireEnvelope(trace=context).SerializeToString() if context else b""
    return header.data + traced + pack_payload(payload)


def pack_ask(
    header: Header, envelope: Envelope, reply: Reply[Any], message_id: int, reply_to: str, payload: bytes
) -> bytes:
    """An ask: as a tell, with its number, its remaining time and who waits for it."""
    remaining_s = 0.0 if reply.deadline is None else reply.deadline - reply._now()
    question = WireEnvelope(
        kind=WireEnvelope.ASK,
        message_id=message_id,
        reply_to=reply_to,
        remaining_ms=min(max(1, round(remaining_s * 1e3)), 0xFFFFFFFF),
        chain=map(str, reply.chain),
    )
    return question.SerializeToString() + pack_tell(header, envelope, payload)


def pack_answer(kind: Any, message_id: int, **fields: Any) -> bytes:
    """An answer, a cancellation, or a system message."""
    return WireEnvelope(kind=kind, message_id=message_id, **fields).SerializeToString()
