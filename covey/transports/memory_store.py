"""The memory store: the records of swarms whose nodes live in one process. No server, nothing on disk.

It behaves as the JetStream store does, so that what works here works there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from covey.framework.cluster.store import (
    MISSING,
    Conflict,
    Fenced,
    Record,
    StoreError,
    Unavailable,
    Watcher,
    Write,
)
from covey.framework.errors import ConfigurationError, PayloadTooLargeError
from covey.transports.subjects import cluster_subject, node_subject

__all__ = ["MAX_WRITES", "MemoryShelf", "MemoryStore", "check_writes"]

MAX_WRITES = 1000
"""In one `fenced_commit`: a nats-server takes no more in an atomic batch."""

Tell = Callable[[], None]


class _Watching:
    """One watcher, told on its own loop, in the order of the writes."""

    def __init__(self, watcher: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        self.watcher = watcher
        self._loop = loop
        self._ended = False

    def tell(self, what: Tell) -> None:
        """Any thread, but under the shelf's lock: that makes the order."""
        with suppress(RuntimeError):  # its loop is closed: the node is gone
            self._loop.call_soon_threadsafe(self._tell, what)

    def end(self) -> None:
        """On its loop: tell nothing more, not even what is on its way."""
        self._ended = True

    def _tell(self, what: Tell) -> None:
        if not self._ended:
            what()


class _Swarm:
    """What is kept for one swarm."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.revision = MISSING
        self.watching: tuple[_Watching, ...] = ()

    def revision_of(self, key: str) -> int:
        record = self.records.get(key)
        return MISSING if record is None else record.revision

    def write(self, key: str, value: bytes) -> int:
        self.revision += 1
        record = self.records[key] = Record(key, value, self.revision)
        for entry in self.watching:
            entry.tell(partial(entry.watcher.on_record, record))
        return self.revision

    def delete(self, key: str) -> None:
        self.revision += 1
        del self.records[key]
        for entry in self.watching:
            entry.tell(partial(entry.watcher.on_deleted, key, self.revision))

    def watch(self, entry: _Watching) -> None:
        watcher, records = entry.watcher, tuple(self.records.values())

        def tell_all() -> None:
            for record in records:
                watcher.on_record(record)
            watcher.on_watching(True)

        entry.tell(tell_all)
        self.watching = (*self.watching, entry)


class MemoryShelf:
    """What the memory stores of one process share. Thread-safe; the stores' loops may differ.

    Args:
        max_value_bytes: the largest value, as a NATS server's `max_payload`.
    """

    def __init__(self, *, max_value_bytes: int = 1 << 20) -> None:
        self.max_value_bytes = max_value_bytes
        self._lock = threading.Lock()
        self._swarms: dict[str, _Swarm] = {}

    def _of(self, swarm: str) -> _Swarm:
        return self._swarms.setdefault(swarm, _Swarm())


class MemoryStore:
    """Keeps records on a `MemoryShelf`. It always decides, at once, and its watch is never blind."""

    def __init__(self, shelf: MemoryShelf) -> None:
        self._shelf = shelf
        self._swarm = ""
        self._entry: _Watching | None = None
        self._closed = False

    async def start(self, swarm: str, node_id: str, watcher: Watcher) -> None:
        """See `ClusterStore.start`."""
        if self._entry is not None or self._closed:
            raise StoreError("this memory store was started before: make a new one for each node")
        node_subject(swarm, node_id, node_id)  # refuses the names that NATS could not carry either
        self._swarm, self._entry = swarm, _Watching(watcher, asyncio.get_running_loop())
        with self._shelf._lock:
            self._shelf._of(swarm).watch(self._entry)

    async def read(self, key: str) -> Record | None:
        """See `ClusterStore.read`; never an old one."""
        self._check(key)
        with self._shelf._lock:
            return self._shelf._of(self._swarm).records.get(key)

    async def compare_and_set(self, key: str, value: bytes, revision: int) -> int:
        """See `ClusterStore.compare_and_set`."""
        self._check(key, value)
        with self._shelf._lock:
            kept = self._shelf._of(self._swarm)
            if kept.revision_of(key) != revision:
                raise Conflict(key, revision)
            return kept.write(key, bytes(value))

    async def delete(self, key: str, revision: int) -> None:
        """See `ClusterStore.delete`; at `MISSING` there is nothing to delete."""
        self._check(key)
        with self._shelf._lock:
            kept = self._shelf._of(self._swarm)
            if kept.revision_of(key) != revision:
                raise Conflict(key, revision)
            if revision != MISSING:
                kept.delete(key)

    async def fenced_commit(self, writes: Sequence[Write], fence_key: str, token: int) -> int:
        """See `ClusterStore.fenced_commit`; `MISSING` is no token: it is always fenced."""
        check_writes(writes)
        for write in writes:
            self._check(write.key, write.value)
        self._check(fence_key)
        with self._shelf._lock:
            kept = self._shelf._of(self._swarm)
            if token == MISSING or kept.revision_of(fence_key) != token:
                raise Fenced(fence_key, token)
            return [kept.write(key, bytes(value)) for key, value in writes][-1]

    async def close(self, timeout_s: float = 2.0) -> None:  # noqa: ARG002 - nothing to wait for
        """See `ClusterStore.close`."""
        self._closed = True
        if self._entry is None:
            return
        self._entry.end()
        with self._shelf._lock:
            kept = self._shelf._of(self._swarm)
            kept.watching = tuple(entry for entry in kept.watching if entry is not self._entry)

    def _check(self, key: str, value: bytes = b"") -> None:
        if self._closed:
            raise Unavailable("the memory store is closed: make a new one")
        if self._entry is None:
            raise Unavailable("the memory store was not started: await start() first")
        cluster_subject(self._swarm, key)
        if len(value) > self._shelf.max_value_bytes:
            raise PayloadTooLargeError(f"the record {key}", len(value), self._shelf.max_value_bytes)


def check_writes(writes: Sequence[Write]) -> None:
    """See that a store can commit as many at once.

    Raises:
        ConfigurationError: there is none, or there are too many.
    """
    if not 1 <= len(writes) <= MAX_WRITES:
        raise ConfigurationError(f"{len(writes)} writes in one commit: 1 to {MAX_WRITES} are allowed")
