"""The seam between a node and whatever moves its bytes to other nodes and to the world outside.

A transport moves opaque bytes: frames from node to node, beacons to all nodes, publications on topics, and
requests of clients that are no nodes. It knows nothing of envelopes, agents or credits: the node packs,
bounds and interprets. docs/transports.md says what an author of one needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from covey.framework.cluster.store import ClusterStore

__all__ = ["OutsideRequest", "Receiver", "Respond", "Transport"]

Respond = Callable[[bytes, Mapping[str, str]], None]
"""Sends an answer with headers; on the loop thread, at most once. Never raises."""


@dataclass(frozen=True, slots=True)
class OutsideRequest:
    """What a client that is no node of the swarm wants of an agent."""

    address: str
    """`kind/key`, as the subject says; not checked."""
    data: bytes
    """An `Envelope`, or JSON."""
    json_type: str | None = None
    """The type of a message in JSON, as the subject names it; None for an envelope."""
    respond: Respond | None = None
    """None when nobody waits for an answer."""
    remaining_ms: int = 0
    """How long an answer in JSON is waited for; 0 for what the node is set to. An envelope says it itself."""


class Receiver(Protocol):
    """What a node gives its transport to call, always on the node's loop thread. Nothing of it raises."""

    def on_frame(self, source: str, frame: bytes) -> None:
        """A frame that another node sent to this one; `source` is who the transport says it was."""
        ...

    def on_beacon(self, source: str, beacon: bytes) -> None:
        """A beacon of a node of the swarm, this one included."""
        ...

    def on_publication(self, pattern: str, group: str, topic: str, data: bytes) -> None:
        """Something was published, by a node (this one included) or a client, that a subscription matches."""
        ...

    def on_request(self, request: OutsideRequest) -> None:
        """A client asks, or tells, an agent something."""
        ...

    def on_undelivered(self, node_id: str, number: int) -> None:
        """Nobody listened when the frame of this number was sent to the node: it reached nobody."""
        ...

    def on_link(self, up: bool, detail: str) -> None:
        """The link to the server was lost (`up=False`) or is back (`up=True`)."""
        ...

    def on_problem(self, error: Exception) -> None:
        """Something was refused or dropped after it had been accepted; a `CoveyError` says what.

        An `UndecodableError` is about something that came in where nothing of the kind belongs: it becomes
        a dead letter.
        """
        ...


class Transport(Protocol):
    """Moves the bytes of one node of a swarm. All methods are called on the node's loop thread.

    Guarantees: frames from one node to another, and one node's beacons and publications, arrive in the order
    in which they were sent and at most once while the link holds; those in flight when a link breaks may be
    lost silently (the node counts gaps by sequence number). NOT guaranteed: that a frame to a node that is
    gone is reported by `on_undelivered`.
    """

    name: str
    """Short name for logs and spans: `memory`, `nats`."""

    max_frame_bytes: int
    """The largest frame, beacon or publication; valid after `start`."""

    async def start(self, swarm: str, node_id: str, receiver: Receiver) -> None:
        """Connect and begin to deliver frames and beacons to the receiver.

        Raises:
            TransportError: the server cannot be reached or refuses; names it and says what to do.
            PermissionDeniedError: the server refuses a subject that the node needs.
        """
        ...

    def send(self, node_id: str, frame: bytes, number: int = 0) -> None:
        """Send a frame to a node; returns at once and never blocks.

        While the link is down up to `pending_limit_bytes` are kept and sent after the reconnect. The number
        comes back with `on_undelivered`.

        Raises:
            PayloadTooLargeError: the frame exceeds `max_frame_bytes`.
            TransportError: not started, closed, or more is pending than the transport keeps.
        """
        ...

    def broadcast(self, beacon: bytes) -> None:
        """Send a beacon to every node of the swarm, this one included; as `send` otherwise."""
        ...

    def publish(self, topic: str, data: bytes) -> None:
        """Send to every subscription that matches the topic; as `send` otherwise."""
        ...

    def subscribe(self, pattern: str, group: str = "") -> None:
        """Receive what is published on matching topics, from soon on, until `unsubscribe`.

        The words of a pattern are joined by dots; `*` stands for one, a final `>` for one or more. Each
        publication goes to every subscription without a group, and to one of each group, whatever the
        patterns of its members. It holds through reconnects. Idempotent.
        """
        ...

    def unsubscribe(self, pattern: str, group: str = "") -> None:
        """Receive it no longer, from soon on. Idempotent."""
        ...

    def serve(self) -> None:
        """Take requests of clients, from soon on: each goes to one of the nodes that serve. Idempotent."""
        ...

    def cluster_store(self) -> ClusterStore | None:
        """Where the swarm keeps its records, not started yet; None where nothing does. After `start`."""
        ...

    async def flush(self, timeout_s: float) -> None:
        """Wait until what was sent, subscribed and unsubscribed has been handed to the server.

        Raises:
            TransportError: it was not within the time.
        """
        ...

    async def close(self, timeout_s: float = 2.0) -> None:
        """Stop delivering, flush within the time, let go of everything. Idempotent; never raises."""
        ...
