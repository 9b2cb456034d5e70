"""`FaultyTransport`: another transport, with what goes wrong on the way."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from covey.framework.errors import PayloadTooLargeError
from covey.testing.faulty_link import FaultyLink

if TYPE_CHECKING:
    from covey.framework.transport import OutsideRequest, Receiver, Transport
    from covey.testing.faults import Faults

__all__ = ["FaultyTransport"]

_MARK = b"\0covey.faulty\0"
"""Before the name of who published; protobuf has no field 0, so that nothing else begins so."""
_LENGTH_BYTES = 2
_NAME_BYTES = 256
"""The longest name of a node."""


class FaultyTransport:
    """Moves frames by another transport and lets them meet the faults where they arrive.

    Every node of the swarm needs one, with the same `Faults`: each publication carries its sender's name,
    which a cut link has to know. What clients publish or ask is not understood, and is left alone.

    Args:
        inner: what really moves the frames: any transport.
        faults: what happens to them.
    """

    def __init__(self, inner: Transport, faults: Faults) -> None:
        self.name = inner.name
        self._inner = inner
        self._faults = faults
        self._header = b""
        self._arrivals: _Arrivals | None = None

    @property
    def max_frame_bytes(self) -> int:
        """See `Transport.max_frame_bytes`: a little less than the inner transport's."""
        return self._inner.max_frame_bytes - len(_MARK) - _LENGTH_BYTES - _NAME_BYTES

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        raise AttributeError(f"the frame size is the inner transport's, and cannot be set to {value}")

    async def start(self, swarm: str, node_id: str, receiver: Receiver) -> None:
        """See `Transport.start`."""
        self._faults.tell_time_by(asyncio.get_running_loop().time)
        arrivals = _Arrivals(node_id, receiver, self._faults)
        await self._inner.start(swarm, node_id, arrivals)
        self._arrivals = arrivals
        name = node_id.encode()  # the inner transport has refused what cannot travel
        self._header = _MARK + len(name).to_bytes(_LENGTH_BYTES, "big") + name

    def send(self, node_id: str, frame: bytes, number: int = 0) -> None:
        """See `Transport.send`."""
        self._check_size(frame)
        self._inner.send(node_id, frame, number)

    def broadcast(self, beacon: bytes) -> None:
        """See `Transport.broadcast`."""
        self._check_size(beacon)
        self._inner.broadcast(beacon)

    def publish(self, topic: str, data: bytes) -> None:
        """See `Transport.publish`."""
        self._check_size(data)
        self._inner.publish(topic, self._header + data)

    def subscribe(self, pattern: str, group: str = "") -> None:
        """See `Transport.subscribe`."""
        self._inner.subscribe(pattern, group)

    def unsubscribe(self, pattern: str, group: str = "") -> None:
        """See `Transport.unsubscribe`."""
        self._inner.unsubscribe(pattern, group)

    def serve(self) -> None:
        """See `Transport.serve`."""
        self._inner.serve()

    def cluster_store(self) -> None:
        """None: nodes behind faults judge each other by their beacons, which the faults hit."""

    async def flush(self, timeout_s: float) -> None:
        """See `Transport.flush`: what is held back on a link is not waited for."""
        await self._inner.flush(timeout_s)

    async def close(self, timeout_s: float = 2.0) -> None:
        """See `Transport.close`: what is held back on a link is lost."""
        await self._inner.close(timeout_s)
        if self._arrivals is not None:
            self._arrivals.close()

    def _check_size(self, data: bytes) -> None:
        if self._arrivals is not None and len(data) > self.max_frame_bytes:
            raise PayloadTooLargeError("a frame", len(data), self.max_frame_bytes)


class _Arrivals:
    """Stands before a node's receiver."""

    def __init__(self, node: str, receiver: Receiver, faults: Faults) -> None:
        self._node = node
        self._receiver = receiver
        self._faults = faults
        self._links: dict[str, FaultyLink] = {}

    def on_frame(self, source: str, frame: bytes) -> None:
        link = self._links.get(source)
        if link is None:
            deliver = partial(self._receiver.on_frame, source)
            link = self._links[source] = FaultyLink(source, self._node, self._faults, deliver)
        link.take(frame)

    def on_beacon(self, source: str, beacon: bytes) -> None:
        if not self._faults.is_cut(source, self._node):
            self._receiver.on_beacon(source, beacon)

    def on_publication(self, pattern: str, group: str, topic: str, data: bytes) -> None:
        source, inner = _split(data)
        if not self._faults.is_cut(source, self._node):
            self._receiver.on_publication(pattern, group, topic, inner)

    def on_request(self, request: OutsideRequest) -> None:
        self._receiver.on_request(request)

    def on_undelivered(self, node_id: str, number: int) -> None:
        self._receiver.on_undelivered(node_id, number)

    def on_link(self, up: bool, detail: str) -> None:
        self._receiver.on_link(up, detail)

    def on_problem(self, error: Exception) -> None:
        self._receiver.on_problem(error)

    def close(self) -> None:
        for link in self._links.values():
            link.close()


def _split(data: bytes) -> tuple[str, bytes]:
    """Who published it, and what; nobody where a client did."""
    if not data.startswith(_MARK):
        return "", data
    start = len(_MARK) + _LENGTH_BYTES
    end = start + int.from_bytes(data[len(_MARK) : start], "big")
    return data[start:end].decode(errors="replace"), data[end:]
