"""`FaultyTransport`: another transport, with what goes wrong on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from covey.testing.faulty_link import FaultyLink

if TYPE_CHECKING:
    from covey.framework.transport import Receiver, Transport
    from covey.testing.faults import Faults

__all__ = ["FaultyTransport"]

_LENGTH_BYTES = 2
_NAME_BYTES = 256
"""The longest name of a node."""


class FaultyTransport:
    """Moves frames by another transport and lets them meet the faults where they arrive.

    Every node of the swarm needs one, with the same `Faults`: each frame carries its sender's name.

    Args:
        inner: what really moves the frames, a `MemoryTransport` for example.
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
        return self._inner.max_frame_bytes - _LENGTH_BYTES - _NAME_BYTES

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
        self._header = len(name).to_bytes(_LENGTH_BYTES, "big") + name

    def send(self, node_id: str, frame: bytes) -> None:
        """See `Transport.send`."""
        self._inner.send(node_id, self._header + frame)

    def broadcast(self, beacon: bytes) -> None:
        """See `Transport.broadcast`."""
        self._inner.broadcast(self._header + beacon)

    async def flush(self, timeout_s: float) -> None:
        """See `Transport.flush`: what is held back on a link is not waited for."""
        await self._inner.flush(timeout_s)

    async def close(self, timeout_s: float = 2.0) -> None:
        """See `Transport.close`: what is held back on a link is lost."""
        await self._inner.close(timeout_s)
        if self._arrivals is not None:
            self._arrivals.close()


class _Arrivals:
    """Stands before a node's receiver."""

    def __init__(self, node: str, receiver: Receiver, faults: Faults) -> None:
        self._node = node
        self._receiver = receiver
        self._faults = faults
        self._links: dict[str, FaultyLink] = {}

    def on_frame(self, frame: bytes) -> None:
        source, inner = _split(frame)
        link = self._links.get(source)
        if link is None:
            link = FaultyLink(source, self._node, self._faults, self._receiver.on_frame)
            self._links[source] = link
        link.take(inner)

    def on_beacon(self, beacon: bytes) -> None:
        source, inner = _split(beacon)
        if not self._faults.is_cut(source, self._node):
            self._receiver.on_beacon(inner)

    def on_link(self, up: bool, detail: str) -> None:
        self._receiver.on_link(up, detail)

    def on_problem(self, error: Exception) -> None:
        self._receiver.on_problem(error)

    def close(self) -> None:
        for link in self._links.values():
            link.close()


def _split(frame: bytes) -> tuple[str, bytes]:
    end = _LENGTH_BYTES + int.from_bytes(frame[:_LENGTH_BYTES], "big")
    return frame[_LENGTH_BYTES:end].decode(), frame[end:]
