"""The 25 bytes of trace context that travel in an envelope: trace id 16, span id 8, W3C flags 1."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CONTEXT_BYTES", "SAMPLED", "TraceContext", "pack", "unpack"]

CONTEXT_BYTES = 25
SAMPLED = 0x01
"""The flag bit that asks for spans. Other bits travel too (OpenTelemetry sets 0x02, random trace id)."""


class TraceContext(NamedTuple):
    """Which span a message belongs to."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


def pack(trace_id: int, span_id: int, flags: int) -> bytes:
    """The 25 bytes of these ids, big-endian, as W3C writes them.

    Raises:
        OverflowError: an id does not fit its field.
    """
    return trace_id.to_bytes(16, "big") + span_id.to_bytes(8, "big") + flags.to_bytes(1, "big")


def unpack(context: bytes) -> TraceContext | None:
    """The ids in a trace context, or None if these bytes are none (wrong length, or an id of zero)."""
    if len(context) != CONTEXT_BYTES:
        return None
    trace_id = int.from_bytes(context[:16], "big")
    span_id = int.from_bytes(context[16:24], "big")
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, context[24])
