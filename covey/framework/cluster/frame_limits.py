"""What a frame may hold: no node sends more, and of one that holds more nothing is believed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covey.framework.proto.envelope_pb2 import Frame

__all__ = ["FRAME_ENVELOPES", "LOST_IN_FRAME", "NEWS_IN_FRAME", "excess_of"]

FRAME_ENVELOPES = 512
"""Envelopes, and types that are told with them."""
NEWS_IN_FRAME = 64
"""Addresses that are paused or resumed."""
LOST_IN_FRAME = 64
"""Ranges of frames that were lost."""
PLAUSIBLE = 1 << 62
"""No counter gets here in the life of a machine; what is added to one below still fits 64 bits."""


def excess_of(frame: Frame) -> str:
    """What no node sends in a frame, in words; empty for nothing."""
    if not frame.epoch or not frame.sequence:
        return "has no epoch, or no sequence"
    if max(frame.sequence, frame.sent_bytes, frame.sent_messages, frame.published_bytes) >= PLAUSIBLE:
        return "counts further than any node can have got"
    envelopes, news = len(frame.envelopes), len(frame.paused) + len(frame.resumed)
    if max(envelopes, len(frame.schemas)) > FRAME_ENVELOPES:
        return f"holds {envelopes} envelopes and {len(frame.schemas)} types: {FRAME_ENVELOPES} at most"
    if news > NEWS_IN_FRAME or len(frame.lost) > LOST_IN_FRAME:
        return f"tells of {news} addresses and {len(frame.lost)} lost ranges: {NEWS_IN_FRAME} at most"
    return ""
