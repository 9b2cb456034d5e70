"""One connection to NATS: nats-py, set up as a node needs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from covey.transports.nats_arrivals import Listening
from covey.transports.nats_errors import connect_error, is_refusal, split_servers
from covey.transports.nats_login import NatsLogin
from covey.transports.tls_transport import TlsTransport

__all__ = ["FrameClient"]

logger = logging.getLogger("covey.nats")

_RECONNECT_WAIT_S, _LATER_RECONNECT_WAIT_S = 0.02, 0.08
_ATTEMPTS_IN_A_HURRY = 250
"""About five seconds of them: trying every 20 ms costs 3 % of a core."""
_PING_INTERVAL_S = 1
_SUBSCRIPTION_LIMIT_FRAMES = 1 << 20
_SUBSCRIPTION_LIMIT_BYTES = 256 << 20
_WRITE_BUFFER_BYTES = 1 << 20
"""With this much between us and the socket, what comes waits in the node, where it is counted."""


class FrameClient(Client):  # type: ignore[misc] # nats-py is untyped
    """A nats-py client that writes straight to the socket, and delivers straight from its parser.

    nats-py alone queues every message for a task per subscription, which costs more than parsing it, and
    every publication for a task that writes: two rounds of the loop later, which is felt in every ask.
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
        self._listening: dict[int, Listening] = {}
        """By the id of the subscription."""
        self._muted = False
        self._attempts = 0
        """To connect again, that failed."""
        self._corked: list[bytes] | None = None
        """What waits for the end of this round of the loop; None when nothing has been written in it."""
        self._corked_bytes = 0
        self._refusals: list[Exception] = []
        self._servers = 0
        self._opening = self._open = False
        self._login = NatsLogin()

    async def open(
        self, url: str, *, name: str, inbox_prefix: str, timeout_s: float, login: NatsLogin | None = None
    ) -> None:
        """Connect to the first server of a comma-separated list that takes us.

        Raises:
            TransportError: none did within the time.
            ConfigurationError: a file of the login is not what it should be.
        """
        servers, self._login = split_servers(url), login or self._login
        login_options = self._login.connect_options()
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
                    **login_options,
                )
        except BaseException as problem:
            await self.end(timeout_s)
            if isinstance(problem, Exception):
                raise connect_error(url, [*self._refusals, problem], timeout_s) from problem
            raise
        self._open, self._opening = True, False

    async def listen(self, listening: Listening) -> None:
        """Subscribe, and deliver in order. Idempotent."""
        if self._number_of(listening.subject, listening.queue) is not None:
            return

        async def queued(message: Msg) -> None:
            reply = message.reply.encode()
            listening.deliver(message.subject.encode(), reply, message.data, _as_bytes(message.headers))

        # Known before the server can answer. `queued` serves only if a later nats-py no longer calls
        # `_process_msg`: slower, but as right.
        number = self._sid + 1
        self._listening[number] = listening
        try:
            await self.subscribe(
                listening.subject,
                queue=listening.queue,
                cb=queued,
                pending_msgs_limit=_SUBSCRIPTION_LIMIT_FRAMES,
                pending_bytes_limit=_SUBSCRIPTION_LIMIT_BYTES,
            )
        except BaseException:
            self._listening.pop(number, None)
            raise

    async def listen_no_more(self, subject: str, queue: str) -> None:
        """Unsubscribe what `listen` subscribed."""
        number = self._number_of(subject, queue)
        if number is not None:
            del self._listening[number]
            await self._subs[number].unsubscribe()

    def _number_of(self, subject: str, queue: str) -> int | None:
        known = self._listening.items()
        return next((number for number, it in known if (it.subject, it.queue) == (subject, queue)), None)

    def publish_now(self, subject: str, data: bytes, reply: str = "") -> bool:
        """Write to the socket at once; False when that is not possible now, or too much waits there.

        The first in a round of the loop goes at once, for it may be an ask; what follows goes together.
        """
        if self._status != Client.CONNECTED or self._pending:
            return False
        if self._corked is None:
            writer = getattr(self._transport, "_io_writer", None)  # a WebSocket has none
            if writer is None or writer.transport.get_write_buffer_size() > _WRITE_BUFFER_BYTES:
                return False
            writer.write(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(data), data))
            self._corked, self._corked_bytes = [], 0
            asyncio.get_running_loop().call_soon(self._uncork)
            return True
        if self._corked_bytes > _WRITE_BUFFER_BYTES:
            return False
        self._corked.append(b"PUB %b %b %d\r\n" % (subject.encode(), reply.encode(), len(data)))
        self._corked += (data, b"\r\n")
        self._corked_bytes += len(data)
        return True

    def _uncork(self) -> None:
        corked, self._corked, self._corked_bytes = self._corked, None, 0
        writer = getattr(self._transport, "_io_writer", None)
        # What was written to a connection that broke meanwhile is lost, as what is on its way there.
        if corked and writer is not None and self._status == Client.CONNECTED:
            writer.write(b"".join(corked))

    async def publish_in_turn(
        self, subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish, and wait while too much waits at the socket.

        Raises:
            nats.errors.Error or OSError: nats-py refuses it.
        """
        if headers or not self.publish_now(subject, data, reply):
            self._uncork()  # it left before, and nats-py may write at any moment
            await self.publish(subject, data, reply, headers=dict(headers) if headers else None)
            writer = getattr(self._transport, "_io_writer", None)
            if writer is not None and writer.transport.get_write_buffer_size() > _WRITE_BUFFER_BYTES:
                await writer.drain()

    def mute(self) -> None:
        """Deliver nothing more."""
        self._muted = True

    async def confirm(self, timeout_s: float) -> None:
        """Wait until the server has all that was published and subscribed.

        Raises:
            nats.errors.Error, OSError or TimeoutError: it has not, within the time.
        """
        self._uncork()
        async with asyncio.timeout(timeout_s):
            # nats-py writes its PING ahead of what it still holds back: only the second comes after that.
            await self.flush(timeout_s)
            await self.flush(timeout_s)

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server has said of itself."""
        return dict(self._server_info)

    def socket_info(self, name: str) -> Any:
        """What asyncio knows of the socket, as `peername` or `ssl_object`; None over a WebSocket."""
        writer = getattr(self._transport, "_io_writer", None)
        return None if writer is None else writer.get_extra_info(name)

    @property
    def unsent_bytes(self) -> int:
        """Published, and not written to the socket yet."""
        writer = getattr(self._transport, "_io_writer", None)
        buffered = 0 if writer is None else writer.transport.get_write_buffer_size()
        return int(self._pending_data_size) + int(buffered) + self._corked_bytes

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

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self._pings_outstanding = 0  # the server is there: its PONG may only wait behind much else
        listening = self._listening.get(sid)
        if listening is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        elif not self._muted:
            try:
                listening.deliver(subject, reply, data, headers or b"")  # nats-py gives None for none
            except Exception:  # one message must not end nats-py's reading for ever
                logger.exception("internal error with a message on %r", subject)

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            # Who waited for it has given up: nats-py would fail at that, and read nothing any more.
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _connect_to_server(self, s: Any) -> None:
        if not (self._open or self._opening):
            raise asyncio.CancelledError  # we were closed while nats-py tried, and it did not notice
        if s.uri.scheme not in ("ws", "wss"):
            self._transport = TlsTransport()
        await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info(info, initial_connection)
        if initial_connection:
            self._login.settle_tls(info, self._current_server.uri.scheme)

    async def _report(self, problem: Exception) -> None:
        if self._open and not self.is_connected and is_refusal(problem):
            # Whoever replaces us reads the login's files again, which may have been renewed.
            self._status = Client.CLOSED
            self._abort()
            await self._closed_by_itself()
            raise asyncio.CancelledError  # out of nats-py's loop, which would try for ever
        if self._open:
            if not self.is_connected:
                self._attempts += 1
                if self._attempts > _ATTEMPTS_IN_A_HURRY:
                    self.options["reconnect_time_wait"] = _LATER_RECONNECT_WAIT_S
            self._on_error(problem)
        elif self._opening:
            self._refusals.append(problem)
            if len(self._refusals) >= self._servers:
                raise problem  # out of connect(), which would try again for ever

    async def _disconnected(self) -> None:
        if self._open:
            self._on_link(False)

    async def _reconnected(self) -> None:
        self._attempts = 0
        self.options["reconnect_time_wait"] = _RECONNECT_WAIT_S
        if self._open:
            self._on_link(True)

    async def _closed_by_itself(self) -> None:
        if self._open:
            self._open = False
            self._on_closed()


def _as_bytes(headers: Mapping[str, str] | None) -> bytes:
    """Only whether the server says "no responders" counts."""
    return b"NATS/1.0 503" if headers and headers.get("Status") == "503" else b""
