"""Frames that were sent to a node and of which it has not said yet that they came. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from covey.framework.cluster.chunks import ChunkedEnvelope
    from covey.framework.cluster.outbox import Item
    from covey.framework.cluster.packing import Urgent

__all__ = ["KEPT_BYTES", "Content", "SentFrame", "SentFrames"]

KEPT_BYTES = 16 * 1024 * 1024
"""Beyond this the oldest are forgotten: their loss is counted, and cannot be made good."""
KEPT_FRAMES = 4096


class Content(NamedTuple):
    """What a frame carried, for the case that it does not arrive."""

    items: tuple[Item, ...] = ()
    urgent: tuple[Urgent, ...] = ()
    news: tuple[tuple[str, bool], ...] = ()
    """Addresses that are paused (True) or resumed."""
    chunked: ChunkedEnvelope | None = None
    """A part of it: each of its frames stands for all of it."""


class SentFrame:
    """One frame, with the totals as they were before it."""

    __slots__ = ("bytes_before", "content", "messages_before", "number", "returned", "sequence", "size_bytes")

    def __init__(
        self,
        sequence: int,
        number: int,
        content: Content,
        sent_bytes: int,
        bytes_before: int,
        messages_before: int,
    ) -> None:
        self.sequence = sequence
        self.number = number
        """By which the transport knows it: unlike a sequence it is never used again."""
        self.content = content
        self.size_bytes = sent_bytes - bytes_before
        self.bytes_before = bytes_before
        self.messages_before = messages_before
        self.returned = False
        """Whether the transport said that nobody listened."""


class SentFrames:
    """In the order of their sequences. Owned by the loop thread."""

    def __init__(self) -> None:
        self._frames: deque[SentFrame] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def oldest(self) -> int:
        """The number of the oldest frame; 0 for none."""
        return self._frames[0].number if self._frames else 0

    @property
    def messages(self) -> int:
        """How many messages are on their way, as far as is known here; answers are none."""
        contents = [frame.content for frame in self._frames]
        large = {content.chunked for content in contents if content.chunked is not None}
        whole = sum(item.count for content in contents for item in content.items)
        return whole + sum(chunked.in_doubt for chunked in large)

    def add(self, frame: SentFrame) -> None:
        """A frame was sent."""
        self._frames.append(frame)
        self._bytes += frame.size_bytes
        while self._bytes > KEPT_BYTES or len(self._frames) > KEPT_FRAMES:
            self._bytes -= self._frames.popleft().size_bytes

    def came(self, sequence: int) -> None:
        """The other end has seen all frames up to this one, but for those it told of as lost before."""
        frames = self._frames
        while frames and frames[0].sequence <= sequence:
            self._bytes -= frames.popleft().size_bytes

    def lost(self, first: int, last: int) -> list[SentFrame]:
        """The other end has given these up; returns those that are known here."""
        gone = [frame for frame in self._frames if first <= frame.sequence <= last]
        if gone:
            self._frames = deque(frame for frame in self._frames if not first <= frame.sequence <= last)
            self._bytes -= sum(frame.size_bytes for frame in gone)
        return gone

    def clear(self) -> None:
        """Nobody will tell what became of these."""
        self._frames.clear()
        self._bytes = 0

    def returned(self, number: int) -> bool:
        """Nobody listened for that frame; whether it is known here."""
        for frame in reversed(self._frames):
            if frame.number == number:
                frame.returned = True
                return True
        return False

    def withdraw(self) -> tuple[list[SentFrame], list[SentFrame]]:
        """Take out what reached nobody: the frames at the end, and those before one that may have come.

        The first may be sent again, in order and as if they had never been sent; for the second it is
        too late: what was sent after them has arrived.
        """
        last: deque[SentFrame] = deque()
        while self._frames and self._frames[-1].returned:
            last.appendleft(self._frames.pop())
        before = [frame for frame in self._frames if frame.returned]
        if before:
            self._frames = deque(frame for frame in self._frames if not frame.returned)
        self._bytes = sum(frame.size_bytes for frame in self._frames)
        return list(last), before
