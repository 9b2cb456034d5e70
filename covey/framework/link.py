"""A node's end of the transport: frames and beacons that come in, and those that go out."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from covey.framework.errors import CoveyError
from covey.framework.proto.envelope_pb2 import Beacon

if TYPE_CHECKING:
    from covey.framework.cluster.inbound import Inbound
    from covey.framework.cluster.outbound import Outbound
    from covey.framework.cluster.peer import Peer
    from covey.framework.cluster.presence import Presence
    from covey.framework.cluster.publishing import Publishing
    from covey.framework.dispatcher import Dispatcher
    from covey.framework.transport import Transport

__all__ = ["Link"]

logger = logging.getLogger("covey.node")


class Link:
    """What a `Transport` calls, and what sends through it; the part of a `Node` that knows of bytes."""

    dispatcher: Dispatcher
    presence: Presence
    outbound: Outbound
    inbound: Inbound
    publishing: Publishing

    def __init__(self, name: str, transport: Transport | None) -> None:
        self.name = name
        self._transport = transport
        self._flushes: deque[Peer] = deque()
        self._link_is_up = True

    def dead_letter_wire(self, target: str, type_name: str, reason: str, detail: str) -> None:
        """Keep an envelope of another node that was never decoded."""
        raise NotImplementedError

    # -- the transport's receiver, on the loop thread ----------------------------------------------

    def on_frame(self, frame: bytes) -> None:
        self.inbound.on_frame(frame)

    def on_beacon(self, beacon: bytes) -> None:
        try:
            parsed = Beacon.FromString(beacon)
        except DecodeError as error:
            self.dead_letter_wire(
                "", "beacon", "undecodable", f"{len(beacon)} bytes that are no beacon: {error}"
            )
            return
        if parsed.HasField("hello"):
            self.presence.heard(parsed.hello)
        elif parsed.HasField("publication"):
            self.publishing.heard(parsed.publication)
        elif parsed.HasField("registry"):
            self.presence.heard_registry(parsed.registry)
        elif parsed.HasField("registry_request"):
            self.presence.registration.wanted(parsed.registry_request.node)

    def on_link(self, up: bool, detail: str) -> None:
        logger.log(
            logging.INFO if up else logging.WARNING,
            "node %s: link %s: %s",
            self.name,
            "up" if up else "down",
            detail,
        )
        self._link_is_up = up
        self.presence.link(up)
        if up:
            for peer in self.outbound.peers:
                self.schedule_flush(peer)

    def on_problem(self, error: Exception) -> None:
        logger.error("node %s: %s", self.name, error)

    # -- sending frames ----------------------------------------------------------------------------

    def schedule_flush(self, peer: Peer) -> None:
        """Send what waits for a peer at the end of this loop turn; from any thread."""
        peer.armed = True
        # At the end: agents that run in this same turn may have more for the same frame.
        self._flushes.append(peer)
        self.dispatcher.wake()

    def _flush(self) -> None:
        while self._flushes:
            peer = self._flushes.popleft()
            if self._transport is None or not self._link_is_up:
                continue  # what waits stays with the peer, armed, until the link is back
            try:
                for frame in peer.frames(self.name, self._transport.max_frame_bytes):
                    self._transport.send(peer.name, frame)
            except CoveyError as error:
                # The frames before were sent; the receiver counts this one as a gap.
                logger.error("frames to node %s are lost: %s", peer.name, error)
            peer.admit()

    def probe_peers(self) -> None:
        """Ask for credits where nothing moves: the frame that carried them may be lost."""
        for peer in self.outbound.peers:
            frame = peer.probe(self.name)
            if frame is not None and self._transport is not None and self._link_is_up:
                try:
                    self._transport.send(peer.name, frame)
                except CoveyError as error:
                    logger.warning("a probe of node %s could not be sent: %s", peer.name, error)

    def broadcast(self, beacon: Beacon) -> None:
        """Send a beacon to all nodes of the swarm."""
        if self._transport is None:
            return
        try:
            self._transport.broadcast(beacon.SerializeToString())
        except CoveyError as error:
            logger.warning("a beacon of node %s could not be sent: %s", self.name, error)

    async def close_transport(self) -> None:
        """Send what can be sent, make dead letters of the rest, and leave the server."""
        if self._transport is not None:
            self._flush()
            if self._link_is_up:
                self.outbound.close("node left", f"node {self.name} left before there was room for it there")
            else:
                self.outbound.close("no link", f"node {self.name} left while its link was down")
            await self._transport.close()
