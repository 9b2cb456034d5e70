"""The transports under test: a factory and what each can do. A new one joins with a class like these."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from covey.framework.transport import Transport
from covey.transports import EmbeddedServer, MemoryHub, MemoryTransport, NatsTransport

MAX_FRAME_BYTES = 1 << 20


class Bed(Protocol):
    """Where transports meet: a hub or a server."""

    has_server: bool
    """There is a server that can be absent, stop and come back."""

    def transport(self, *, pending_limit_bytes: int = 64 << 20) -> Transport: ...

    def unreachable(self) -> Transport: ...

    def stop_server(self) -> None: ...

    def start_server(self) -> None: ...


class MemoryBed:
    has_server = False

    def __init__(self) -> None:
        self._hub = MemoryHub()

    def transport(self, *, pending_limit_bytes: int = 64 << 20) -> Transport:
        self._hub.pending_limit_bytes = pending_limit_bytes
        return MemoryTransport(self._hub)


class NatsBed:
    has_server = True

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self.start_server, self.stop_server = server.start, server.stop

    def transport(self, *, pending_limit_bytes: int = 64 << 20) -> Transport:
        return NatsTransport(self._server.url, pending_limit_bytes=pending_limit_bytes)

    def unreachable(self) -> Transport:
        return NatsTransport(f"nats://127.0.0.1:{free_port()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def memory() -> Iterator[MemoryBed]:
    yield MemoryBed()


@contextmanager
def nats() -> Iterator[NatsBed]:
    with EmbeddedServer(port=free_port()) as server:  # a fixed port: it can come back where it was
        yield NatsBed(server)


BEDS = {"memory": memory, "nats": nats}
