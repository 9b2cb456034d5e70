"""What a `Peer` needs from the node that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from covey.framework.cluster.packing import Outgoing
    from covey.framework.cluster.peer import Peer
    from covey.framework.errors import CoveyError

__all__ = ["PeerOwner"]


class PeerOwner(Protocol):
    """Called from the loop thread unless said otherwise."""

    def schedule_flush(self, peer: Peer) -> None:
        """Set `peer.armed` and call `peer.frames()` soon on the loop thread; from any thread."""
        ...

    def schema_of(self, type_name: str) -> bytes | None:
        """The descriptor of a message type, serialized."""
        ...

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        """In what another node's descriptor of a type differs from ours."""
        ...

    def refuse(self, item: Outgoing, reason: str, error: CoveyError) -> None:
        """An envelope is not sent: make it a dead letter, tell its asker."""
        ...

    def too_late(self, item: Outgoing, name: str, why: str) -> None:
        """An envelope came after the peer was abandoned."""
        ...
