"""The memory transport: frames between the nodes of one process, no server, no copy.

It behaves as the NATS transport does, so that what works here works there: frames are opaque bytes, a
frame to a node that is not there is gone without a word, and two nodes of one name both get its frames.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from covey.framework.errors import PayloadTooLargeError, TransportError
from covey.framework.transport import Receiver
from covey.transports.subjects import beacon_subject, node_subject

__all__ = ["MemoryHub", "MemoryTransport"]

Deliver = Callable[[bytes], None]


class _Inbox:
    """Frames on their way to one node: any thread puts, the node's own loop delivers.

    One wake-up of the loop serves every frame put before it runs. Order is that of the puts.
    """

    __slots__ = ("_armed", "_closed", "_frames", "_limit_bytes", "_lock", "_loop", "_pending_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_bytes: int) -> None:
        self._loop = loop
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._frames: list[tuple[Deliver, bytes]] = []
        self._pending_bytes = 0
        self._armed = False
        self._closed = False

    def put(self, deliver: Deliver, frame: bytes) -> bool:
        """Take the frame; False if it does not fit. A closed inbox swallows it."""
        with self._lock:
            if self._closed:
                return True
            if self._pending_bytes + len(frame) > self._limit_bytes:
                return False
            self._frames.append((deliver, frame))
            self._pending_bytes += len(frame)
            wake, self._armed = not self._armed, True
        if wake:
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                self.close()  # the node's loop is closed: the node is gone
        return True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._frames = []
            self._pending_bytes = 0

    def _drain(self) -> None:
        # Disarmed before the frames are taken: a frame put from now on asks for its own wake-up.
        with self._lock:
            self._armed = False
            frames, self._frames = self._frames, []
            self._pending_bytes = 0
        for deliver, frame in frames:
            deliver(frame)


class MemoryHub:
    """Where the memory transports of one process meet. Thread-safe; the nodes' loops may differ.

    Args:
        max_frame_bytes: the largest frame, as a NATS server's `max_payload`.
        pending_limit_bytes: how much may wait for one node to take it.
    """

    def __init__(self, *, max_frame_bytes: int = 1 << 20, pending_limit_bytes: int = 64 << 20) -> None:
        self.max_frame_bytes = max_frame_bytes
        self.pending_limit_bytes = pending_limit_bytes
        self._lock = threading.Lock()
        self._routes: dict[str, tuple[tuple[_Inbox, Deliver], ...]] = {}

    def _attach(self, subject: str, inbox: _Inbox, deliver: Deliver) -> None:
        with self._lock:
            self._routes[subject] = (*self._routes.get(subject, ()), (inbox, deliver))

    def _detach(self, subject: str, inbox: _Inbox) -> None:
        with self._lock:
            left = tuple(route for route in self._routes.get(subject, ()) if route[0] is not inbox)
            if left:
                self._routes[subject] = left
            else:
                self._routes.pop(subject, None)

    def _publish(self, subject: str, frame: bytes) -> bool:
        """Give the frame to all who listen; False if it did not fit everywhere."""
        fits = True
        for inbox, deliver in self._routes.get(subject, ()):
            fits = inbox.put(deliver, frame) and fits
        return fits


class MemoryTransport:
    """Moves frames between nodes that share a `MemoryHub`.

    `send` hands the frame over at once, so `flush` has nothing to wait for and there is no link to lose.
    More pending than the hub's limit means that the *receiving* node has not taken that much yet.
    """

    name = "memory"

    def __init__(self, hub: MemoryHub) -> None:
        self.max_frame_bytes = hub.max_frame_bytes
        self._hub = hub
        self._swarm = ""
        self._subjects: tuple[str, ...] = ()
        self._inbox: _Inbox | None = None
        self._closed = False

    async def start(self, swarm: str, node_id: str, receiver: Receiver) -> None:
        """See `Transport.start`. Delivers on the loop that this runs on."""
        if self._inbox is not None or self._closed:
            raise TransportError("this memory transport was started before: make a new one for each node")
        inbox = _Inbox(asyncio.get_running_loop(), self._hub.pending_limit_bytes)
        node, beacon = node_subject(swarm, node_id), beacon_subject(swarm)
        self._swarm, self._inbox, self._subjects = swarm, inbox, (node, beacon)
        self._hub._attach(node, inbox, receiver.on_frame)
        self._hub._attach(beacon, inbox, receiver.on_beacon)

    def send(self, node_id: str, frame: bytes) -> None:
        """See `Transport.send`."""
        self._check_open()
        self._publish(node_subject(self._swarm, node_id), f"the node {node_id!r}", frame)

    def broadcast(self, beacon: bytes) -> None:
        """See `Transport.broadcast`. A node without room misses it, the others get it, and this raises."""
        self._check_open()
        self._publish(beacon_subject(self._swarm), "a node of the swarm", beacon)

    async def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - nothing to wait for
        """See `Transport.flush`: every frame is with its receiver's loop already."""
        self._check_open()

    async def close(self, timeout_s: float = 2.0) -> None:  # noqa: ARG002 - nothing to wait for
        """See `Transport.close`."""
        self._closed = True
        if self._inbox is not None:
            self._inbox.close()
            for subject in self._subjects:
                self._hub._detach(subject, self._inbox)

    def _publish(self, subject: str, to: str, frame: bytes) -> None:
        if len(frame) > self.max_frame_bytes:
            raise PayloadTooLargeError(f"a frame for {to}", len(frame), self.max_frame_bytes)
        if not self._hub._publish(subject, frame):
            raise TransportError(
                f"{to} has not taken {self._hub.pending_limit_bytes} bytes of frames yet: "
                "see whether its loop is blocked, send less, or raise MemoryHub(pending_limit_bytes=...)"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise TransportError("the memory transport is closed: make a new one")
        if self._inbox is None:
            raise TransportError("the memory transport was not started: await start() first")
