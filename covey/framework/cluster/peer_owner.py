"""What a `Peer` needs from the node that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cluster.outbox import Item
    from covey.framework.cluster.peer import Peer
    from covey.framework.errors import CoveyError

__all__ = ["PeerOwner"]


class PeerOwner(Protocol):
    """Called from the loop thread unless said otherwise."""

    def schedule_flush(self, peer: Peer) -> None:
        """Set `peer.armed` and call `peer.frames()` soon on the loop thread; from any thread."""
        ...

    def crowded(self, peer: Peer) -> None:
        """So much waits for a peer that a flush should not wait for the end of the turn; from any thread."""
        ...

    @property
    def published_bytes(self) -> int:
        """All that this node has published on topics."""
        ...

    def has_read(self, peer: Peer) -> None:
        """More of it has reached a peer."""
        ...

    @property
    def max_frame_bytes(self) -> int:
        """The largest envelope that fits into a frame."""
        ...

    @property
    def window_bytes(self) -> int:
        """How much may be on its way to one node."""
        ...

    def parse_address(self, text: str) -> Address | None:
        """The address that another node wrote; None if it is none."""
        ...

    def is_parked(self, address: str) -> bool:
        """Whether messages for an agent of this node wait for room in its mailbox."""
        ...

    def lost(self, peer: Peer, frames: int, messages: int) -> None:
        """Frames of a peer, and the messages in them, will not come any more."""
        ...

    def in_doubt(self, peer: Peer, messages: int) -> None:
        """Messages were on their way to a peer that is gone, or has begun anew: they may have arrived."""
        ...

    def schema_of(self, type_name: str) -> bytes | None:
        """The descriptor of a message type, serialized."""
        ...

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        """In what another node's descriptor of a type differs from ours."""
        ...

    def refuse(self, item: Item, reason: str, error: CoveyError) -> None:
        """An envelope is not sent: make it a dead letter, tell its asker."""
        ...

    def too_late(self, item: Item, name: str, why: str) -> None:
        """An envelope came after the peer was abandoned."""
        ...
