"""The NATS transport: frames between nodes over a NATS server or cluster, core NATS only."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import nats.errors

from covey.framework.cluster.store import ClusterStore
from covey.framework.errors import (
    CoveyError,
    PayloadTooLargeError,
    PermissionDeniedError,
    TransportError,
)
from covey.framework.transport import Receiver
from covey.transports.jetstream import JetStreamStore
from covey.transports.nats_arrivals import Arrivals, Listening, inbox_prefix
from covey.transports.nats_client import FrameClient
from covey.transports.nats_errors import connect_error, is_link_trouble, redacted, reported_error
from covey.transports.nats_login import NatsLogin
from covey.transports.subjects import beacon_subject, node_subject, topic_subject

__all__ = ["NatsTransport"]

logger = logging.getLogger("covey.nats")

HEADERS_OVERHEAD_BYTES = 16
_BURST_FRAMES = 256
_SUBJECTS_KEPT = 4096
_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0


class _Job(NamedTuple):
    """What waits for the owner of the connection."""

    run: Callable[[FrameClient], Awaitable[None]]
    size_bytes: int
    is_frame: bool = False


class NatsTransport:
    """Moves frames between nodes that are connected to one NATS server or cluster.

    What is sent goes to the socket at once. Where it cannot (the link is down, the socket is full) it waits
    for the task that owns the connection, which does everything in order and replaces a client that closed
    for good (expired credentials, say). What was handed to a connection that then breaks is lost; nothing
    is sent twice.

    Args:
        url: `nats://[user:password@]host[:port]`, or several joined by commas.
        login: how to log in, unless the URL says it, and whether TLS is a must.
        connect_timeout_s: for each attempt to connect.
        pending_limit_bytes: how much may wait to be sent.
    """

    name = "nats"

    def __init__(
        self,
        url: str,
        *,
        login: NatsLogin | None = None,
        connect_timeout_s: float = 3.0,
        pending_limit_bytes: int = 64 << 20,
    ) -> None:
        self.max_frame_bytes = 0
        self._url = url
        self._login = login or NatsLogin()
        self._login.check_url(url)
        self._connect_timeout_s = connect_timeout_s
        self._pending_limit_bytes = pending_limit_bytes
        self._swarm = self._node_id = self._beacon_subject = ""
        self._subjects: dict[str, tuple[str, str]] = {}
        """By node: where its frames go, and where the server says that nobody listened."""
        self._topics: dict[str, str] = {}
        self._subscriptions: dict[tuple[str, str], None] = {}
        self._serving = False
        self._receiver: Receiver | None = None
        self._arrivals: Arrivals | None = None
        self._client: FrameClient | None = None
        self._owner: asyncio.Task[None] | None = None
        self._running = self._closed = self._ending = False
        self._jobs: deque[_Job] = deque()
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._all_published = asyncio.Event()
        self._link = asyncio.Event()
        self._trouble = ""
        self._refusal: CoveyError | None = None

    async def start(self, swarm: str, node_id: str, receiver: Receiver) -> None:
        """See `Transport.start`."""
        if self._receiver is not None or self._closed:
            raise TransportError("this NATS transport was started before: make a new one for each node")
        self._beacon_subject = beacon_subject(swarm, node_id)
        self._swarm, self._node_id, self._receiver = swarm, node_id, receiver
        self._arrivals = Arrivals(swarm, node_id, receiver, self._answer)
        self._client = await self._open_client(self._arrivals)
        self._all_published.set()
        self._link.set()
        self._owner = asyncio.create_task(self._own_client(receiver), name=f"covey-nats-{node_id}")
        self._running = True

    def send(self, node_id: str, frame: bytes, number: int = 0) -> None:
        """See `Transport.send`."""
        subject, inbox = self._subjects.get(node_id) or self._subjects_of(node_id)
        self._publish(subject, frame, f"{inbox}{number}", is_frame=True)

    def broadcast(self, beacon: bytes) -> None:
        """See `Transport.broadcast`."""
        self._publish(self._beacon_subject, beacon)

    def publish(self, topic: str, data: bytes) -> None:
        """See `Transport.publish`."""
        subject = self._topics.get(topic)
        if subject is None:
            self._check_running()
            if len(self._topics) >= _SUBJECTS_KEPT:
                self._topics.clear()
            subject = self._topics[topic] = topic_subject(self._swarm, topic)
        self._publish(subject, data)

    def subscribe(self, pattern: str, group: str = "") -> None:
        """See `Transport.subscribe`."""
        self._check_running()
        if (pattern, group) not in self._subscriptions:
            assert self._arrivals is not None
            listening = self._arrivals.of_topics(pattern, group)
            self._subscriptions[pattern, group] = None
            self._enlist(_Job(partial(FrameClient.listen, listening=listening), 0))

    def unsubscribe(self, pattern: str, group: str = "") -> None:
        """See `Transport.unsubscribe`."""
        self._check_running()
        if (pattern, group) in self._subscriptions:
            assert self._arrivals is not None
            subject = self._arrivals.of_topics(pattern, group).subject
            del self._subscriptions[pattern, group]
            self._enlist(_Job(lambda client: client.listen_no_more(subject, group), 0))

    def serve(self) -> None:
        """See `Transport.serve`."""
        self._check_running()
        if not self._serving:
            self._serving = True
            assert self._arrivals is not None
            for listening in self._arrivals.of_clients():
                self._enlist(_Job(partial(FrameClient.listen, listening=listening), 0))

    def cluster_store(self) -> ClusterStore:
        """Streams of JetStream, where the server has it, over a connection of their own."""
        self._check_running()
        return JetStreamStore(self._url, login=self._login)

    async def flush(self, timeout_s: float) -> None:
        """See `Transport.flush`."""
        self._check_running()
        await self._flush(timeout_s)

    async def close(self, timeout_s: float = 2.0) -> None:
        """See `Transport.close`. Half of the time is for the flush, half for closing the connection."""
        running, self._running, self._closed = self._running, False, True
        if not running or self._client is None or self._owner is None:
            return
        self._client.mute()
        try:
            try:
                await self._flush(timeout_s / 2)
            except TransportError as error:
                self._tell_of_loss(error)
        finally:
            self._ending = True  # besides cancel(), which nats-py swallows while it waits for the socket
            self._owner.cancel()
            await asyncio.wait([self._owner], timeout=timeout_s / 2)
            await self._client.end(timeout_s / 2)

    def _tell_of_loss(self, error: TransportError) -> None:
        """What was not confirmed at the end may be lost: say how much, for nobody else can."""
        if self._client is None or self._receiver is None:
            return
        frames = sum(job.is_frame for job in self._jobs)
        held_bytes = self._client.unsent_bytes
        if frames or held_bytes:
            held = f"{frames} frames and {held_bytes} bytes on their way to the socket"
            self._receiver.on_problem(TransportError(f"{held} are lost as the node leaves: {error}"))

    def _subjects_of(self, node_id: str) -> tuple[str, str]:
        self._check_running()
        if len(self._subjects) >= _SUBJECTS_KEPT:
            self._subjects.clear()
        assert self._arrivals is not None
        subject = node_subject(self._swarm, node_id, self._node_id)
        self._subjects[node_id] = subject, self._arrivals.undelivered_inbox(node_id)
        return self._subjects[node_id]

    def _answer(self, subject: str, data: bytes, headers: Mapping[str, str]) -> None:
        try:
            self._publish(subject, data, headers=headers)
        except CoveyError as error:
            if self._receiver is not None and not self._closed:
                self._receiver.on_problem(TransportError(f"the answer to a client is lost: {error}"))

    def _publish(
        self,
        subject: str,
        data: bytes,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        is_frame: bool = False,
    ) -> None:
        size = len(data)
        if not self._running:
            self._check_running()
        if headers:  # the server counts them, and cuts off who sends too much
            size += HEADERS_OVERHEAD_BYTES + sum(len(key) + len(value) + 4 for key, value in headers.items())
        if size > self.max_frame_bytes:
            raise PayloadTooLargeError("a frame", size, self.max_frame_bytes)
        # What waits already goes first.
        if not self._jobs and not headers:
            assert self._client is not None
            if self._client.publish_now(subject, data, reply):
                return
        if self._pending_bytes + size > self._pending_limit_bytes:
            raise TransportError(
                f"{self._pending_bytes} bytes wait to be sent to {redacted(self._url)} already"
                f"{' (' + self._trouble + ')' if self._trouble else ''}: "
                "send less, or raise NatsTransport(pending_limit_bytes=...)"
            )
        self._enlist(
            _Job(lambda client: client.publish_in_turn(subject, data, reply, headers), size, is_frame)
        )

    def _enlist(self, job: _Job) -> None:
        self._jobs.append(job)
        self._pending_bytes += job.size_bytes
        self._all_published.clear()
        self._wake.set()

    def _check_running(self) -> None:
        if self._closed:
            raise TransportError("the NATS transport is closed: make a new one")
        if not self._running:
            raise TransportError("the NATS transport was not started: await start() first")

    async def _flush(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_published.wait()
                await self._link.wait()
                assert self._client is not None
                await self._client.confirm(timeout_s)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise TransportError(
                f"what was sent has not reached {redacted(self._url)} within {timeout_s:.3g} s "
                f"({self._trouble or 'it does not answer'}; {len(self._jobs)} frames wait here): "
                "see whether the server is up"
            ) from error

    async def _own_client(self, receiver: Receiver) -> None:
        while not self._ending:
            await self._wake.wait()
            self._wake.clear()
            assert self._client is not None
            if self._client.is_closed:
                self._client = await self._replacement()
                self._link_changed(True)
            await self._do_jobs(self._client, receiver)

    async def _do_jobs(self, client: FrameClient, receiver: Receiver) -> None:
        # Taken from the queue before it is done, so that no break of the link sends a frame twice.
        while self._jobs:
            for _ in range(min(len(self._jobs), _BURST_FRAMES)):
                if self._ending or not client.is_connected:
                    return  # a reconnect wakes us
                job = self._jobs.popleft()
                self._pending_bytes -= job.size_bytes
                try:
                    await job.run(client)
                except (OSError, nats.errors.Error) as error:
                    receiver.on_problem(self._reported(error))
                except Exception as error:  # nats-py's own: without this task nothing would be sent any more
                    logger.exception("internal error with a connection to %s", redacted(self._url))
                    receiver.on_problem(TransportError(f"{type(error).__name__}: {error}"))
            await asyncio.sleep(0)  # let the client write, and others run
        self._all_published.set()

    async def _open_client(self, arrivals: Arrivals) -> FrameClient:
        self._refusal = None
        client = FrameClient(self._error, self._link_changed, self._wake.set)
        prefix = inbox_prefix(self._node_id)
        timeout_s = self._connect_timeout_s
        await client.open(
            self._url, name=self._node_id, inbox_prefix=prefix, timeout_s=timeout_s, login=self._login
        )
        try:
            for listening in self._listening(arrivals):
                await client.listen(listening)
            await client.confirm(timeout_s)
            if self._refusal is not None:
                raise self._refusal
        except BaseException as problem:
            await client.end(timeout_s)
            if isinstance(problem, OSError | nats.errors.Error) and not isinstance(problem, CoveyError):
                raise connect_error(self._url, [problem], timeout_s) from problem
            raise
        self.max_frame_bytes = client.max_payload
        return client

    def _listening(self, arrivals: Arrivals) -> Iterator[Listening]:
        yield from arrivals.of_a_node()
        if self._serving:
            yield from arrivals.of_clients()
        for pattern, group in self._subscriptions:
            yield arrivals.of_topics(pattern, group)

    async def _replacement(self) -> FrameClient:
        """A new client in place of one that closed for good; tries until it has one or is cancelled."""
        retry_s = _FIRST_RETRY_S
        assert self._arrivals is not None
        while True:
            try:
                return await self._open_client(self._arrivals)
            except CoveyError as error:
                self._tell_once(error)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def _link_changed(self, up: bool) -> None:
        if up == self._link.is_set() or self._receiver is None or self._client is None:
            return
        if up:
            self.max_frame_bytes = self._client.max_payload
            self._trouble = ""
            self._link.set()
            self._wake.set()
            self._receiver.on_link(True, f"connected to {redacted(self._url)} again")
        else:
            self._link.clear()
            reason = self._trouble or str(self._client.last_error or "the connection broke")
            self._receiver.on_link(False, f"lost {redacted(self._url)}: {reason.removeprefix('nats: ')}")

    def _error(self, problem: Exception) -> None:
        if is_link_trouble(problem):
            self._trouble = self._trouble or str(problem).removeprefix("nats: ")
            return
        error = self._reported(problem)
        if self._client is None or self._client.is_closed:
            self._refuse(error)  # while a client opens
        elif self._link.is_set():
            assert self._receiver is not None
            self._receiver.on_problem(error)
        else:
            self._tell_once(error)

    def _refuse(self, error: CoveyError) -> None:
        """`_open_client` raises it, unless it is about what a node can be without."""
        assert self._arrivals is not None
        assert self._receiver is not None
        needed = {listening.subject for listening in self._arrivals.of_a_node()}
        if isinstance(error, PermissionDeniedError) and error.subject not in needed:
            self._receiver.on_problem(error)
        else:
            self._refusal = self._refusal or error

    def _tell_once(self, error: CoveyError) -> None:
        """Report what keeps the link down, but not again at every attempt."""
        if str(error) != self._trouble and self._receiver is not None:
            self._trouble = str(error)
            self._receiver.on_problem(error)

    def _reported(self, problem: Exception) -> CoveyError:
        return reported_error(self._url, problem, self._known_subjects())

    def _known_subjects(self) -> Iterator[str]:
        """Those that a refusal may be about."""
        yield self._beacon_subject
        yield from (subject for subject, _inbox in self._subjects.values())
        yield from self._topics.values()
        if self._arrivals is not None:
            yield from (listening.subject for listening in self._listening(self._arrivals))
