"""The NATS transport: frames between nodes over a NATS server or cluster, core NATS only."""

from __future__ import annotations

import asyncio
from collections import deque

import nats.errors

from covey.framework.address import escape_token
from covey.framework.errors import CoveyError, PayloadTooLargeError, TransportError
from covey.framework.transport import Receiver
from covey.transports.nats_client import FrameClient
from covey.transports.nats_errors import connect_error, is_link_trouble, redacted, reported_error
from covey.transports.subjects import beacon_subject, node_subject

__all__ = ["NatsTransport"]

_BURST_FRAMES = 256
_SUBJECTS_KEPT = 4096
_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0


class NatsTransport:
    """Moves frames between nodes that are connected to one NATS server or cluster.

    One task owns the connection: it publishes what is queued, in order, and replaces a client that closed
    for good (expired credentials, say). While the link is down frames wait here. A frame that was handed
    to a connection that then breaks is lost; none is sent twice.

    Args:
        url: `nats://[user:password@]host[:port]`, or several joined by commas.
        connect_timeout_s: for each attempt to connect.
        pending_limit_bytes: how much may wait to be sent.
    """

    name = "nats"

    def __init__(
        self, url: str, *, connect_timeout_s: float = 3.0, pending_limit_bytes: int = 64 << 20
    ) -> None:
        self.max_frame_bytes = 0
        self._url = url
        self._connect_timeout_s = connect_timeout_s
        self._pending_limit_bytes = pending_limit_bytes
        self._swarm = self._node_id = self._beacon_subject = ""
        self._subjects: dict[str, str] = {}
        self._receiver: Receiver | None = None
        self._client: FrameClient | None = None
        self._owner: asyncio.Task[None] | None = None
        self._running = self._closed = self._ending = False
        self._outbound: deque[tuple[str, bytes]] = deque()
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
        self._beacon_subject = beacon_subject(swarm)
        self._subjects[node_id] = node_subject(swarm, node_id)
        self._swarm, self._node_id, self._receiver = swarm, node_id, receiver
        self._client = await self._open_client(receiver)
        self._all_published.set()
        self._link.set()
        self._owner = asyncio.create_task(self._own_client(receiver), name=f"covey-nats-{node_id}")
        self._running = True

    def send(self, node_id: str, frame: bytes) -> None:
        """See `Transport.send`."""
        self._queue(self._subject(node_id), frame)

    def broadcast(self, beacon: bytes) -> None:
        """See `Transport.broadcast`."""
        self._queue(self._beacon_subject, beacon)

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
        frames = sum(subject != self._beacon_subject for subject, _ in self._outbound)
        held_bytes = self._client.unsent_bytes
        if frames or held_bytes:
            held = f"{frames} frames and {held_bytes} bytes on their way to the socket"
            self._receiver.on_problem(TransportError(f"{held} are lost as the node leaves: {error}"))

    def _subject(self, node_id: str) -> str:
        subject = self._subjects.get(node_id)
        if subject is None:
            self._check_running()
            if len(self._subjects) >= _SUBJECTS_KEPT:
                self._subjects = {self._node_id: self._subjects[self._node_id]}
            subject = self._subjects[node_id] = node_subject(self._swarm, node_id)
        return subject

    def _queue(self, subject: str, frame: bytes) -> None:
        size = len(frame)
        if not self._running:
            self._check_running()
        if size > self.max_frame_bytes:
            raise PayloadTooLargeError("a frame", size, self.max_frame_bytes)
        if self._pending_bytes + size > self._pending_limit_bytes:
            raise TransportError(
                f"{self._pending_bytes} bytes wait to be sent to {redacted(self._url)} already"
                f"{' (' + self._trouble + ')' if self._trouble else ''}: "
                "send less, or raise NatsTransport(pending_limit_bytes=...)"
            )
        self._outbound.append((subject, frame))
        self._pending_bytes += size
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
                f"({self._trouble or 'it does not answer'}; {len(self._outbound)} frames wait here): "
                "see whether the server is up"
            ) from error

    async def _own_client(self, receiver: Receiver) -> None:
        while not self._ending:
            await self._wake.wait()
            self._wake.clear()
            assert self._client is not None
            if self._client.is_closed:
                self._client = await self._replacement(receiver)
                self._link_changed(True)
            await self._publish_queued(self._client, receiver)

    async def _publish_queued(self, client: FrameClient, receiver: Receiver) -> None:
        # Taken from the queue before it is published, so that no break of the link sends a frame twice.
        while self._outbound:
            for _ in range(min(len(self._outbound), _BURST_FRAMES)):
                if self._ending or not client.is_connected:
                    return  # a reconnect wakes us
                subject, frame = self._outbound.popleft()
                self._pending_bytes -= len(frame)
                try:
                    await client.publish(subject, frame)
                except (OSError, nats.errors.Error) as error:
                    receiver.on_problem(self._reported(error))
            await asyncio.sleep(0)  # let the client write, and others run
        self._all_published.set()

    async def _open_client(self, receiver: Receiver) -> FrameClient:
        self._refusal = None
        client = FrameClient(self._error, self._link_changed, self._wake.set)
        prefix = f"_INBOX_{escape_token(self._node_id)}"
        timeout_s = self._connect_timeout_s
        await client.open(self._url, name=self._node_id, inbox_prefix=prefix, timeout_s=timeout_s)
        try:
            await client.deliver(self._subjects[self._node_id], receiver.on_frame)
            await client.deliver(self._beacon_subject, receiver.on_beacon)
            await client.confirm(timeout_s)
            if self._refusal is not None:
                raise TransportError(str(self._refusal)) from self._refusal
        except BaseException as problem:
            await client.end(timeout_s)
            if isinstance(problem, OSError | nats.errors.Error) and not isinstance(problem, TransportError):
                raise connect_error(self._url, [problem], timeout_s) from problem
            raise
        self.max_frame_bytes = client.max_payload
        return client

    async def _replacement(self, receiver: Receiver) -> FrameClient:
        """A new client in place of one that closed for good; tries until it has one or is cancelled."""
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                return await self._open_client(receiver)
            except TransportError as error:
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
            self._refusal = error  # while a client opens: _open_client raises it
        elif self._link.is_set():
            assert self._receiver is not None
            self._receiver.on_problem(error)
        else:
            self._tell_once(error)

    def _tell_once(self, error: CoveyError) -> None:
        """Report what keeps the link down, but not again at every attempt."""
        if str(error) != self._trouble and self._receiver is not None:
            self._trouble = str(error)
            self._receiver.on_problem(error)

    def _reported(self, problem: Exception) -> CoveyError:
        return reported_error(self._url, problem, [self._beacon_subject, *self._subjects.values()])
