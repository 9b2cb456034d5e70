"""Envelopes as bytes, put together from parts that are serialized once.

Protobuf merges messages whose bytes are joined (the encoding guide, "Last One Wins"), so an envelope is the
concatenation of a header that all messages of one type to one agent share, of what this message has beyond
it, and of its payload. That costs a third of filling and serializing a protobuf object for each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.node import Node
    from covey.framework.reply import Reply

__all__ = [
    "Header",
    "Outgoing",
    "PassedOn",
    "StopOrder",
    "pack_answer",
    "pack_ask",
    "pack_payload",
    "pack_tell",
]

_PAYLOAD_TAG = WireEnvelope.PAYLOAD_FIELD_NUMBER << 3 | 2  # length-delimited
_ONE_BYTE, _TWO_BYTES = 1 << 7, 1 << 14


class Header:
    """What all messages of one type to one agent have in common."""

    __slots__ = ("address", "data", "node_name", "type_name")

    def __init__(self, address: Address, node_name: str, type_name: str) -> None:
        self.address = address
        self.node_name = node_name
        """The node that the agent is bound to; empty for a placed one, which may be sent elsewhere."""
        self.type_name = type_name
        self.data = WireEnvelope(
            type=type_name, target=str(address), bound=bool(node_name)
        ).SerializeToString()


class Outgoing:
    """An envelope in bytes, and what it was made of, for the case that it cannot be sent."""

    __slots__ = ("data", "header", "item")

    def __init__(self, data: bytes, header: Header, item: Any) -> None:
        self.data = data
        self.header = header
        self.item = item
        """The message, or its `Envelope`."""

    @property
    def reply(self) -> Any:
        """Who waits for the answer; None for a tell."""
        return self.item.reply if type(self.item) is Envelope else None

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

    __slots__ = ()

    def refuse(self, node: Node, reason: str, error: CoveyError) -> None:
        if self.reply is not None:
            self.reply.fail(error)
        node.dead_letter_wire(str(self.header.address), self.header.type_name, reason, str(error))


def pack_payload(payload: bytes) -> bytes:
    """The payload as a field of an envelope."""
    size = len(payload)
    if size < _ONE_BYTE:
        return bytes((_PAYLOAD_TAG, size)) + payload
    if size < _TWO_BYTES:
        return bytes((_PAYLOAD_TAG, size & 0x7F | 0x80, size >> 7)) + payload
    return WireEnvelope(payload=payload).SerializeToString()


def pack_tell(header: Header, envelope: Envelope | None, payload: bytes) -> bytes:
    """A tell; `envelope` where it has a sender or a trace."""
    if envelope is None:
        return header.data + pack_payload(payload)
    sender, context = envelope.sender, envelope.context
    return b"".join(
        (
            header.data,
            b"" if sender is None else _sender_field(sender),
            WireEnvelope(trace=context).SerializeToString() if context else b"",
            pack_payload(payload),
        )
    )


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


@lru_cache(maxsize=4096)
def _sender_field(sender: Address) -> bytes:
    return WireEnvelope(sender=str(sender)).SerializeToString()
