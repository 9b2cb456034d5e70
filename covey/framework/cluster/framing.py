"""What goes to one other node, packed into frames at the end of a turn of the loop.

Bytes in flight (sent, and not yet taken into a mailbox over there) are bounded by a window, bytes that wait
for that by `OUTBOUND_BYTES`. Answers, cancellations and errors are exempt: they free what others wait for.
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from typing import TYPE_CHECKING

from covey.framework.cluster.chunks import ChunkedEnvelope
from covey.framework.cluster.frame_limits import FRAME_ENVELOPES, NEWS_IN_FRAME
from covey.framework.cluster.incoming import Incoming
from covey.framework.cluster.outbox import RUN_BYTES, Item, Outbox
from covey.framework.cluster.packing import Urgent
from covey.framework.cluster.sent_frames import Content, SentFrame, SentFrames
from covey.framework.errors import CoveyError
from covey.framework.proto.envelope_pb2 import Frame, Schema

if TYPE_CHECKING:
    from covey.framework.cluster.peer_owner import PeerOwner

__all__ = ["FRAME_OVERHEAD_BYTES", "WINDOW_BYTES", "Framing", "Packed"]

WINDOW_BYTES = 4 * 1024 * 1024
FRAME_BYTES = 256 * 1024
FLUSH_BYTES = 512 * 1024
FLUSH_FRAMES = 32
FRAME_OVERHEAD_BYTES = 2048
"""Room in a frame for its counters, and for as many lost frames as it may tell of."""
ENVELOPE_OVERHEAD_BYTES = 6
"""Of each envelope in a frame, and of each type that is told."""

_numbers = itertools.count(1)
"""Of all frames of this process: one that comes back must not be taken for one of a later link."""

Packed = tuple[bytes, int]
"""A frame in bytes, and its number for the transport."""


class Framing(Outbox):
    """An outbox that makes frames of what waits in it, and of what the other end is to be told."""

    def __init__(self, owner: PeerOwner, incoming: Incoming | None = None) -> None:
        super().__init__()
        self.run_bytes = min(RUN_BYTES, owner.max_frame_bytes // 2)
        self.silent = False
        """Whether nobody listens over there: nothing is sent until somebody does."""
        self.epoch = secrets.randbits(63) | 1
        """Names this end of the link: counters are only compared within an epoch."""
        self.incoming = incoming or Incoming()
        self._owner = owner
        self._urgent: deque[Urgent] = deque()
        self._told_types: set[str] = set()
        self._chunked: ChunkedEnvelope | None = None
        self._sent = SentFrames()
        self._sequence = self._number = self._sent_bytes = self._sent_messages = self._credited_bytes = 0
        self._before = (0, 0)

    @property
    def in_flight_bytes(self) -> int:
        """Sent and not yet taken over there, as far as this end knows."""
        return self._sent_bytes - self._credited_bytes

    @property
    def in_doubt(self) -> int:
        """Messages of which this end does not know whether they arrived."""
        return self._sent.messages

    @property
    def waiting(self) -> int:
        """Messages and answers that wait for credits or for the next flush."""
        return self.messages_waiting + len(self._urgent)

    def frames(self, limit_bytes: int) -> list[Packed]:
        """What may be sent now, as frames of at most `limit_bytes`; no more than the loop has time for."""
        self.armed = False
        if self.closed or self.silent:
            return []
        frames: list[Packed] = []
        window = self._owner.window_bytes
        largest = limit_bytes - FRAME_OVERHEAD_BYTES
        enough = self._sent_bytes + FLUSH_BYTES
        while self._may_answer(largest) or self.incoming.is_due or self._may_send(window):
            if self._sent_bytes >= enough or len(frames) >= FLUSH_FRAMES:
                self.wake()  # timers, beacons and what comes in are due in between
                break
            frames.append(self._next(largest, window))
        return frames

    def _may_answer(self, largest_bytes: int) -> bool:
        urgent = self._urgent
        return bool(urgent) and (self._chunked is None or len(urgent[0].data) <= largest_bytes)

    def _may_send(self, window: int) -> bool:
        return bool(self._chunked or self.items) and self.in_flight_bytes < window

    def _next(self, largest_bytes: int, window: int) -> Packed:
        """One more frame, as full as it may be."""
        frame = self._frame()
        news, size = self._tell_news(frame, largest_bytes // 2)
        batch: list[bytes] = []
        urgent: list[Urgent] = []
        items: list[Item] = []
        waiting = self._urgent
        while waiting and len(batch) < FRAME_ENVELOPES:
            data, type_name = waiting[0]
            if len(data) > largest_bytes:
                if self._chunked is not None:
                    break  # one at a time
                large = waiting.popleft()
                self._chunked = ChunkedEnvelope(large, large.data)
                continue
            told_bytes = self._make_way(frame, type_name, size, len(data), largest_bytes)
            if told_bytes is None:
                break
            urgent.append(waiting.popleft())
            size += told_bytes + len(data) + ENVELOPE_OVERHEAD_BYTES
            batch.append(data)
        if self._chunked is not None:
            if not batch and self.in_flight_bytes < window:
                return self._next_chunk(frame, self._chunked, largest_bytes - size, largest_bytes, news)
        elif not waiting:
            self._take_items(frame, items, batch, size, largest_bytes, window)
        frame.envelopes.extend(batch)
        self._sent_bytes += sum(map(len, batch))
        self._sent_messages += len(urgent) + sum(item.count for item in items)
        return self._sealed(frame, Content(tuple(items), tuple(urgent), news))

    def _take_items(
        self,
        frame: Frame,
        items: list[Item],
        batch: list[bytes],
        size: int,
        largest_bytes: int,
        window: int,
    ) -> None:
        room = window - self.in_flight_bytes
        while self.items and len(batch) < FRAME_ENVELOPES and size < room:
            item = self.items[0]
            if item.is_stale:  # it waited for credits until its time was up: it must not be started now
                self._owner.refuse(self.take(), "expired", CoveyError("its asker waits no longer"))
                continue
            most_bytes = item.size_bytes + len(item.header.data)
            if most_bytes > largest_bytes and len(item.pack()) > largest_bytes:
                if not batch:
                    item = self.take()
                    self._chunked = ChunkedEnvelope(item, item.pack())
                break
            told_bytes = self._make_way(frame, item.header.type_name, size, most_bytes, largest_bytes)
            if told_bytes is None:
                break
            item = self.take()
            data = item.pack()
            if size + told_bytes + len(data) > largest_bytes:  # tells have joined it since it was measured
                if batch:
                    self.put_back([item])
                else:
                    self._chunked = ChunkedEnvelope(item, data)
                break
            size += told_bytes + len(data) + ENVELOPE_OVERHEAD_BYTES
            items.append(item)
            batch.append(data)

    def _next_chunk(
        self,
        frame: Frame,
        chunked: ChunkedEnvelope,
        room_bytes: int,
        largest_bytes: int,
        news: tuple[tuple[str, bool], ...],
    ) -> Packed:
        schema = self._untold(chunked.type_name, min(room_bytes, largest_bytes) // 4)
        if schema is not None:
            frame.schemas.append(schema)
            room_bytes -= schema.ByteSize() + ENVELOPE_OVERHEAD_BYTES
        self._sent_bytes += chunked.fill(frame, max(1, room_bytes))
        if chunked.is_done:
            self._chunked = None
            self._sent_messages += chunked.count
        return self._sealed(frame, Content(news=news, chunked=chunked))

    def _make_way(
        self, frame: Frame, type_name: str, size: int, envelope_bytes: int, largest_bytes: int
    ) -> int | None:
        """Tell the type of an envelope ahead of it; returns what that takes, None if it does not fit here."""
        schema = None if type_name in self._told_types else self._untold(type_name, largest_bytes // 4)
        schema_bytes = 0 if schema is None else schema.ByteSize() + ENVELOPE_OVERHEAD_BYTES
        if size and size + schema_bytes + envelope_bytes > min(largest_bytes, FRAME_BYTES):
            if schema is not None:
                self._told_types.discard(type_name)
            return None
        if schema is None:
            return 0
        frame.schemas.append(schema)
        # An envelope that fills a frame follows in the next one.
        return schema_bytes if schema_bytes + envelope_bytes <= largest_bytes else None

    def _untold(self, type_name: str, limit_bytes: int) -> Schema | None:
        """The description of a type that the other end was not told yet: it is told now."""
        if not type_name or type_name in self._told_types:
            return None
        descriptor = self._owner.schema_of(type_name)
        if descriptor is None:
            return None  # and nothing to remember: clients make up as many types as they like
        self._told_types.add(type_name)
        # A larger one is not worth frames of its own: the other end reads what it can.
        return Schema(type=type_name, descriptor=descriptor) if len(descriptor) <= limit_bytes else None

    def _tell_news(self, frame: Frame, limit_bytes: int) -> tuple[tuple[tuple[str, bool], ...], int]:
        """Which addresses are paused or resumed, and how much room that takes."""
        waiting = self.incoming.news
        news: list[tuple[str, bool]] = []
        size = 0
        while waiting and len(news) < NEWS_IN_FRAME and (size < limit_bytes or not news):
            address = next(iter(waiting))
            is_paused = waiting.pop(address)
            (frame.paused if is_paused else frame.resumed).append(address)
            news.append((address, is_paused))
            size += len(address.encode()) + ENVELOPE_OVERHEAD_BYTES
        return tuple(news), size

    def _frame(self) -> Frame:
        self._sequence += 1
        self._number = next(_numbers)
        self._before = (self._sent_bytes, self._sent_messages)
        published_bytes = self._owner.published_bytes
        frame = Frame(epoch=self.epoch, sequence=self._sequence, published_bytes=published_bytes)
        self.incoming.stamp(frame)
        return frame

    def _sealed(self, frame: Frame, content: Content) -> Packed:
        """The frame in bytes; it is kept until the other end says that it came."""
        frame.sent_bytes, frame.sent_messages = self._sent_bytes, self._sent_messages
        self._sent.add(SentFrame(self._sequence, self._number, content, self._sent_bytes, *self._before))
        return frame.SerializeToString(), self._number

    def ping(self) -> Packed:
        """A frame that asks for an answer, also where nobody listens."""
        frame = self._frame()
        frame.probe = True
        return self._sealed(frame, Content())
