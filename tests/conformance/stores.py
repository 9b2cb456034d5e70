"""The stores under test, and a watcher that keeps what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol, cast

import pytest

from covey.framework.cluster.store import ClusterStore, Record
from covey.transports import JetStreamStore, MemoryShelf, MemoryStore, find_server_binary
from tests.conformance.bed import free_port

__all__ = [
    "STORE_BEDS",
    "JetStreamBed",
    "KeptServer",
    "StoreBed",
    "WatchRecorder",
    "kept_server",
    "started",
    "store_bed_fixture",
    "swarm_fixture",
]


class WatchRecorder:
    """Implements `Watcher`; use it on one loop."""

    def __init__(self) -> None:
        self.told: list[Record | tuple[str, int]] = []
        """Records, and keys with revisions of deletions, in order."""
        self.watching: list[bool] = []
        self.watching_at: list[float] = []
        self.records: dict[str, Record] = {}
        self._news = asyncio.Event()

    def on_record(self, record: Record) -> None:
        self.told.append(record)
        self.records[record.key] = record
        self._news.set()

    def on_deleted(self, key: str, revision: int) -> None:
        self.told.append((key, revision))
        self.records.pop(key, None)
        self._news.set()

    def on_watching(self, watching: bool) -> None:
        self.watching.append(watching)
        self.watching_at.append(time.monotonic())
        self._news.set()

    @property
    def is_watching(self) -> bool:
        return bool(self.watching) and self.watching[-1]

    def values(self, key: str) -> list[bytes]:
        return [told.value for told in self.told if isinstance(told, Record) and told.key == key]

    async def until(self, condition: Callable[[WatchRecorder], object], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition(self):
                self._news.clear()
                await self._news.wait()


class StoreBed(Protocol):
    """Where stores meet. Each test takes swarms of its own."""

    has_server: bool

    def store(self) -> ClusterStore:
        """A new one, for one more node."""
        ...


class MemoryStoreBed:
    has_server = False

    def __init__(self) -> None:
        self._shelf = MemoryShelf()

    def store(self) -> ClusterStore:
        return MemoryStore(self._shelf)


class KeptServer:
    """A nats-server whose records outlive it."""

    def __init__(self, directory: Path, options: str = "") -> None:
        self._config = directory / "server.conf"
        self._port = free_port()
        self.url = f"nats://127.0.0.1:{self._port}"
        self._ports = directory
        self._config.write_text(
            f"host: 127.0.0.1\nport: {self._port}\nports_file_dir: {json.dumps(str(directory))}\n"
            f"log_file: {json.dumps(str(directory / 'log'))}\n{options}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        process = self._process = subprocess.Popen(
            [find_server_binary(), "-c", self._config], start_new_session=True
        )
        end = time.monotonic() + 10.0
        while not (self._ports / f"nats-server_{process.pid}.ports").exists():
            assert process.poll() is None, "the nats-server ended"
            assert time.monotonic() < end, "no nats-server after 10 s"
            time.sleep(0.002)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10.0)

    def pause(self) -> None:
        """Until `go_on` it answers nothing, from the moment that this returns."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class JetStreamBed:
    has_server = True

    def __init__(self, server: KeptServer) -> None:
        self.server = server

    def store(self) -> ClusterStore:
        return JetStreamStore(self.server.url)


@asynccontextmanager
async def started(
    store: ClusterStore, swarm: str, node: str = "n1"
) -> AsyncIterator[tuple[ClusterStore, WatchRecorder]]:
    recorder = WatchRecorder()
    await store.start(swarm, node, recorder)
    try:
        yield store, recorder
    finally:
        await store.close()


@contextmanager
def on_a_shelf() -> Iterator[StoreBed]:
    yield MemoryStoreBed()


@contextmanager
def kept_server(options: str | None = None) -> Iterator[KeptServer]:
    with tempfile.TemporaryDirectory(prefix="covey-test-", ignore_cleanup_errors=True) as directory:
        storage = f"jetstream {{ store_dir: {json.dumps(directory)} }}\n"
        server = KeptServer(Path(directory), storage if options is None else options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def on_jetstream() -> Iterator[StoreBed]:
    with kept_server() as server:
        yield cast(StoreBed, JetStreamBed(server))


STORE_BEDS: dict[str, Callable[[], AbstractContextManager[StoreBed]]] = {
    "memory": on_a_shelf,
    "jetstream": on_jetstream,
}


@pytest.fixture(scope="module", params=list(STORE_BEDS))
def store_bed_fixture(request: pytest.FixtureRequest) -> Iterator[StoreBed]:
    with STORE_BEDS[request.param]() as bed:
        yield bed


@pytest.fixture
def swarm_fixture(request: pytest.FixtureRequest) -> str:
    """Each test its own."""
    return str(request.node.name)
