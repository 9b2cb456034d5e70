"""The way to an agent of another node, with what its messages have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.cluster.packing import Header
from covey.framework.messages.message_spec import spec_of

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cluster.peer import Peer

__all__ = ["Route"]

HEADERS_KEPT = 256
"""Of one route: by message type and sender."""


class Route:
    """Where the agent at an address lives, until the placement changes."""

    __slots__ = ("address", "encoders", "generation", "headers", "node_name", "peer")

    def __init__(self, address: Address, node_name: str, peer: Peer, generation: int) -> None:
        self.address = address
        self.node_name = node_name
        self.peer = peer
        self.generation = generation
        """Compared with the outbound's: a route of an earlier one leads nowhere any more."""
        self.headers: dict[Any, Header] = {}
        self.encoders: dict[Any, tuple[Header, Callable[[Any], bytes]]] = {}
        """What a tell needs, by the class of its message, and by its sender if it has one."""

    def header(self, type_name: str, sender: Address | None) -> Header:
        """What messages of this type and sender have in common."""
        key = type_name if sender is None else (type_name, sender)
        header = self.headers.get(key)
        if header is None:
            if len(self.headers) >= HEADERS_KEPT:
                self.headers.clear()
            header = Header(self.address, self.node_name, type_name, sender)
            self.headers[key] = header
        return header

    def remember(self, kind: type, sender: Address | None, header: Header) -> None:
        """Spare later tells of this class the look-ups."""
        spec = spec_of(kind)
        if spec is None:
            return
        if len(self.encoders) >= HEADERS_KEPT:
            self.encoders.clear()
        self.encoders[kind if sender is None else (kind, sender)] = header, spec.encode
