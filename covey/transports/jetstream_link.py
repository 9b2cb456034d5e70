"""The connection of a store: requests to a NATS server, hundreds at once, over one subscription."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import nats.errors

from covey.framework.cluster.store import Unavailable
from covey.framework.errors import CoveyError, PayloadTooLargeError, PermissionDeniedError, TransportError
from covey.transports.jetstream_client import RequestClient
from covey.transports.nats_arrivals import Listening, inbox_prefix
from covey.transports.nats_errors import is_link_trouble, redacted, reported_error
from covey.transports.nats_login import NatsLogin

__all__ = ["ApiError", "NoResponders", "Reply", "StoreLink", "parsed"]

logger = logging.getLogger("covey.nats")

NO_HEADERS = b"NATS/1.0\r\n\r\n"
_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0
_UNSENT_LIMIT_BYTES = 8 << 20


class NoResponders(Unavailable):
    """The server says that nobody listens: there is no such stream, no leader of it, or no JetStream."""


class ApiError(Exception):
    """JetStream refuses a request. Does not leave `transports`."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} (JetStream error {code})")
        self.code = code


class Reply(NamedTuple):
    """What came back."""

    status: int
    """Of a message of the server itself, as 404; 0 of any other."""
    headers: bytes
    data: bytes


class _Waiting(NamedTuple):
    subject: str
    future: asyncio.Future[Reply]
    timer: asyncio.TimerHandle


