"""What comes from one other node: which frames, how much of it was taken, what was lost."""

from __future__ import annotations

from collections import deque
from itertools import islice

from covey.framework.cluster.chunks import ChunkReader
from covey.framework.cluster.frame_limits import LOST_IN_FRAME
from covey.framework.cluster.received_frames import ReceivedFrames
from covey.framework.errors import SchemaChangedError
from covey.framework.proto.envelope_pb2 import Frame, Range

__all__ = ["REPORT_BYTES", "Incoming"]

REPORT_BYTES = 512 * 1024
"""Credits are returned at once when there are so many of them, else with the next frame."""
EPOCHS_KEPT = 8
LOST_KEPT = 4096


class Incoming:
    """Counts what a peer sends, and stamps the frames that go back with it. Owned by the loop thread."""

    def __init__(self) -> None:
        self.epoch = 0
        """Of the other end."""
        self.gaps = 0
        """Frames that were lost on the way."""
        self.lost_messages = 0
        """Messages and answers in them."""
        self.foreign: dict[str, SchemaChangedError] = {}
        """Message types that mean something else on this peer than here."""
        self.news: dict[str, bool] = {}
        """Addresses of this node to be told of: paused or resumed."""
        self.answer_due = False
        """Whether the peer wants to hear of this, whatever there is."""
        self.is_late = False
        """Whether the last frame was overtaken by others."""
        self._frames = ReceivedFrames()
        self._chunks = ChunkReader()
        self._retired: deque[int] = deque(maxlen=EPOCHS_KEPT)
        self._lost: dict[tuple[int, int], int] = {}
        """Frames that are given up, and in which frame the peer was told so first; 0 for in none yet."""
        self._seen_bytes = self._taken_bytes = self._reported_bytes = 0
        self._seen_messages = self._got_messages = 0
        self._published_bytes = 0
        self._is_first = False

    def go_on(self) -> Incoming:
        """For a new link to the node: if it is the same process still, its frames go on where they were."""
        self._lost = dict.fromkeys(self._lost, 0)  # what was told in the other link may not have come
        self.answer_due = False
        return self

    @property
    def is_due(self) -> bool:
        """Whether the peer should be told even if there is nothing else to send."""
        return (
            self.answer_due
            or bool(self.news)
            or 0 in islice(self._lost.values(), LOST_IN_FRAME)
            or self._taken_bytes - self._reported_bytes >= REPORT_BYTES
        )

    def stamp(self, frame: Frame) -> None:
        """Tell the peer in a frame to it what of its own has come."""
        frame.target_epoch = self.epoch
        frame.credited_bytes = self._reported_bytes = self._taken_bytes
        frame.newest_sequence = self._frames.seen
        frame.read_bytes = self._published_bytes
        lost = list(self._lost)
        for first, last in lost[:LOST_IN_FRAME]:  # in each frame, until it is known that one has come
            frame.lost.append(Range(first=first, last=last))
            self._lost[first, last] = self._lost[first, last] or frame.sequence
        # Not beyond what the peer is not told of here, or it would take that for received.
        frame.seen_sequence = min([self._frames.confirmed, *(first - 1 for first, _ in lost[LOST_IN_FRAME:])])
        self.answer_due = False

    def came(self, sequence: int) -> None:
        """The last frame that has come to the peer: it told of all losses that those before it told of."""
        for lost, told_in in list(self._lost.items()):
            if 0 < told_in <= sequence:
                del self._lost[lost]

    def untold(self, first: int, last: int) -> None:
        """These frames have reached nobody, and others will have their sequences."""
        for lost, told_in in self._lost.items():
            if first <= told_in <= last:
                self._lost[lost] = 0

    def is_new_epoch(self, frame: Frame) -> bool:
        """Whether the other end has begun anew with this frame."""
        return frame.epoch != self.epoch and bool(frame.epoch) and frame.epoch not in self._retired

    def take(self, frame: Frame, own_epoch: int) -> bool:
        """Account for a frame; False for one that came before, or is of an earlier life."""
        if frame.epoch != self.epoch:
            if not self.is_new_epoch(frame):
                return False
            self._meet(frame, own_epoch)
        self.is_late = frame.sequence <= self._frames.seen
        if not self._frames.take(frame.sequence):
            return False
        # Bytes that were sent and have not arrived are credited: nobody will ever take them.
        missing = frame.sent_bytes - self._seen_bytes - _size(frame)
        self._taken_bytes += -_size(frame) if self.is_late else max(0, missing)
        self._seen_bytes = max(self._seen_bytes, frame.sent_bytes)
        self._seen_messages = max(self._seen_messages, frame.sent_messages)
        self._published_bytes = max(self._published_bytes, frame.published_bytes)
        self.answer_due = self.answer_due or frame.probe
        return True

    def _meet(self, frame: Frame, own_epoch: int) -> None:
        """The first frame that comes of the other end's epoch."""
        if self.epoch:
            self._retired.append(self.epoch)
        self.epoch = frame.epoch
        self.foreign.clear()
        self.news.clear()
        self._chunks = ChunkReader()
        self._lost = {}
        self._seen_messages = self._got_messages = self._published_bytes = 0
        # What it sent before was for an earlier end of ours, where it knew of one; else it is missing here.
        self._is_first = frame.target_epoch not in (0, own_epoch)
        self._frames.begin(frame.sequence if self._is_first else 1)
        before_bytes = max(0, frame.sent_bytes - _size(frame)) if self._is_first else 0
        self._seen_bytes = self._taken_bytes = self._reported_bytes = before_bytes

    def chunk(self, frame: Frame, limit_bytes: int) -> bytes | None:
        """A part of a large envelope came; the envelope once it is complete.

        Raises:
            UndecodableError: the part fits nothing, or the envelope is too large.
        """
        self._taken_bytes += len(frame.chunk)  # it waits in no mailbox
        return self._chunks.take(frame, limit_bytes)

    def got(self, messages: int) -> None:
        """So many messages and answers were in the frame."""
        self._got_messages = self._seen_messages if self._is_first else self._got_messages + messages
        self._is_first = False

    def took(self, size_bytes: int) -> None:
        """Envelopes entered mailboxes, or became dead letters."""
        self._taken_bytes += size_bytes

    def tick(self) -> tuple[int, int]:
        """How many frames are given up now, and how many messages are lost with them."""
        given_up = self._frames.tick()
        if not given_up:
            return 0, 0
        frames = sum(last - first + 1 for first, last in given_up)
        messages = max(0, self._seen_messages - self._got_messages)
        self._got_messages = max(self._seen_messages, self._got_messages)
        self._lost |= dict.fromkeys(given_up, 0)
        while len(self._lost) > LOST_KEPT:  # by a peer that confirms nothing
            del self._lost[next(iter(self._lost))]
        self.gaps += frames
        self.lost_messages += messages
        return frames, messages


def _size(frame: Frame) -> int:
    return sum(map(len, frame.envelopes)) + len(frame.chunk)
