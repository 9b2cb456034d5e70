"""A node's end of the transport: the bytes that come in, and those that go out."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from covey.framework.cluster.beacon_limits import fault_of
from covey.framework.errors import CoveyError, PermissionDeniedError, UndecodableError
from covey.framework.proto.envelope_pb2 import Beacon

if TYPE_CHECKING:
    from covey.framework.cluster.inbound import Inbound
    from covey.framework.cluster.open_wire import OpenWire
    from covey.framework.cluster.outbound import Outbound
    from covey.framework.cluster.peer import Packed, Peer
    from covey.framework.cluster.presence import Presence
    from covey.framework.cluster.publishing import Publishing
    from covey.framework.cluster.tenancy import Tenancy
    from covey.framework.dispatcher import Dispatcher
    from covey.framework.transport import OutsideRequest, Transport

__all__ = ["Link"]

logger = logging.getLogger("covey.node")

TICK_AFTER_LINK_S = 0.03
SEND_AGAIN_S = 0.1

DENIALS_KEPT = 1000


class Link:
    """What a `Transport` calls, and what sends through it; the part of a `Node` that knows of bytes."""

    dispatcher: Dispatcher
    presence: Presence
    tenancy: Tenancy
    outbound: Outbound
    inbound: Inbound
    publishing: Publishing
    open_wire: OpenWire

    def __init__(self, name: str, transport: Transport | None) -> None:
        self.name = name
        self._transport = transport
        self._flushes: deque[Peer] = deque()
        self._link_is_up = True
        self._flushing_early = False
        self._connected = False
        self._denials: set[str] = set()

    def dead_letter_wire(self, target: str, type_name: str, reason: str, detail: str) -> None:
        """Keep an envelope of another node that was never decoded."""
        raise NotImplementedError

    def learn_limits(self) -> None:
        """The transport is connected: what it carries may be less, or more, than before."""
        raise NotImplementedError

    # -- the transport's receiver, on the loop thread ----------------------------------------------

    def on_frame(self, source: str, frame: bytes) -> None:
        self.inbound.on_frame(source, frame)

    def on_beacon(self, source: str, beacon: bytes) -> None:
        try:
            parsed = Beacon.FromString(beacon)
        except DecodeError as error:
            self.dead_letter_wire(
                "", "beacon", "undecodable", f"{len(beacon)} bytes that are no beacon: {error}"
            )
            return
        content = parsed.WhichOneof("content")
        if content in ("hello", "registry") and not self._is_from(
            source, getattr(parsed, content).node, content
        ):
            return
        fault = fault_of(parsed)
        if fault:
            self.dead_letter_wire("", "beacon", "undecodable", f"a beacon of node {source} {fault}")
        elif content == "hello":
            self.presence.heard(parsed.hello)
        elif content == "registry":
            self.presence.heard_registry(parsed.registry)
        elif content == "registry_request":
            self.presence.registration.wanted(parsed.registry_request.node)
        elif content == "schemas":
            self.publishing.heard_schemas(source, parsed.schemas)

    def _is_from(self, source: str, named: str, what: str) -> bool:
        """Whether a node speaks for itself."""
        if source == named:
            return True
        self.dead_letter_wire("", what, "forged", f"node {source} says that it is node {named}")
        return False

    def on_publication(self, pattern: str, group: str, topic: str, data: bytes) -> None:
        self.publishing.heard(pattern, group, topic, data)

    def on_request(self, request: OutsideRequest) -> None:
        self.open_wire.take(request)

    def on_undelivered(self, node_id: str, number: int) -> None:
        peer = self.outbound.met(node_id)
        if peer is not None and peer.returned(number):
            self.presence.unreachable(node_id, number)

    def on_link(self, up: bool, detail: str) -> None:
        logger.log(
            logging.INFO if up else logging.WARNING,
            "node %s: link %s: %s",
            self.name,
            "up" if up else "down",
            detail,
        )
        self._link_is_up = up
        self._denials.clear()  # a server that is back may have other permissions
        if up:
            self.learn_limits()
        self.tenancy.link(up)
        self.presence.link(up)
        if up:
            for peer in self.outbound.peers:
                self.schedule_flush(peer)
                self.ping(peer)  # the other end sees by it what was lost
            for number in range(1, 5):  # nothing is overtaken where all is new: what is missing is lost
                self.dispatcher.loop.call_later(number * TICK_AFTER_LINK_S, self.tick_peers)

    def on_problem(self, error: Exception) -> None:
        text = str(error)
        if isinstance(error, UndecodableError):
            self.dead_letter_wire("", "", "undecodable", text)
            return
        if text not in self._denials:  # one is said again for every frame
            logger.error("node %s: %s", self.name, text)
        if isinstance(error, PermissionDeniedError):
            if len(self._denials) < DENIALS_KEPT:
                self._denials.add(text)
            if error.node:
                self.outbound.denied(error)

    @property
    def is_linked(self) -> bool:
        """Whether the connection to the server is there."""
        return self._link_is_up

    @property
    def transport(self) -> Transport | None:
        """What moves this node's bytes; None when it has none, and before and after it is connected."""
        return self._transport if self._connected else None

    # -- sending frames ----------------------------------------------------------------------------

    def schedule_flush(self, peer: Peer) -> None:
        """Send what waits for a peer at the end of this loop turn; from any thread."""
        peer.armed = True
        # At the end: agents that run in this same turn may have more for the same frame.
        self._flushes.append(peer)
        self.dispatcher.wake()

    def _flush(self) -> None:
        for _ in range(len(self._flushes)):
            peer = self._flushes.popleft()
            if self._transport is None or not self._link_is_up:
                continue  # what waits stays with the peer, armed, until the link is back
            self._send_frames(peer, peer.frames(self._transport.max_frame_bytes))
            peer.admit()
        if self._flushes:  # who has more takes another turn
            self.dispatcher.call(_take_another_turn)

    def flush_early(self, peer: Peer) -> None:
        """Send what waits for a peer before the turn is over: it is much already. On the loop thread."""
        if self._transport is not None and self._link_is_up and not self._flushing_early:
            self._flushing_early = True  # a dead letter on the way may make somebody tell something
            try:
                self._send_frames(peer, peer.frames(self._transport.max_frame_bytes))
            finally:
                self._flushing_early = False

    def ping(self, peer: Peer) -> int:
        """Find out whether somebody listens for a peer; returns the ping's number, which may come back."""
        packed = peer.ping()
        self._send_frames(peer, [packed])
        return packed[1]

    def tick_peers(self) -> None:
        """See to what is missing, and ask where nothing moves."""
        for peer in self.outbound.peers:
            frame = peer.tick()
            if frame is not None:
                self._send_frames(peer, [frame])

    def _send_frames(self, peer: Peer, frames: list[Packed]) -> None:
        if self._transport is None or not self._link_is_up:
            return  # they are kept, and told of as lost
        waiting = deque(frames)
        try:
            while waiting:
                self._transport.send(peer.name, *waiting[0])
                waiting.popleft()
        except CoveyError as error:
            logger.warning("frames to node %s have to wait: %s", peer.name, error)
            for _frame, number in waiting:  # they did not leave: they are as those that reached nobody
                peer.returned(number)
            self.dispatcher.loop.call_later(SEND_AGAIN_S, peer.reachable)

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
            while self._flushes:
                self._flush()
            if self._link_is_up:
                self.outbound.close("node left", f"node {self.name} left before there was room for it there")
            else:
                self.outbound.close("no link", f"node {self.name} left while its link was down")
            self._connected = False
            await self._transport.close()


def _take_another_turn() -> None:
    """Nothing: the flush comes at the end of the turn."""
