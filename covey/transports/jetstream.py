"""The JetStream store: the records of a swarm in one stream of a NATS server or cluster.

Each record is the last message on a subject of its own, and its revision the sequence of that message in the
stream. A deletion is a message too, which the server forgets after an hour, so that those who watch are told.
The server checks every condition: the leader of the stream, where there are several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from covey.framework.cluster.store import (
    MISSING,
    Absent,
    Conflict,
    Fenced,
    Record,
    StoreError,
    Unavailable,
    Watcher,
    Write,
)
from covey.framework.errors import PermissionDeniedError
from covey.transports.jetstream_link import ApiError, NoResponders, StoreLink
from covey.transports.jetstream_records import (
    FIRST_RETRY_S,
    LAST_RETRY_S,
    WRONG_LAST_SEQUENCE,
    StreamRecords,
    expecting,
)
from covey.transports.jetstream_stream import have_stream
from covey.transports.jetstream_watch import StoreWatch
from covey.transports.memory_store import check_writes
from covey.transports.nats_login import NatsLogin
from covey.transports.subjects import cluster_subject, record_key, stream_name

__all__ = ["JetStreamStore"]

T = TypeVar("T")

_START_RETRY_S = 0.05
_FIRST_TIMEOUT_S, _LAST_TIMEOUT_S = 0.25, 2.0
"""For one attempt: servers that elect a leader just now never answer what they were asked meanwhile."""
_IMPOSSIBLE = 1
"""A revision at which the key that is tried never is."""
_DELETION = b"KV-Operation: DEL\r\nNats-TTL: 1h\r\n"


class JetStreamStore:
    """Keeps records in a stream, over one connection of its own.

    Hundreds of writes may be under way at once. What is asked for while there is no connection fails at once.

    Args:
        url: as `NatsTransport`.
        login: how to log in, unless the URL says it.
        connect_timeout_s: for `start`, and for each attempt to connect.
        write_timeout_s, read_timeout_s: after so long without an answer a write or a read is `Unavailable`.
    """

    def __init__(
        self,
        url: str,
        *,
        login: NatsLogin | None = None,
        connect_timeout_s: float = 5.0,
        write_timeout_s: float = 0.5,
        read_timeout_s: float = 0.5,
    ) -> None:
        self._url = url
        self._login = login or NatsLogin()
        self._login.check_url(url)
        self._connect_timeout_s = connect_timeout_s
        self._write_timeout_s = write_timeout_s
        self._read_timeout_s = read_timeout_s
        self._swarm = ""
        self._link: StoreLink | None = None
        self._records: StreamRecords | None = None
        self._watch: StoreWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self, swarm: str, node_id: str, watcher: Watcher) -> None:
        """See `ClusterStore.start`.

        Raises:
            ConfigurationError: the stream is there, and is not what it has to be; says what to change.
        """
        if self._link is not None or self._closed:
            raise StoreError("this JetStream store was started before: make a new one for each node")
        stream, probe = stream_name(swarm), cluster_subject(swarm, record_key("probe", node_id))
        link = self._link = StoreLink(
            self._url,
            login=self._login,
            node_id=node_id,
            connect_timeout_s=self._connect_timeout_s,
            on_link=self._link_changed,
        )
        records = StreamRecords(link, stream, self._write_timeout_s, self._read_timeout_s)
        watch = self._watch = StoreWatch(link, swarm, watcher)
        self._swarm = swarm
        try:
            await link.open()
            await self._prepare(link, records, watch, probe)
        except BaseException:
            await self.close()
            raise
        self._records = records
        self._watching = asyncio.create_task(watch.run(), name=f"covey-watch-{node_id}")

    async def read(self, key: str) -> Record | None:
        """See `ClusterStore.read`."""
        records, subject = self._started(key)
        last = await _told(records.last(subject))
        return None if last.value is None else Record(key, last.value, last.revision)

    async def compare_and_set(self, key: str, value: bytes, revision: int) -> int:
        """See `ClusterStore.compare_and_set`.

        Raises:
            PayloadTooLargeError: the server takes no value so large; nothing was written.
        """
        records, subject = self._started(key)
        conflict = Conflict(key, revision)
        if revision == MISSING:
            return await _told(self._create(records, key, subject, value), conflict)
        if self._deleted(key) == revision:
            raise conflict
        return await _told(records.write(subject, value, expecting(revision)), conflict)

    async def delete(self, key: str, revision: int) -> None:
        """See `ClusterStore.delete`; at `MISSING` there is nothing to delete."""
        records, subject = self._started(key)
        conflict = Conflict(key, revision)
        if revision == MISSING:
            if await self.read(key) is not None:
                raise conflict
        elif self._deleted(key) == revision:
            raise conflict
        else:
            await _told(records.write(subject, b"", expecting(revision) + _DELETION), conflict)

    async def fenced_commit(self, writes: Sequence[Write], fence_key: str, token: int) -> int:
        """See `ClusterStore.fenced_commit`; `MISSING` is no token: it is always fenced.

        Raises:
            ConfigurationError: there is nothing to write, or more than 1,000 records.
            PayloadTooLargeError: the server takes no value so large; nothing was written.
        """
        check_writes(writes)
        records, fence = self._started(fence_key)
        messages = [(cluster_subject(self._swarm, key), value) for key, value in writes]
        fenced = Fenced(fence_key, token)
        if token == MISSING or self._deleted(fence_key) == token:
            raise fenced
        lines = b"%bNats-Expected-Last-Subject-Sequence-Subject: %b\r\n" % (expecting(token), fence.encode())
        return await _told(records.commit(messages, fence, lines), fenced)

    async def close(self, timeout_s: float = 2.0) -> None:
        """See `ClusterStore.close`."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching], timeout=timeout_s / 2)
        if self._link is not None:
            await self._link.close(timeout_s / 2)

    async def _prepare(self, link: StoreLink, records: StreamRecords, watch: StoreWatch, probe: str) -> None:
        """Have the stream and a watch, and see that this node may write and read; again while it may help."""
        end = asyncio.get_running_loop().time() + self._connect_timeout_s
        timeout_s = _FIRST_TIMEOUT_S
        while True:
            try:
                records.replicas = await have_stream(link, self._swarm, timeout_s)
                await _try_out(records, probe)
                await watch.open()
            except (NoResponders, PermissionDeniedError) as error:
                if not link.info.get("jetstream"):  # nor has any other server of a cluster, for us
                    raise Absent(
                        f"{link.where} has no JetStream, which keeps the records of a swarm: "
                        "start it with nats-server -js"
                    ) from error
                if isinstance(error, PermissionDeniedError) or asyncio.get_running_loop().time() > end:
                    raise
            except Unavailable as error:
                if isinstance(error, Absent) or asyncio.get_running_loop().time() > end:
                    raise
            else:
                return
            await asyncio.sleep(_START_RETRY_S)
            timeout_s = min(2 * timeout_s, _LAST_TIMEOUT_S)

    async def _create(self, records: StreamRecords, key: str, subject: str, value: bytes) -> int:
        """Write where nothing is, or a deletion, which the server counts as a message like others."""
        loop = asyncio.get_running_loop()
        end, wait_s = loop.time() + self._write_timeout_s, FIRST_RETRY_S
        revision = self._deleted(key)
        while True:
            try:
                return await records.write(subject, value, expecting(revision))
            except ApiError as error:
                if error.code != WRONG_LAST_SEQUENCE:
                    raise
                last = await records.last(subject)
                if last.value is not None or loop.time() + wait_s > end:
                    raise
            if last.revision == revision:  # older than what the write was refused for: that will come
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LAST_RETRY_S)
            revision = last.revision

    def _deleted(self, key: str) -> int:
        """The revision of a deletion that was seen. Only `MISSING` is told: nobody writes at this one."""
        assert self._watch is not None
        return self._watch.deleted.get(key, MISSING)

    def _link_changed(self, up: bool) -> None:
        if not up and self._watch is not None:
            self._watch.link_lost()

    def _started(self, key: str) -> tuple[StreamRecords, str]:
        if self._closed:
            raise Unavailable("the JetStream store is closed: make a new one")
        if self._records is None:
            raise Unavailable("the JetStream store was not started: await start() first")
        return self._records, cluster_subject(self._swarm, key)


async def _try_out(records: StreamRecords, subject: str) -> None:
    """A write that cannot succeed, and a read."""
    try:
        await records.write(subject, b"", expecting(_IMPOSSIBLE))
    except ApiError as error:
        if error.code != WRONG_LAST_SEQUENCE:
            raise Unavailable(f"the store takes no writes: {error}") from error
    await records.last(subject)


async def _told(doing: Awaitable[T], final: StoreError | None = None) -> T:
    """In the protocol's errors; `final` is what it means that another write came first."""
    try:
        return await doing
    except ApiError as error:
        if error.code == WRONG_LAST_SEQUENCE and final is not None:
            raise final from error
        raise Unavailable(f"the store does not take this now: {error}") from error
    except PermissionDeniedError as error:
        raise Unavailable(str(error)) from error
