"""Reading and writing the messages of a stream under conditions, as the server checks them."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from covey.framework.cluster.store import MISSING, Unavailable
from covey.transports.jetstream_link import NO_HEADERS, ApiError, StoreLink, parsed

__all__ = [
    "FIRST_RETRY_S",
    "LAST_RETRY_S",
    "WRONG_LAST_SEQUENCE",
    "Last",
    "StreamRecords",
    "expecting",
    "is_deletion",
]

WRONG_LAST_SEQUENCE = 10071
"""Final: another write came first."""
_TRY_AGAIN = (10164, 10210)
"""Another write under the same condition, or too many batches, are being decided just now."""
FIRST_RETRY_S, LAST_RETRY_S = 0.002, 0.05
_SEQUENCE = re.compile(rb"\r\nNats-Sequence: (\d+)")
_DELETION = re.compile(rb"\r\n(?:KV-Operation: (?:DEL|PURGE)|Nats-Marker-Reason: )")


class Last(NamedTuple):
    """The last message on a subject."""

    revision: int
    """`MISSING` if there is none."""
    value: bytes | None
    """None if there is none, or it is a deletion."""


class StreamRecords:
    """The messages of one stream. What the server refuses comes as an `ApiError`."""

    def __init__(self, link: StoreLink, stream: str, write_timeout_s: float, read_timeout_s: float) -> None:
        self._link = link
        self._stream = stream
        self._write_timeout_s = write_timeout_s
        self._read_timeout_s = read_timeout_s
        self._batches = itertools.count(1)
        self._batch_turn = asyncio.Lock()
        self._fence_turns: dict[str, asyncio.Lock] = {}
        self.replicas = 1
        """How many servers keep the stream."""

    async def last(self, subject: str) -> Last:
        """From any server that has the stream: it may be an old one.

        Raises:
            Unavailable, PermissionDeniedError: as `StoreLink.request`.
        """
        reply = await self._link.request(
            f"$JS.API.DIRECT.GET.{self._stream}.{subject}", timeout_s=self._read_timeout_s
        )
        if reply.status == 404:
            return Last(MISSING, None)
        sequence = _SEQUENCE.search(reply.headers)
        if sequence is None:
            raise Unavailable(f"{self._link.where} does not read {subject}: {reply.headers[9:80]!r}")
        return Last(int(sequence[1]), None if is_deletion(reply.headers) else reply.data)

    async def write(self, subject: str, value: bytes, lines: bytes) -> int:
        """One message with these header lines; returns its sequence.

        Raises:
            ApiError: the server refuses it; nothing was written.
            Unavailable: it may have been written or not.
            PermissionDeniedError, PayloadTooLargeError: nothing was written.
        """
        headers = _block(lines)

        async def attempt(timeout_s: float) -> int:
            reply = await self._link.request(subject, value, headers, timeout_s=timeout_s)
            return int(parsed(reply)["seq"])

        return await self._until_decided(attempt)

    async def commit(self, messages: Sequence[tuple[str, bytes]], fence: str, lines: bytes) -> int:
        """All messages or none, if the header lines of the first allow it; returns the last sequence.

        Where several servers keep the stream they decide one write per fence at a time, and refuse the
        others for the time being: so these take turns here. The time for an answer begins with the turn.

        Raises: as `write`.
        """
        if self.replicas == 1:
            return await self._commit(messages, lines)
        async with self._fence_turns.setdefault(fence, asyncio.Lock()):
            return await self._commit(messages, lines)

    async def _commit(self, messages: Sequence[tuple[str, bytes]], lines: bytes) -> int:
        if len(messages) == 1:
            return await self.write(*messages[0], lines)
        # One batch at a time: the server lets nothing else into the stream while it commits one, which
        # takes it 3 to 20 ms on its disk, and leases are renewed there too.
        async with self._batch_turn:
            return await self._write_batch(messages, lines)

    async def _write_batch(self, messages: Sequence[tuple[str, bytes]], lines: bytes) -> int:
        async def attempt(timeout_s: float) -> int:
            batch = f"{self._link.token}-{next(self._batches)}".encode()
            sent = []
            for number, (subject, value) in enumerate(messages, 1):
                own = (
                    lines if number == 1 else b"Nats-Batch-Commit: 1\r\n" if number == len(messages) else b""
                )
                headers = _block(b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n%b" % (batch, number, own))
                self._link.check_size(subject, headers, value)
                sent.append((subject, value, headers))
            # All at once: the answer to the first says only that a batch has begun.
            begun = self._link.ask(*sent[0], timeout_s)
            for message in sent[1:-1]:
                self._link.publish(*message)
            beginning, commit = await asyncio.gather(begun, self._link.ask(*sent[-1], timeout_s))
            if beginning.data:
                parsed(beginning)  # refused
            return int(parsed(commit)["seq"])

        return await self._until_decided(attempt)

    async def _until_decided(self, attempt: Callable[[float], Awaitable[int]]) -> int:
        loop = asyncio.get_running_loop()
        end, wait_s = loop.time() + self._write_timeout_s, FIRST_RETRY_S
        while True:
            try:
                return await attempt(max(0.0, end - loop.time()))
            except ApiError as error:
                if error.code not in _TRY_AGAIN or loop.time() + wait_s > end:
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LAST_RETRY_S)


def expecting(revision: int) -> bytes:
    """The header line that lets a write in only if its subject, or its fence, is at this revision."""
    return b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % revision


def is_deletion(headers: bytes) -> bool:
    """Whether a message with these headers says that there is no record any more."""
    return _DELETION.search(headers) is not None


def _block(lines: bytes) -> bytes:
    return b"NATS/1.0\r\n%b\r\n" % lines if lines else NO_HEADERS
