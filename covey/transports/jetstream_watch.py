"""The watch of a store: every record of a swarm, then every change, and an open word when it is blind.

It is an ephemeral push consumer that starts with the last message of each subject. It is lost with the server
that it lives on, and nobody says so: so it sends heartbeats, numbers what it delivers, and is made anew
whenever either has a gap. Each one has a subject of its own, so that nothing of an old one is
taken for the new one's, and the server forgets the old one when nobody listens to it any more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from functools import partial

from covey.framework.cluster.store import Record, Unavailable, Watcher
from covey.framework.errors import ConfigurationError, CoveyError
from covey.transports.jetstream_link import ApiError, StoreLink, parsed
from covey.transports.jetstream_records import is_deletion
from covey.transports.jetstream_stream import STREAM_NOT_FOUND, have_stream
from covey.transports.nats_arrivals import Listening
from covey.transports.subjects import cluster_pattern, parse_subject, stream_name

__all__ = ["StoreWatch"]

logger = logging.getLogger("covey.nats")

HEARTBEAT_S = 0.25
BLIND_BEATS = 3
"""After so many heartbeats without a sign of the consumer. They are counted one by one, each in a round of
the loop of its own: after a pause of this process what came meanwhile is read before anything is decided."""
OPEN_TIMEOUT_S = 1.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.02, 0.5
_FORGOTTEN_S = 2.0
"""The server drops a consumer to which nobody has listened for so long."""
_DELETIONS_KEPT = 1 << 14
_LAST_CONSUMER = re.compile(rb"\r\nNats-Last-Consumer: (\d+)")
_NANOSECONDS = 1_000_000_000


class StoreWatch:
    """One per store. Lives on the store's loop."""

    def __init__(self, link: StoreLink, swarm: str, watcher: Watcher) -> None:
        self.deleted: dict[str, int] = {}
        """The latest deletions that were seen, with their revisions."""
        self._link = link
        self._swarm = swarm
        self._stream, self._pattern = stream_name(swarm), cluster_pattern(swarm)
        self._watcher = watcher
        self._records: dict[str, int] = {}
        self._told: set[str] = set()
        """What was told since the watch was blind."""
        self._is_watching = False
        self._number = self._delivered = 0
        """Of this consumer, and of its last message."""
        self._subject = ""
        self._silent_beats = 0
        self._lost = asyncio.Event()
        self._last_trouble = ""

    async def open(self) -> None:
        """Make a consumer; the records come from now on.

        Raises:
            Unavailable: JetStream does not make one now.
            PermissionDeniedError: the server refuses a subject.
        """
        await self._link.listen_no_more(self._subject)
        self._lost.clear()
        self._number += 1
        self._delivered = self._silent_beats = 0
        self._subject = f"{self._link.inbox}.watch.{self._number}"
        name = f"{self._link.token}-{self._number}"
        config = {
            "name": name,
            "deliver_subject": self._subject,
            "filter_subject": self._pattern,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "idle_heartbeat": int(HEARTBEAT_S * _NANOSECONDS),
            "inactive_threshold": int(_FORGOTTEN_S * _NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        await self._link.listen(Listening(self._subject, "", partial(self._arrived, self._number)))
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}.{self._pattern}"
        data = json.dumps({"stream_name": self._stream, "config": config, "action": "create"}).encode()
        try:
            made = parsed(await self._link.request(subject, data, timeout_s=OPEN_TIMEOUT_S))
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:  # the server came back without what it had
                await have_stream(self._link, self._swarm, OPEN_TIMEOUT_S)
            raise Unavailable(f"no watch of the stream {self._stream}: {error}") from error
        if made.get("num_pending") == 0 and self._delivered == 0:
            self._complete()

    async def run(self) -> None:
        """Keep a consumer, until cancelled; after `open`."""
        while True:
            await self._until_blind()
            self._blind()
            await self._open_again()

    def link_lost(self) -> None:
        """The connection is gone: whatever happens now is not seen."""
        self._blind()
        self._lost.set()

    async def _until_blind(self) -> None:
        while self._silent_beats < BLIND_BEATS:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._lost.wait()
                return
            except TimeoutError:
                self._silent_beats += 1

    async def _open_again(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            await self._link.up.wait()
            try:
                await self.open()
            except CoveyError as error:
                if str(error) != self._last_trouble:
                    self._last_trouble = str(error)
                    logger.warning("the watch of swarm %s is blind: %s", self._swarm, error)
            else:
                self._last_trouble = ""
                return
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def _arrived(self, number: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if number != self._number:
            return
        self._silent_beats = 0
        if headers.startswith(b"NATS/1.0 100"):
            self._beat(headers)
            return
        tokens = reply.split(b".")
        # $JS.ACK.[domain.account.]stream.consumer.times.stream_seq.consumer_seq.time.pending[.token]
        first = 5 if len(tokens) == 9 else 7
        if len(tokens) < 9:  # a word of the server: this consumer is gone
            self._lost.set()
            return
        revision, delivered, pending = int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 3])
        if delivered != self._delivered + 1:
            self._lost.set()
            return
        self._delivered = delivered
        self._tell(subject, data, headers, revision)
        if pending == 0:
            self._complete()

    def _beat(self, headers: bytes) -> None:
        last = _LAST_CONSUMER.search(headers)
        if last is None or int(last[1]) != self._delivered:
            self._lost.set()
        else:
            self._complete()  # it has nothing more to deliver

    def _tell(self, subject: bytes, data: bytes, headers: bytes, revision: int) -> None:
        try:
            key = parse_subject(subject.decode()).name
        except (ConfigurationError, UnicodeDecodeError) as error:
            logger.warning("swarm %s: something that is no record was written: %s", self._swarm, error)
            return
        if not self._is_watching:
            self._told.add(key)
        if is_deletion(headers):
            self._records.pop(key, None)
            self.deleted[key] = revision
            if len(self.deleted) > _DELETIONS_KEPT:
                del self.deleted[next(iter(self.deleted))]
            self._watcher.on_deleted(key, revision)
        else:
            self.deleted.pop(key, None)
            self._records[key] = revision
            self._watcher.on_record(Record(key, data, revision))

    def _complete(self) -> None:
        """All that there is was told."""
        if self._is_watching or self._lost.is_set():
            return
        # Its deletion is not told again for ever: an hour later the server has forgotten it.
        for key in [key for key in self._records if key not in self._told]:
            self._watcher.on_deleted(key, self._records.pop(key))
        self._told.clear()
        self._is_watching = True
        self._watcher.on_watching(True)

    def _blind(self) -> None:
        self._number += 1  # what still comes of this consumer is not to be told: there may be a gap before it
        self._told.clear()
        if self._is_watching:
            self._is_watching = False
            self._watcher.on_watching(False)
