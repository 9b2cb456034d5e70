"""What a transport brings to join the conformance suite."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from covey.framework.transport import Transport

__all__ = ["Answer", "Bed", "ServerBed", "free_port"]


class Answer(NamedTuple):
    """What a client gets back."""

    data: bytes
    headers: Mapping[str, str]


class Bed(Protocol):
    """Where transports meet: a hub or a server. Its methods are called on the loop of the test."""

    has_server: bool
    """There is a server that can be absent, stop and come back: it is a `ServerBed`."""
    tells_of_undelivered: bool
    """Frames to a node that never was come back by `on_undelivered`."""

    def transport(self, *, pending_limit_bytes: int = 64 << 20) -> Transport:
        """A new one, for one more node."""
        ...

    async def request(
        self, swarm: str, address: str, data: bytes, json_type: str | None = None
    ) -> Answer | None:
        """Ask as a client that is no node; None when nobody serves."""
        ...

    async def publish(self, swarm: str, topic: str, data: bytes) -> None:
        """Publish as a client that is no node."""
        ...


class ServerBed(Bed, Protocol):
    """With a server that the tests stop."""

    def unreachable(self) -> Transport:
        """One whose server is not there."""
        ...

    def stop_server(self) -> None: ...

    def start_server(self) -> None:
        """Again, where it was."""
        ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
