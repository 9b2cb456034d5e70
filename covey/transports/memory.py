"""The memory transport: frames between the nodes of one process, no server, no copy.

It behaves as the NATS transport does, so that what works here works there: frames are opaque bytes, a
frame to a node that is not there is gone without a word, and two nodes of one name both get its frames.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from covey.framework.cluster.topics import matches
from covey.framework.errors import PayloadTooLargeError, TransportError
from covey.framework.transport import OutsideRequest, Receiver
from covey.transports.subjects import node_subject, topic_pattern, topic_subject

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


class _Subscription(NamedTuple):
    """What one node receives of the topics."""

    swarm: str
    pattern: str
    group: str
    inbox: _Inbox
    receiver: Receiver


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
        self._nodes: dict[tuple[str, str], tuple[tuple[_Inbox, Receiver], ...]] = {}
        """By swarm and name; two of one name may try to join at once."""
        self._serving: tuple[tuple[str, _Inbox, Receiver], ...] = ()
        self._subscriptions: tuple[_Subscription, ...] = ()
        self._turns = itertools.count()

    def request(self, swarm: str, request: OutsideRequest) -> bool:
        """Let a client that is no node ask an agent; False when no node of the swarm serves clients.

        From any thread; the answer comes on the loop thread of the node that serves it.
        """
        serving = [(inbox, receiver) for name, inbox, receiver in self._serving if name == swarm]
        if not serving:
            return False
        inbox, receiver = serving[next(self._turns) % len(serving)]
        return inbox.put(lambda _data: receiver.on_request(request), request.data)

    def publish(self, swarm: str, topic: str, data: bytes) -> bool:
        """Let a client that is no node publish; False when a subscriber had no room. From any thread."""
        topic_subject(swarm, topic)
        fits = [
            entry.inbox.put(partial(entry.receiver.on_publication, entry.pattern, entry.group, topic), data)
            for entry in self._subscribed(swarm, topic)
        ]
        return all(fits)

    def _attach(self, swarm: str, node_id: str, inbox: _Inbox, receiver: Receiver) -> None:
        with self._lock:
            key = (swarm, node_id)
            self._nodes[key] = (*self._nodes.get(key, ()), (inbox, receiver))

    def _detach(self, swarm: str, node_id: str, inbox: _Inbox) -> None:
        with self._lock:
            left = tuple(route for route in self._nodes.pop((swarm, node_id), ()) if route[0] is not inbox)
            if left:
                self._nodes[swarm, node_id] = left
            self._serving = tuple(entry for entry in self._serving if entry[1] is not inbox)
            self._subscriptions = tuple(entry for entry in self._subscriptions if entry.inbox is not inbox)

    def _serve(self, swarm: str, inbox: _Inbox, receiver: Receiver) -> None:
        with self._lock:
            if all(entry[1] is not inbox for entry in self._serving):
                self._serving = (*self._serving, (swarm, inbox, receiver))

    def _subscribe(self, subscription: _Subscription) -> None:
        with self._lock:
            if subscription not in self._subscriptions:
                self._subscriptions = (*self._subscriptions, subscription)

    def _unsubscribe(self, subscription: _Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(entry for entry in self._subscriptions if entry != subscription)

    def _nodes_of(self, swarm: str) -> Iterator[tuple[_Inbox, Receiver]]:
        for (name, _node), routes in tuple(self._nodes.items()):
            if name == swarm:
                yield from routes

    def _subscribed(self, swarm: str, topic: str) -> Iterator[_Subscription]:
        """Every matching subscription without a group, and one of each group."""
        groups: dict[str, list[_Subscription]] = {}
        for entry in self._subscriptions:
            if entry.swarm == swarm and matches(entry.pattern, topic):
                if entry.group:
                    groups.setdefault(entry.group, []).append(entry)
                else:
                    yield entry
        for members in groups.values():
            yield members[next(self._turns) % len(members)]


class MemoryTransport:
    """Moves frames between nodes that share a `MemoryHub`.

    `send` hands the frame over at once, so `flush` has nothing to wait for and there is no link to lose.
    More pending than the hub's limit means that the *receiving* node has not taken that much yet.
    """

    name = "memory"

    def __init__(self, hub: MemoryHub) -> None:
        self.max_frame_bytes = hub.max_frame_bytes
        self._hub = hub
        self._swarm = self._node_id = ""
        self._inbox: _Inbox | None = None
        self._receiver: Receiver | None = None
        self._closed = False

    async def start(self, swarm: str, node_id: str, receiver: Receiver) -> None:
        """See `Transport.start`. Delivers on the loop that this runs on."""
        if self._inbox is not None or self._closed:
            raise TransportError("this memory transport was started before: make a new one for each node")
        node_subject(swarm, node_id, node_id)  # refuses the names that NATS could not carry either
        self._swarm, self._node_id, self._receiver = swarm, node_id, receiver
        self._inbox = _Inbox(asyncio.get_running_loop(), self._hub.pending_limit_bytes)
        self._hub._attach(swarm, node_id, self._inbox, receiver)

    def send(self, node_id: str, frame: bytes, number: int = 0) -> None:
        """See `Transport.send`."""
        inbox, receiver = self._started()
        self._check_size(frame)
        source = self._node_id
        routes = self._hub._nodes.get((self._swarm, node_id), ())
        if not routes:
            inbox.put(lambda _data: receiver.on_undelivered(node_id, number), b"")
        fits = [to.put(partial(other.on_frame, source), frame) for to, other in routes]
        self._check_fit(all(fits), f"the node {node_id!r}")

    def broadcast(self, beacon: bytes) -> None:
        """See `Transport.broadcast`. A node without room misses it, the others get it, and this raises."""
        self._started()
        self._check_size(beacon)
        source = self._node_id
        nodes = self._hub._nodes_of(self._swarm)
        fits = [to.put(partial(other.on_beacon, source), beacon) for to, other in nodes]
        self._check_fit(all(fits), "a node of the swarm")

    def publish(self, topic: str, data: bytes) -> None:
        """See `Transport.publish`; as `broadcast` where a node has no room."""
        self._started()
        self._check_size(data)
        self._check_fit(self._hub.publish(self._swarm, topic, data), f"a subscriber of {topic!r}")

    def subscribe(self, pattern: str, group: str = "") -> None:
        """See `Transport.subscribe`; at once."""
        self._hub._subscribe(self._subscription(pattern, group))

    def unsubscribe(self, pattern: str, group: str = "") -> None:
        """See `Transport.unsubscribe`; at once."""
        self._hub._unsubscribe(self._subscription(pattern, group))

    def serve(self) -> None:
        """See `Transport.serve`; requests come by `MemoryHub.request`."""
        self._hub._serve(self._swarm, *self._started())

    def cluster_store(self) -> None:
        """None: the nodes of one process die together."""

    async def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - nothing to wait for
        """See `Transport.flush`: every frame is with its receiver's loop already."""
        self._started()

    async def close(self, timeout_s: float = 2.0) -> None:  # noqa: ARG002 - nothing to wait for
        """See `Transport.close`."""
        self._closed = True
        if self._inbox is not None:
            self._inbox.close()
            self._hub._detach(self._swarm, self._node_id, self._inbox)

    def _subscription(self, pattern: str, group: str) -> _Subscription:
        inbox, receiver = self._started()
        topic_pattern(self._swarm, pattern)
        return _Subscription(self._swarm, pattern, group, inbox, receiver)

    def _check_size(self, data: bytes) -> None:
        if len(data) > self.max_frame_bytes:
            raise PayloadTooLargeError("a frame", len(data), self.max_frame_bytes)

    def _check_fit(self, fits: bool, to: str) -> None:
        if not fits:
            raise TransportError(
                f"{self._hub.pending_limit_bytes} bytes wait for {to} already: "
                "send less, or raise MemoryHub(pending_limit_bytes=...)"
            )

    def _started(self) -> tuple[_Inbox, Receiver]:
        if self._closed:
            raise TransportError("the memory transport is closed: make a new one")
        if self._inbox is None or self._receiver is None:
            raise TransportError("the memory transport was not started: await start() first")
        return self._inbox, self._receiver
