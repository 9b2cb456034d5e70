"""One other node as this one sees it: what waits to be sent to it, and the credits in both directions.

Envelopes leave packed in frames at the end of the loop turn that made them. Bytes in flight (sent, and not
yet taken into a mailbox over there) are bounded by `WINDOW_BYTES`, bytes that wait for that by
`OUTBOUND_BYTES`. Answers, cancellations and errors are exempt: they free what others wait for.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

from covey.framework.cluster.outbox import OUTBOUND_BYTES, Outbox
from covey.framework.cluster.packing import Outgoing
from covey.framework.cluster.peer_owner import PeerOwner
from covey.framework.errors import CoveyError, SchemaChangedError, TransportError
from covey.framework.proto.envelope_pb2 import Frame

__all__ = ["OUTBOUND_BYTES", "WINDOW_BYTES", "Peer"]

WINDOW_BYTES = 4 * 1024 * 1024
REPORT_BYTES = WINDOW_BYTES // 4
FRAME_ENVELOPES = 512
FRAME_BYTES = 256 * 1024
FRAME_OVERHEAD_BYTES = 512


class Peer:
    """Queues and counters towards one node; `offer` from any thread, the rest on the loop thread."""

    def __init__(self, name: str, owner: PeerOwner) -> None:
        self.name = name
        self.armed = False
        """Whether a flush is due; set by whoever schedules it, cleared by the flush."""
        self.epoch = secrets.randbits(63) | 1
        """Names this end of the link: counters are only compared within an epoch."""
        self.peer_epoch = 0
        self.gaps = 0
        """Frames of this peer that were lost on the way."""
        self.foreign: dict[str, SchemaChangedError] = {}
        """Message types that mean something else on this peer than here."""
        self._owner = owner
        self._outbox = Outbox()
        self.waiters = self._outbox.waiters
        self.admit = self._outbox.admit
        self._why_closed = ""
        self._urgent: deque[tuple[bytes, str]] = deque()
        self._told_types: set[str] = set()
        # Of what this end sends:
        self._sequence = self._sent_bytes = self._credited_bytes = 0
        self._stalled_at = -1
        # Of what it gets:
        self._seen_sequence = self._seen_bytes = self._taken_bytes = self._reported_bytes = 0

    # -- from any thread ---------------------------------------------------------------------------

    @property
    def is_waited_for(self) -> bool:
        """Whether senders wait for room: who comes now has to wait behind them."""
        return self._outbox.is_waited_for

    def enlist(self, item: Outgoing) -> None:
        """Queue an envelope in its place, however much waits."""
        self.offer(item, forced=True)

    def offer(self, item: Outgoing, *, forced: bool = False) -> bool:
        """Queue an envelope; False when too much waits already."""
        taken = self._outbox.put(item, forced=forced)
        if taken is None:
            self._owner.too_late(item, self.name, self._why_closed)
            return True
        if taken and not self.armed:
            self._owner.schedule_flush(self)
        return taken

    def wait_for_room(self, waiter: Callable[[], None]) -> None:
        """Call the waiter on the loop thread when there may be room, after those who wait already."""
        self._outbox.waiters.append(waiter)
        if self._outbox.closed:
            self._outbox.admit()
        elif self._outbox.has_room and not self.armed:
            self._owner.schedule_flush(self)  # room came between the sender's look and now

    def refuse(self, item: Outgoing, error: CoveyError) -> None:
        """An envelope that found no room and is not offered again."""
        self._owner.refuse(item, "mailbox full", error)

    def full_error(self) -> CoveyError:
        return TransportError(
            f"{OUTBOUND_BYTES} bytes wait to be sent to node {self.name}, which takes them too slowly: "
            "await the tell, or slow the sender down"
        )

    def send_urgent(self, data: bytes, type_name: str = "") -> None:
        """Queue an answer or a cancellation, outside the credits; each answers something bounded."""
        self._urgent.append((data, type_name))
        if not self.armed:
            self._owner.schedule_flush(self)

    # -- sending -----------------------------------------------------------------------------------

    @property
    def in_flight_bytes(self) -> int:
        """Sent and not yet taken over there, as far as this end knows."""
        return self._sent_bytes - self._credited_bytes

    @property
    def waiting(self) -> int:
        """Envelopes that wait for credits or for the next flush."""
        return len(self._outbox.items) + len(self._urgent)

    def frames(self, source: str, limit_bytes: int) -> list[bytes]:
        """All that may be sent now, as frames of at most `limit_bytes`."""
        self.armed = False
        if self._outbox.closed:
            return []
        outbound = self._outbox.items
        frames = []
        limit = min(limit_bytes - FRAME_OVERHEAD_BYTES, FRAME_BYTES)
        while self._urgent or (outbound and self.in_flight_bytes < WINDOW_BYTES):
            frame = self._frame(source)
            self._fill(frame, limit)
            frame.sent_bytes = self._sent_bytes
            frames.append(frame.SerializeToString())
        if self._taken_bytes - self._reported_bytes >= REPORT_BYTES:
            frames.append(self._frame(source).SerializeToString())
        return frames

    def _fill(self, frame: Frame, limit_bytes: int) -> None:
        batch: list[bytes] = []
        size = 0
        urgent = self._urgent
        while (
            urgent and len(batch) < FRAME_ENVELOPES and (not size or size + len(urgent[0][0]) <= limit_bytes)
        ):
            data, type_name = urgent.popleft()
            size += len(data)
            if type_name and type_name not in self._told_types:
                size += self._tell_type(frame, type_name)
            batch.append(data)
        room = WINDOW_BYTES - self.in_flight_bytes
        taken = dropped = 0
        outbound, told = self._outbox.items, self._told_types
        while outbound and not urgent and len(batch) < FRAME_ENVELOPES and taken < room:
            item = outbound[0]
            data = item.data
            if size and size + len(data) > limit_bytes:
                break
            outbound.popleft()
            if item.is_stale:  # it waited for credits until its time was up: it must not be started now
                self._owner.refuse(item, "expired", CoveyError("its asker waits no longer"))
                dropped += len(data)
                continue
            if item.header.type_name not in told:
                size += self._tell_type(frame, item.header.type_name)
            batch.append(data)
            size += len(data)
            taken += len(data)
        frame.envelopes.extend(batch)
        self._sent_bytes += sum(map(len, batch))
        self._outbox.took(taken + dropped)

    def _tell_type(self, frame: Frame, type_name: str) -> int:
        self._told_types.add(type_name)
        descriptor = self._owner.schema_of(type_name)
        if descriptor is None:
            return 0
        frame.schemas.add(type=type_name, descriptor=descriptor)
        return len(descriptor)

    def _frame(self, source: str) -> Frame:
        self._sequence += 1
        self._reported_bytes = self._taken_bytes
        return Frame(
            source=source,
            epoch=self.epoch,
            sequence=self._sequence,
            credited_bytes=self._taken_bytes,
            target_epoch=self.peer_epoch,
            sent_bytes=self._sent_bytes,
        )

    def probe(self, source: str) -> bytes | None:
        """A frame that asks for credits, when nothing has moved since the last call: they may be lost."""
        blocked = bool(self._outbox.items) and self.in_flight_bytes >= WINDOW_BYTES
        stalled = blocked and self._stalled_at == self._credited_bytes
        self._stalled_at = self._credited_bytes if blocked else -1
        if not stalled:
            return None
        frame = self._frame(source)
        frame.probe = True
        return frame.SerializeToString()

    # -- receiving ---------------------------------------------------------------------------------

    def received(self, frame: Frame) -> int:
        """Account for a frame that came in; returns how many frames before it were lost."""
        arrived = sum(map(len, frame.envelopes))
        if frame.epoch != self.peer_epoch:
            self._meet(frame, arrived)
        lost = max(0, frame.sequence - self._seen_sequence - 1)
        self._seen_sequence = max(self._seen_sequence, frame.sequence)
        self.gaps += lost
        # Bytes that were sent and never arrived are credited: nobody will ever take them.
        self._taken_bytes += max(0, frame.sent_bytes - self._seen_bytes - arrived)
        self._seen_bytes = max(self._seen_bytes, frame.sent_bytes)
        if frame.target_epoch == self.epoch and frame.credited_bytes > self._credited_bytes:
            self._credited_bytes = min(frame.credited_bytes, self._sent_bytes)
            if self._outbox.items and not self.armed:
                self._owner.schedule_flush(self)
        if frame.probe:
            self._reported_bytes = -WINDOW_BYTES  # answer at the next flush, whatever the amount
            if not self.armed:
                self._owner.schedule_flush(self)
        return lost

    def _meet(self, frame: Frame, arrived: int) -> None:
        """The first frame of the other end's epoch: what it sent before was for an earlier one of ours."""
        self.peer_epoch = frame.epoch
        self.foreign.clear()
        self._seen_sequence = frame.sequence - 1
        self._seen_bytes = self._taken_bytes = self._reported_bytes = max(0, frame.sent_bytes - arrived)
        self._told_types.clear()  # it may be a new process, which was never told

    def compare(self, type_name: str, descriptor: bytes) -> None:
        """The peer tells how it knows a type: remember where it would be read wrongly here."""
        found = self._owner.schema_differences(type_name, descriptor)
        if found:
            self.foreign[type_name] = SchemaChangedError(type_name, found)
        else:
            self.foreign.pop(type_name, None)

    def took(self, size_bytes: int) -> None:
        """Envelopes of this peer entered mailboxes, or became dead letters."""
        self._taken_bytes += size_bytes
        if (
            self._taken_bytes - self._reported_bytes >= REPORT_BYTES
            and not self.armed
            and not self._outbox.closed
        ):
            self._owner.schedule_flush(self)

    def abandon(self, why: str) -> list[Outgoing]:
        """The node is gone, for good: what was not sent yet, for others to decide on."""
        self._why_closed = why
        left = self._outbox.close()
        self._urgent.clear()
        self._outbox.admit()
        return left
