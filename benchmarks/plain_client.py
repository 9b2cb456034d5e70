"""A plain NATS client in a few lines: CONNECT, SUB, PUB and MSG, as any language could write it.

It stands for the clients that Covey knows nothing of. nats-py has a reader and a flusher task for each
connection, which for thousands of them in one process would measure nats-py.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from urllib.parse import urlsplit

__all__ = ["PlainClient"]

HELLO = (
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"plain",'
    b'"version":"1","protocol":1,"name":"plain"}\r\n'
)


class PlainClient(asyncio.Protocol):
    """One connection, one subscription for all its answers. What the server refuses breaks all that waits."""

    def __init__(self, inbox: str) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = inbox.encode()
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._unread = b""
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def connect(cls, url: str, inbox: str) -> PlainClient:
        """A client whose subscription the server has; answers come to subjects below `inbox`."""
        server = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: cls(inbox), str(server.hostname), server.port or 4222
        )
        await client.ready
        return client

    async def request(self, subject: str, payload: bytes) -> bytes:
        """Publish, and return the payload of the answer.

        Raises:
            ConnectionError: nobody serves the subject, or the connection broke.
        """
        assert self._transport is not None
        reply = b"%s.%d" % (self._inbox, next(self._numbers))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = answer
        self._transport.write(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply, len(payload), payload))
        return await answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    # -- asyncio's protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(HELLO + b"SUB %s.* 1\r\nPING\r\n" % self._inbox)

    def connection_lost(self, error: Exception | None) -> None:
        self._break(error or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        data = self._unread + data
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            line, start = data[at:end], end + 2
            if line.startswith((b"MSG ", b"HMSG ")):
                words = line.split(b" ")
                size = int(words[-1])
                if len(data) < start + size + 2:
                    break
                self._answer(words, data[start : start + size])
                start += size + 2
            else:
                self._control(line)
            at = start
        self._unread = data[at:]

    def _answer(self, words: list[bytes], content: bytes) -> None:
        answer = self._waiting.pop(words[1])
        if words[0] == b"MSG":
            answer.set_result(content)
            return
        headers, payload = content[: int(words[-2])], content[int(words[-2]) :]
        if payload or b" 503" not in headers.split(b"\r\n", 1)[0]:
            answer.set_result(payload)
        else:
            answer.set_exception(ConnectionError(f"nobody answers what waits at {words[1].decode()}"))

    def _control(self, line: bytes) -> None:
        if line == b"PING":
            assert self._transport is not None
            self._transport.write(b"PONG\r\n")
        elif line == b"PONG" and not self.ready.done():
            self.ready.set_result(None)
        elif line.startswith(b"-ERR"):
            self._break(ConnectionError(line.decode()))

    def _break(self, error: Exception) -> None:
        broken: list[asyncio.Future[Any]] = [self.ready, *self._waiting.values()]
        for waiting in broken:
            if not waiting.done():
                waiting.set_exception(error)
        self._waiting.clear()
