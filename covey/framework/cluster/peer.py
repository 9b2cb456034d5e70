"""One other node as this one sees it: what waits to be sent to it, and the credits in both directions.

Envelopes leave packed in frames at the end of the loop turn that made them. Bytes in flight (sent, and not
yet taken into a mailbox over there) are bounded by `WINDOW_BYTES`, bytes that wait for that by
`OUTBOUND_BYTES`. Answers, cancellations and errors are exempt: they free what others wait for.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from covey.framework.errors import CoveyError, TransportError
from covey.framework.proto.envelope_pb2 import Frame

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.reply import Reply

__all__ = ["OUTBOUND_BYTES", "WINDOW_BYTES", "Outgoing", "Peer"]

WINDOW_BYTES = 4 * 1024 * 1024
OUTBOUND_BYTES = 8 * 1024 * 1024
FRAME_ENVELOPES = 512
FRAME_BYTES = 256 * 1024
FRAME_OVERHEAD_BYTES = 512


class Outgoing(NamedTuple):
    """An envelope in bytes, and what is needed if it cannot be sent."""

    data: bytes
    type_name: str
    address: Address
    node_name: str
    """The node that the agent is bound to; empty for a placed one, which may be sent elsewhere."""
    reply: Reply[object] | None
    refuse: Callable[[str, CoveyError], None]


class Peer:
    """Queues and counters towards one node; `offer` from any thread, the rest on the loop thread."""

    def __init__(
        self, name: str, schedule: Callable[[Peer], None], schema_of: Callable[[str], bytes | None]
    ) -> None:
        self.name = name
        self.waiters: deque[Callable[[], None]] = deque()
        self.armed = False
        """Whether a flush is due; set by whoever schedules it, cleared by the flush."""
        self.epoch = _new_epoch()
        """Names this end of the link until it is abandoned: counters are only compared within an epoch."""
        self.peer_epoch = 0
        self.gaps = 0
        """Frames of this peer that were lost on the way."""
        self.foreign: dict[str, tuple[str, ...]] = {}
        """Differences between this peer's message types and ours, where it told."""
        self._schedule = schedule
        self._schema_of = schema_of
        self._lock = threading.Lock()
        self._outbound: deque[Outgoing] = deque()
        self._outbound_bytes = 0
        self._urgent: deque[bytes] = deque()
        self._told_types: set[str] = set()
        self._reset_sending()
        self._reset_receiving()

    def _reset_sending(self) -> None:
        self._sequence = 0
        self._sent_bytes = 0
        self._credited_bytes = 0
        self._stalled_at = -1
        self._told_types.clear()

    def _reset_receiving(self) -> None:
        self._seen_sequence = 0
        self._seen_bytes = 0
        self._taken_bytes = 0
        self._reported_bytes = 0
        self.foreign.clear()

    # -- from any thread ---------------------------------------------------------------------------

    def offer(self, item: Outgoing) -> bool:
        """Queue an envelope; False when too much waits already."""
        size = len(item.data)
        with self._lock:
            if self._outbound and self._outbound_bytes + size > OUTBOUND_BYTES:
                return False
            self._outbound.append(item)
            self._outbound_bytes += size
        if not self.armed:
            self._schedule(self)
        return True

    def refuse(self, item: Outgoing, error: CoveyError) -> None:
        """An envelope that found no room and is not offered again."""
        item.refuse("mailbox full", error)

    def full_error(self) -> CoveyError:
        return TransportError(
            f"{OUTBOUND_BYTES} bytes wait to be sent to node {self.name}, which takes them too slowly: "
            "await the tell, or slow the sender down"
        )

    def send_urgent(self, data: bytes) -> None:
        """Queue an answer or a cancellation, outside the credits; each answers something bounded."""
        self._urgent.append(data)
        if not self.armed:
            self._schedule(self)

    # -- sending -----------------------------------------------------------------------------------

    def frames(self, source: str, limit_bytes: int) -> list[bytes]:
        """All that may be sent now, as frames of at most `limit_bytes`."""
        self.armed = False
        frames = []
        limit = min(limit_bytes - FRAME_OVERHEAD_BYTES, FRAME_BYTES)
        while self._urgent or (self._outbound and self._sent_bytes - self._credited_bytes < WINDOW_BYTES):
            frame = self._frame(source)
            self._fill(frame, limit)
            frame.sent_bytes = self._sent_bytes
            frames.append(frame.SerializeToString())
        if self._taken_bytes - self._reported_bytes >= WINDOW_BYTES // 4:
            frames.append(self._frame(source).SerializeToString())
        return frames

    def _fill(self, frame: Frame, limit_bytes: int) -> None:
        envelopes = frame.envelopes
        size = 0
        while self._urgent and len(envelopes) < FRAME_ENVELOPES:
            if size and size + len(self._urgent[0]) > limit_bytes:
                return
            data = self._urgent.popleft()
            size += len(data)
            envelopes.append(data)
        room = WINDOW_BYTES - (self._sent_bytes - self._credited_bytes)
        batch: list[bytes] = []
        taken = 0
        outbound = self._outbound
        while outbound and len(batch) < FRAME_ENVELOPES and taken < room:
            data = outbound[0].data
            if (size or taken) and size + taken + len(data) > limit_bytes:
                break
            item = outbound.popleft()
            if item.type_name not in self._told_types:
                self._tell_type(frame, item.type_name)
            batch.append(data)
            taken += len(data)
        envelopes.extend(batch)
        self._sent_bytes += size + taken
        with self._lock:
            self._outbound_bytes -= taken
        while self.waiters and self._outbound_bytes < OUTBOUND_BYTES // 2:
            self.waiters.popleft()()

    def _tell_type(self, frame: Frame, type_name: str) -> None:
        self._told_types.add(type_name)
        descriptor = self._schema_of(type_name)
        if descriptor is not None:
            frame.schemas.add(type=type_name, descriptor=descriptor)

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
        blocked = bool(self._outbound) and self._sent_bytes - self._credited_bytes >= WINDOW_BYTES
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
        if frame.epoch != self.peer_epoch:
            self._reset_receiving()
            self.peer_epoch = frame.epoch
            # What came before a node's first frame to us here is not lost: it was sent to an earlier us.
            self._seen_sequence = frame.sequence - 1
            self._seen_bytes = self._taken_bytes = frame.sent_bytes - sum(map(len, frame.envelopes))
        lost = max(0, frame.sequence - self._seen_sequence - 1)
        self._seen_sequence = max(self._seen_sequence, frame.sequence)
        self.gaps += lost
        # Bytes that were sent and never arrived are credited: nobody will ever take them.
        if lost or frame.probe:
            arrived = sum(map(len, frame.envelopes))
            self._taken_bytes += max(0, frame.sent_bytes - self._seen_bytes - arrived)
        self._seen_bytes = max(self._seen_bytes, frame.sent_bytes)
        if frame.target_epoch == self.epoch and frame.credited_bytes > self._credited_bytes:
            self._credited_bytes = min(frame.credited_bytes, self._sent_bytes)
            if self._outbound and not self.armed:
                self._schedule(self)
        if frame.probe:
            self._reported_bytes = -WINDOW_BYTES  # answer at the next flush, whatever the amount
            if not self.armed:
                self._schedule(self)
        return lost

    def took(self, size_bytes: int) -> None:
        """An envelope of this peer entered a mailbox, or became a dead letter."""
        self._taken_bytes += size_bytes
        if self._taken_bytes - self._reported_bytes >= WINDOW_BYTES // 4 and not self.armed:
            self._schedule(self)

    def abandon(self) -> list[Outgoing]:
        """The node is gone: what was not sent yet, for others to decide on."""
        with self._lock:
            left = list(self._outbound)
            self._outbound.clear()
            self._outbound_bytes = 0
        self._urgent.clear()
        self._reset_sending()
        self._reset_receiving()
        self.epoch = _new_epoch()
        self.peer_epoch = 0
        while self.waiters:
            self.waiters.popleft()()
        return left


def _new_epoch() -> int:
    return secrets.randbits(63) | 1
