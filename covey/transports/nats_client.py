"""One connection to NATS: nats-py, set up as a node needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from covey.transports.nats_errors import connect_error, split_servers

__all__ = ["FrameClient"]

Deliver = Callable[[bytes], None]

_RECONNECT_WAIT_S = 0.05
_PING_INTERVAL_S = 1
_SUBSCRIPTION_LIMIT_FRAMES = 1 << 20
_SUBSCRIPTION_LIMIT_BYTES = 256 << 20


class FrameClient(Client):  # type: ignore[misc] # nats-py is untyped
    """A nats-py client that hands payloads straight from its parser to callbacks on the loop thread.

    nats-py alone queues every message for a task per subscription, which costs more than parsing it.
    After `open` it reconnects by itself, until it is closed or a fatal `-ERR` closes it.

    Args:
        on_error: gets what nats-py reports while it is open.
        on_link: the link went down or is back.
        on_closed: it closed by itself and is of no more use.
    """

    def __init__(
        self,
        on_error: Callable[[Exception], None],
        on_link: Callable[[bool], None],
        on_closed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._on_error = on_error
        self._on_link = on_link
        self._on_closed = on_closed
        self._direct: dict[bytes, Deliver] = {}
        self._refusals: list[Exception] = []
        self._servers = 0
        self._opening = self._open = False

    async def open(self, url: str, *, name: str, inbox_prefix: str, timeout_s: float) -> None:
        """Connect to the first server of a comma-separated list that takes us.

        Raises:
            TransportError: none did within the time.
        """
        servers = split_servers(url)
        self._servers, self._opening = len(servers), True
        try:
            async with asyncio.timeout(timeout_s):
                await self.connect(
                    servers,
                    name=name,
                    inbox_prefix=inbox_prefix,
                    connect_timeout=timeout_s / len(servers),
                    flush_timeout=timeout_s,
                    error_cb=self._report,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    closed_cb=self._closed_by_itself,
                    reconnect_time_wait=_RECONNECT_WAIT_S,
                    max_reconnect_attempts=-1,
                    ping_interval=_PING_INTERVAL_S,
                    max_outstanding_pings=2,
                )
        except BaseException as problem:
            await self.end(timeout_s)
            if isinstance(problem, Exception):
                raise connect_error(url, [*self._refusals, problem], timeout_s) from problem
            raise
        self._open, self._opening = True, False

    async def deliver(self, subject: str, callback: Deliver) -> None:
        """Subscribe, and call back with each payload in order."""

        async def queued(message: Msg) -> None:
            self._direct[key](message.data)

        key = subject.encode()
        self._direct[key] = callback
        # `queued` serves only if a later nats-py no longer calls `_process_msg`: slower, but as right.
        await self.subscribe(
            subject,
            cb=queued,
            pending_msgs_limit=_SUBSCRIPTION_LIMIT_FRAMES,
            pending_bytes_limit=_SUBSCRIPTION_LIMIT_BYTES,
        )

    def mute(self) -> None:
        """Deliver nothing more."""
        self._direct = dict.fromkeys(self._direct, lambda _: None)

    async def confirm(self, timeout_s: float) -> None:
        """Wait until the server has all that was published and subscribed.

        Raises:
            nats.errors.Error, OSError or TimeoutError: it has not, within the time.
        """
        async with asyncio.timeout(timeout_s):
            # nats-py writes its PING ahead of what it still holds back: only the second comes after that.
            await self.flush(timeout_s)
            await self.flush(timeout_s)

    @property
    def unsent_bytes(self) -> int:
        """Published, and not written to the socket yet."""
        return int(self._pending_data_size)

    async def end(self, timeout_s: float) -> None:
        """Close within the time, also while the server is gone or does not read. Never raises."""
        self._open = self._opening = False
        if not self.is_connected:
            # What is left would be written to a dead socket, where close() fails half-way.
            self._pending: list[bytes] = []
            self._pending_data_size = 0
        try:
            async with asyncio.timeout(timeout_s):
                await self.close()
        except (OSError, TimeoutError, nats.errors.Error):
            self._abort()

    def _abort(self) -> None:
        """Finish by force what close() could not: its tasks and the socket with what it still holds."""
        for subscription in self._subs.values():
            subscription._stop_processing()
        if self._transport is not None:
            self._transport.close()
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        deliver = self._direct.get(subject)
        if deliver is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            deliver(data)

    async def _report(self, problem: Exception) -> None:
        if self._open:
            self._on_error(problem)
        elif self._opening:
            self._refusals.append(problem)
            if len(self._refusals) >= self._servers:
                raise problem  # out of connect(), which would try again for ever

    async def _disconnected(self) -> None:
        if self._open:
            self._on_link(False)

    async def _reconnected(self) -> None:
        if self._open:
            self._on_link(True)

    async def _closed_by_itself(self) -> None:
        if self._open:
            self._open = False
            self._on_closed()