class StoreLink:
    """One connection, replaced when it closes for good. All on one loop.

    Args:
        on_link: the connection was lost, or is back (then every subscription is the caller's to make anew).
    """

    def __init__(
        self,
        url: str,
        *,
        login: NatsLogin,
        node_id: str,
        connect_timeout_s: float,
        on_link: Callable[[bool], None],
    ) -> None:
        # Its own: another life of the node of this name has other requests under way.
        self.token = secrets.token_hex(6)
        self.inbox = f"{inbox_prefix(node_id)}.store.{self.token}"
        self.up = asyncio.Event()
        self._url, self._login, self._node_id = url, login, node_id
        self._connect_timeout_s = connect_timeout_s
        self._on_link = on_link
        self._client: RequestClient | None = None
        self._waiting: dict[bytes, _Waiting] = {}
        """By the subject of the answer."""
        self._numbers = itertools.count(1)
        self._refusal: CoveyError | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._ending = False
        self._told = ""

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: no server took us.
            PermissionDeniedError: it does not let us listen to our inbox.
        """
        self._refusal = None
        client = self._client = RequestClient(self._error, self._link_changed, self._closed_by_itself)
        timeout_s = self._connect_timeout_s
        try:
            await client.open(
                self._url,
                name=f"{self._node_id} (cluster)",
                inbox_prefix=inbox_prefix(self._node_id),
                timeout_s=timeout_s,
                login=self._login,
            )
            await client.listen(Listening(f"{self.inbox}.reply.*", "", self._answered))
            await client.confirm(timeout_s)
        except (TransportError, OSError, nats.errors.Error) as error:
            await client.end(timeout_s)
            raise Unavailable(str(error) or f"{redacted(self._url)} does not answer") from error
        except BaseException:
            await client.end(timeout_s)
            raise
        if self._refusal is not None:
            await client.end(timeout_s)
            raise self._refusal
        if client.is_connected:  # else it breaks just now, and `_link_changed` will say that it is back
            self.up.set()

    @property
    def info(self) -> dict[str, Any]:
        """What the server has said of itself."""
        return {} if self._client is None else self._client.server_info

    @property
    def where(self) -> str:
        """The server, without a password."""
        return redacted(self._url)

    async def request(
        self, subject: str, data: bytes = b"", headers: bytes = NO_HEADERS, *, timeout_s: float
    ) -> Reply:
        """Ask, and wait for the answer.

        Raises:
            NoResponders: nobody listens to this subject.
            Unavailable: there was no answer within the time, or the connection was lost.
            PermissionDeniedError: the server refuses the subject.
            PayloadTooLargeError: it takes nothing so large; nothing was sent.
        """
        reply = await self.ask(subject, data, headers, timeout_s)
        if reply.status == 503:
            raise NoResponders(
                f"nobody answers for {subject} on {self.where}: see whether its stream has a leader"
            )
        return reply

    def ask(self, subject: str, data: bytes, headers: bytes, timeout_s: float) -> asyncio.Future[Reply]:
        """As `request`, for several at once in this order; without its look at the status."""
        inbox = f"{self.inbox}.reply.{next(self._numbers)}"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self.publish(subject, data, headers, inbox)
        key = inbox.encode()
        timer = loop.call_later(timeout_s, self._expire, key)
        self._waiting[key] = _Waiting(subject, future, timer)
        return future

    def publish(self, subject: str, data: bytes, headers: bytes, reply: str = "") -> None:
        """Send without waiting; errors as `request`, as far as they are known at once."""
        client = self._client
        if client is None or not self.up.is_set() or not client.is_connected:
            raise Unavailable(f"there is no connection to {self.where} now: try again")
        self.check_size(subject, headers, data)
        if client.unsent_bytes > _UNSENT_LIMIT_BYTES:
            raise Unavailable(f"{client.unsent_bytes} bytes wait to be sent to {self.where} already")
        client.write_soon(subject, reply, headers, data)

    def check_size(self, subject: str, headers: bytes, data: bytes) -> None:
        """Raise PayloadTooLargeError for what the server would not take, and cut us off for."""
        size, limit = len(headers) + len(data), 0 if self._client is None else self._client.max_payload
        if size > limit > 0:
            raise PayloadTooLargeError(f"a record at {subject}", size, limit)

    async def listen(self, listening: Listening) -> None:
        """Subscribe, until the connection is lost or replaced at least.

        Raises:
            Unavailable: there is no connection.
        """
        client = self._client
        try:
            if client is not None and self.up.is_set():
                await client.listen(listening)
                return
        except (OSError, nats.errors.Error) as error:
            raise Unavailable(f"cannot subscribe on {self.where}: {error}") from error
        raise Unavailable(f"there is no connection to {self.where} now: try again")

    async def listen_no_more(self, subject: str) -> None:
        """Unsubscribe; nothing happens if that was not subscribed. Never raises."""
        if self._client is not None:
            with suppress(OSError, nats.errors.Error):
                await self._client.listen_no_more(subject, "")

    async def close(self, timeout_s: float) -> None:
        """Idempotent; never raises."""
        self._ending = True
        self.up.clear()
        if self._client is not None:
            self._client.mute()
        self._fail_waiting("the store was closed")
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait([self._replacing], timeout=timeout_s / 2)
        if self._client is not None:
            await self._client.end(timeout_s / 2)

    def _answered(self, subject: bytes, _reply: bytes, data: bytes, headers: bytes) -> None:
        waiting = self._waiting.pop(subject, None)
        if waiting is not None:  # else it came too late
            waiting.timer.cancel()
            if not waiting.future.done():
                waiting.future.set_result(Reply(_status(headers), headers, data))

    def _expire(self, key: bytes) -> None:
        waiting = self._waiting.pop(key)
        _fail(waiting, Unavailable(f"no answer from {self.where} for {waiting.subject} in time"))

    def _fail_waiting(self, why: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.timer.cancel()
            _fail(each, Unavailable(f"no answer from {self.where} for {each.subject}: {why}"))

    def _link_changed(self, up: bool) -> None:
        if self._ending or up == self.up.is_set():
            return
        if up:
            self._told = ""
            self.up.set()
        else:
            self.up.clear()
            self._fail_waiting("the connection was lost")
        self._on_link(up)

    def _error(self, problem: Exception) -> None:
        if is_link_trouble(problem):
            return
        subjects = [self.inbox + ".reply.*", *(waiting.subject for waiting in self._waiting.values())]
        error = reported_error(self._url, problem, subjects)
        if isinstance(error, PermissionDeniedError):
            refused = [key for key, waiting in self._waiting.items() if waiting.subject == error.subject]
            for key in refused:
                waiting = self._waiting.pop(key)
                waiting.timer.cancel()
                _fail(waiting, error)
            if refused:
                return
        if not self.up.is_set() and self._client is not None and self._client.is_connected:
            self._refusal = self._refusal or error  # while it opens
        self._tell_once(error)

    def _tell_once(self, error: CoveyError) -> None:
        if str(error) != self._told:
            self._told = str(error)
            logger.warning("node %s, its connection to the cluster's store: %s", self._node_id, error)

    def _closed_by_itself(self) -> None:
        self._link_changed(False)
        if not self._ending and (self._replacing is None or self._replacing.done()):
            self._replacing = asyncio.create_task(self._replace(), name=f"covey-store-{self._node_id}")

    async def _replace(self) -> None:
        """A new client in place of one that closed for good; tries until it has one or is cancelled."""
        retry_s = _FIRST_RETRY_S
        while not self._ending:  # nats-py swallows a cancel() while it waits for the socket
            try:
                await self.open()
            except CoveyError as error:
                self._tell_once(error)
            else:
                if not self._ending:
                    self._on_link(True)
                return
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _LAST_RETRY_S)


def parsed(reply: Reply) -> dict[str, Any]:
    """The answer of JetStream's API, or of a stream that took a message.

    Raises:
        ApiError: it refuses.
        Unavailable: it is no answer of JetStream.
    """
    if reply.status == 503:
        raise NoResponders("nobody answers: has the stream a leader?")
    try:
        answer = json.loads(reply.data)
        error = answer.get("error")
        if error is not None:
            raise ApiError(int(error.get("err_code", error.get("code", 0))), str(error.get("description")))
    except (ValueError, AttributeError) as error:
        raise Unavailable(f"{reply.data[:80]!r} is no answer of JetStream") from error
    return dict(answer)


def _status(headers: bytes) -> int:
    return int(headers[9:12]) if headers[9:12].isdigit() else 0


def _fail(waiting: _Waiting, error: CoveyError) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
