"""How this node knows a message type, and in what another node knows it otherwise."""

from __future__ import annotations

from functools import lru_cache

from covey.framework.dead_letters import clip_text
from covey.framework.errors import UndecodableError
from covey.framework.messages import codec
from covey.framework.messages.schema import descriptor_bytes, differences

__all__ = ["schema_differences", "schema_of"]

SHOWN = 8
DIFFERENCE_CHARS = 300
"""Names of fields come from the other node, as long as it likes, and are kept."""

_descriptor = lru_cache(maxsize=1024)(descriptor_bytes)


def schema_of(type_name: str) -> bytes | None:
    """The descriptor of a type, serialized; None when it is not known here."""
    message_type = codec.resolve(type_name)
    return None if message_type is None else _descriptor(message_type)


def schema_differences(type_name: str, descriptor: bytes) -> tuple[str, ...]:
    """In what another node's descriptor of a type differs from ours; empty when it is not known here."""
    local = schema_of(type_name)
    if local is None:
        return ()
    try:
        return tuple(clip_text(text, DIFFERENCE_CHARS) for text in differences(local, descriptor)[:SHOWN])
    except UndecodableError:
        return ()  # it told nothing; what its payloads hold is checked as they are decoded
