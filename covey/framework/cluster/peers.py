"""The other nodes, as queues: one `Peer` for each, and what they need of this node."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from covey.framework.address import MAX_KEY_BYTES, Address
from covey.framework.cluster.incoming import Incoming
from covey.framework.cluster.outbox import Item
from covey.framework.cluster.peer import WINDOW_BYTES, Peer
from covey.framework.cluster.schemas import schema_differences, schema_of
from covey.framework.errors import CoveyError, TransportError
from covey.framework.events import MessagesLost

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Peers"]

logger = logging.getLogger("covey.node")

STRANGERS_KEPT = 64
"""Nodes that send frames and are not seen in the swarm, or not yet: each may cost some megabytes."""
FORMER_KEPT = 256
"""Nodes that were taken for gone."""
SERVER_BYTES = 48 * 1024 * 1024
"""What a NATS server keeps for one slow client is 64 MiB; all senders together stay below it."""
LEAST_WINDOW_BYTES = 256 * 1024


class Peers:
    """Makes peers, and is the `PeerOwner` of each. From any thread, unless the protocol says otherwise."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._closed = ""
        """Why nothing is sent any more, once this node leaves."""
        self._peers: dict[str, Peer] = {}
        self._former: dict[str, Incoming] = {}
        """What came from nodes that were taken for gone: one that is not must not repeat itself."""

    def peer(self, name: str) -> Peer:
        """The queue towards a node."""
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers.setdefault(name, Peer(name, self, self._former.get(name)))
            if self._closed:
                peer.abandon(self._closed)
        return peer

    @property
    def peers(self) -> tuple[Peer, ...]:
        return tuple(self._peers.values())

    def known_peer(self, name: str) -> Peer | None:
        """As `peer`, of a node that sent something; None for one too many that are not in the swarm."""
        known = self._peers.get(name)
        if known is not None:
            return known
        if name == self._node.name:
            return None
        members = self._node.presence.member_count
        if not self._node.presence.sees(name):
            is_name = 0 < len(name.encode()) <= MAX_KEY_BYTES
            if not is_name or len(self._peers) >= members + STRANGERS_KEPT:
                return None
        return self.peer(name)

    def met(self, name: str) -> Peer | None:
        """The queue towards a node, if there is one."""
        return self._peers.get(name)

    def give_up(self, name: str) -> Peer | None:
        """A node is taken for gone: nothing goes to it by this queue any more, if there is one."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            self._former.pop(name, None)
            while len(self._former) >= FORMER_KEPT:
                self._former.pop(next(iter(self._former)))
            self._former[name] = peer.incoming
        return peer

    def reached(self, name: str) -> None:
        """A node is heard of: what reached nobody is sent again."""
        peer = self._peers.get(name)
        if peer is not None:
            peer.reachable()

    # -- what a peer needs -------------------------------------------------------------------------

    def schedule_flush(self, peer: Peer) -> None:
        self._node.schedule_flush(peer)

    def schema_of(self, type_name: str) -> bytes | None:
        return schema_of(type_name)

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        return schema_differences(type_name, descriptor)

    def crowded(self, peer: Peer) -> None:
        if self._node.dispatcher.here:
            self._node.flush_early(peer)

    @property
    def published_bytes(self) -> int:
        return self._node.publishing.gate.sent_bytes

    def has_read(self, _peer: Peer) -> None:
        self._node.publishing.gate.read()

    @property
    def max_frame_bytes(self) -> int:
        return self._node.max_frame_bytes

    @property
    def window_bytes(self) -> int:
        return max(LEAST_WINDOW_BYTES, min(WINDOW_BYTES, SERVER_BYTES // self._node.presence.member_count))

    def parse_address(self, text: str) -> Address | None:
        try:
            return Address.parse(text)
        except CoveyError:
            return None

    def is_parked(self, address: str) -> bool:
        parsed = self.parse_address(address)
        return parsed is not None and self._node.inbound.is_parked(parsed)

    def lost(self, peer: Peer, frames: int, messages: int) -> None:
        # A frame without messages tells of credits; the next one does so as well.
        level = logging.WARNING if messages else logging.DEBUG
        logger.log(level, "%d frames of node %s with %d messages were lost", frames, peer.name, messages)
        if messages:
            self._node.emit(MessagesLost(peer.name, messages))

    def in_doubt(self, peer: Peer, messages: int) -> None:
        logger.warning("%d messages to node %s may not have arrived", messages, peer.name)
        self._node.emit(MessagesLost(peer.name, messages, in_doubt=True))

    def refuse(self, item: Item, reason: str, error: CoveyError) -> None:
        item.refuse(self._node, reason, error)

    def too_late(self, item: Item, name: str, why: str) -> None:
        if self._closed:
            self.refuse(item, "no link", TransportError(self._closed))
        else:
            self._node.dispatcher.call(self.send_elsewhere, item, name, why)

    def send_elsewhere(self, item: Item, name: str, why: str) -> None:
        """An envelope cannot reach the node that it was for: its agent may live elsewhere now."""
        raise NotImplementedError
