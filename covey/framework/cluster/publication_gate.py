"""Where publications leave this node: not faster than the slowest node of the swarm reads them.

A NATS server drops the connection of a client that reads too slowly (64 MiB wait by default), and with it
all that it did not read. So every node tells with its frames how much it has published, and how much of
the others' publications had come before: what one node sends arrives in the order in which it left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from covey.framework.backpressure import call_waiters
from covey.framework.errors import CoveyError, TransportError

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["PUBLISHED_BYTES", "Publication", "PublicationGate"]

PUBLISHED_BYTES = 8 * 1024 * 1024
"""With so much published and not read by every other node no more is taken."""
ASK_BYTES = PUBLISHED_BYTES // 8
OVERHEAD_BYTES = 256
"""Of one publication on the wire and in the server: its subject, more or less."""


class Publication(NamedTuple):
    """A message in bytes on its way to a topic."""

    topic: str
    type_name: str
    data: bytes


class PublicationGate:
    """`offer` and `wait_for_room` from any thread, the rest on the loop thread."""

    def __init__(self, node: Node, send: Callable[[Publication], None]) -> None:
        self.waiters: deque[Callable[[], None]] = deque()
        self.sent_bytes = 0
        """All that was ever published."""
        self._node = node
        self._send = send
        self._lock = threading.RLock()
        self._taken_bytes = self._read_bytes = self._asked_bytes = 0
        self._admitting = False

    # -- from any thread ---------------------------------------------------------------------------

    @property
    def is_waited_for(self) -> bool:
        """Whether publishers wait for room: who comes now has to wait behind them."""
        return bool(self.waiters) or self._admitting

    def offer(self, item: Publication) -> bool:
        """Take a publication; False when too much was not read yet."""
        size = len(item.data) + OVERHEAD_BYTES
        with self._lock:
            if self._taken_bytes - self._read_bytes >= PUBLISHED_BYTES:
                return False
            self._taken_bytes += size
        self._node.dispatcher.call(self._publish, item, size)
        return True

    def wait_for_room(self, waiter: Callable[[], None]) -> None:
        """Call the waiter on the loop thread when there may be room, after those who wait already."""
        self.waiters.append(waiter)
        self._node.dispatcher.call(self.read)

    def refuse(self, item: Publication, error: CoveyError) -> None:
        """A publication that found no room and is not offered again."""
        self._node.dead_letter_wire(item.topic, item.type_name, "mailbox full", str(error))

    def full_error(self) -> CoveyError:
        """The error that says who reads too slowly."""
        return TransportError(
            f"{PUBLISHED_BYTES} bytes of publications were not read yet by {', '.join(self._slowest())}: "
            "await publish(), or publish less; what holds that node's loop is in its log"
        )

    def _slowest(self) -> list[str]:
        others = self._node.outbound.peers
        least = min((peer.read_bytes for peer in others), default=0)
        return sorted(peer.name for peer in others if peer.read_bytes == least) or ["the server"]

    # -- on the loop thread ------------------------------------------------------------------------

    def _publish(self, item: Publication, size: int) -> None:
        self._send(item)
        self.sent_bytes += size
        if self.sent_bytes - self._asked_bytes >= ASK_BYTES:
            self.ask()

    def ask(self) -> None:
        """Ask every other node how much it has read."""
        node = self._node
        self._asked_bytes = self.sent_bytes
        others = [member.name for member in node.presence.members if member.name != node.name]
        for name in others:
            node.ping(node.outbound.peer(name))
        if not others:
            self.read()

    def read(self) -> None:
        """Nodes have read more, or have left."""
        node = self._node
        readers = [peer for peer in node.outbound.peers if node.presence.sees(peer.name) and not peer.silent]
        self._read_bytes = min((peer.read_bytes for peer in readers), default=self.sent_bytes)
        self._admit()

    def tick(self) -> None:
        """Called several times a second: an answer may be lost, or a node gone."""
        if self.waiters:
            self.read()
            self.ask()

    def _admit(self) -> None:
        self._admitting = True
        try:
            call_waiters(self.waiters, lambda: self._taken_bytes - self._read_bytes < PUBLISHED_BYTES)
        finally:
            self._admitting = False
