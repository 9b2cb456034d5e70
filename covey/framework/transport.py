"""The seam between a node and whatever moves its frames to other nodes.

A transport moves opaque frames (bytes) between nodes of one swarm. It knows nothing of envelopes, agents
or credits: the node packs, bounds and interprets. All methods are called on the node's loop thread, and
the receiver's methods are called there too.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Receiver", "Transport"]


class Receiver(Protocol):
    """What a node gives its transport to call, always on the node's loop thread."""

    def on_frame(self, frame: bytes) -> None:
        """A frame that another node sent to this one. Never raises."""
        ...

    def on_beacon(self, beacon: bytes) -> None:
        """A frame broadcast by any node of the swarm, this one included. Never raises."""
        ...

    def on_link(self, up: bool, detail: str) -> None:
        """The link to the server was lost (`up=False`) or is back (`up=True`)."""
        ...

    def on_problem(self, error: Exception) -> None:
        """Something was refused or dropped after it had been accepted; a `CoveyError` says what."""
        ...


class Transport(Protocol):
    """Moves frames between the nodes of one swarm.

    Guarantees: frames from one node to another arrive in order and at most once while the link holds;
    frames in flight when a link breaks may be lost silently (the node counts gaps by sequence number).
    NOT guaranteed: that a frame to a node that is gone is reported.
    """

    name: str
    """Short name for logs and spans: `memory`, `nats`."""

    max_frame_bytes: int
    """The largest frame that `send` and `broadcast` take; valid after `start`."""

    async def start(self, swarm: str, node_id: str, receiver: Receiver) -> None:
        """Connect and begin to deliver to the receiver.

        Raises:
            TransportError: the server cannot be reached or refuses; names it and says what to do.
        """
        ...

    def send(self, node_id: str, frame: bytes) -> None:
        """Queue a frame for a node; returns at once and never blocks.

        While the link is down up to `pending_limit_bytes` are kept and sent after the reconnect.

        Raises:
            PayloadTooLargeError: the frame exceeds `max_frame_bytes`.
            TransportError: not started, closed, or more is pending than the transport keeps.
        """
        ...

    def broadcast(self, beacon: bytes) -> None:
        """Queue a frame for every node of the swarm, this one included; as `send` otherwise."""
        ...

    async def flush(self, timeout_s: float) -> None:
        """Wait until what was queued has been handed to the server.

        Raises:
            TransportError: it was not within the time.
        """
        ...

    async def close(self, timeout_s: float = 2.0) -> None:
        """Stop delivering, flush within the time, let go of everything. Idempotent; never raises."""
        ...
