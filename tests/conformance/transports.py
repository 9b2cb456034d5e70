"""The transports under test. A new one joins with a class like these, in the table at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from types import ModuleType
from typing import Any, cast

import nats
import nats.errors
from nats.aio.client import Client

from covey.framework.address import Address
from covey.framework.transport import OutsideRequest, Transport
from covey.testing import Faults, FaultyTransport
from covey.transports import EmbeddedServer, MemoryHub, MemoryTransport, NatsTransport
from covey.transports.subjects import agent_subject, json_subject, topic_subject
from tests.conformance.bed import Answer, Bed, ServerBed, free_port
from tests.docs.markdown import ROOT, blocks_of

__all__ = ["BEDS", "FaultyBed", "MemoryBed", "NatsBed", "free_port"]


class MemoryBed:
    has_server = False
    tells_of_undelivered = True

    def __init__(self) -> None:
        self._hub = MemoryHub()

    def transport(self, *, pending_limit_bytes: int = 64 << 20) -> Transport:
        self._hub.pending_limit_bytes = pending_limit_bytes
        return MemoryTransport(self._hub)

    async def request(
        self, swarm: str, address: str, data: bytes, json_type: str | None = None
    ) -> Answer | None:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        request = OutsideRequest(
            address, data, json_type, lambda data, headers: answer.set_result(Answer(data, headers))
        )
        return await asyncio.wait_for(answer, 10.0) if self._hub.request(swarm, request) else None

    async def publish(self, swarm: str, topic: str, data: bytes) -> None:
        assert self._hub.publish(swarm, topic, data)


class NatsBed:
    has_server = True
    tells_of_undelivered = True

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self.start_server, self.stop_server = server.start, server.stop

    def transport(self, *, pending_limit_bytes: int = 64 << 20) -> Transport:
        return NatsTransport(self._server.url, pending_limit_bytes=pending_limit_bytes)

    def unreachable(self) -> Transport:
        return NatsTransport(f"nats://127.0.0.1:{free_port()}")

    async def request(
        self, swarm: str, address: str, data: bytes, json_type: str | None = None
    ) -> Answer | None:
        agent = Address.parse(address)
        subject = json_subject(swarm, agent, json_type) if json_type else agent_subject(swarm, agent)
        async with self._client() as client:
            try:
                answer = await client.request(subject, data, timeout=10.0)
            except nats.errors.NoRespondersError:
                return None
        return Answer(answer.data, answer.headers or {})

    async def publish(self, swarm: str, topic: str, data: bytes) -> None:
        async with self._client() as client:
            await client.publish(topic_subject(swarm, topic), data)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        client = await nats.connect(self._server.url)
        try:
            yield client
        finally:
            await client.drain()


class FaultyBed:
    """Any bed through the wrapper that makes faults, with no odds for any."""

    def __init__(self, inner: Bed) -> None:
        self._inner = inner

    def transport(self, **options: int) -> Transport:
        return FaultyTransport(self._inner.transport(**options), Faults())

    def unreachable(self) -> Transport:
        return FaultyTransport(cast(ServerBed, self._inner).unreachable(), Faults())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def documented() -> Iterator[Bed]:
    """The worked example of docs/transports.md, as it stands there."""
    blocks = blocks_of(ROOT / "docs" / "transports.md")
    files = {block.argument: block for block in blocks if block.marker == "file"}
    for name, block in files.items():
        module = ModuleType(name.removesuffix(".py"))
        sys.modules[module.__name__] = module
        exec(compile("\n" * (block.line - 1) + block.code, str(block.page), "exec"), vars(module))
    yield sys.modules["switchboard_bed"].SwitchboardBed()


MakeBed = Callable[[], AbstractContextManager[Bed]]


@contextmanager
def memory() -> Iterator[Bed]:
    yield MemoryBed()


@contextmanager
def on_nats() -> Iterator[Bed]:
    with EmbeddedServer(port=free_port()) as server:  # a fixed port: it can come back where it was
        yield NatsBed(server)


def faulty(make: MakeBed) -> MakeBed:
    @contextmanager
    def wrapped() -> Iterator[Bed]:
        with make() as bed:
            yield cast(Bed, FaultyBed(bed))

    return wrapped


BEDS: dict[str, MakeBed] = {
    "memory": memory,
    "nats": on_nats,
    "the example": contextmanager(documented),
}
BEDS |= {f"faulty {name}": faulty(make) for name, make in BEDS.items()}
