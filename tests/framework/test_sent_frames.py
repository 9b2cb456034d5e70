"""Frames on their way: what is told of them takes each out exactly once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from covey.framework.cluster import sent_frames
from covey.framework.cluster.packing import Urgent
from covey.framework.cluster.sent_frames import Content, SentFrame, SentFrames

PLACE = st.integers(0, 30)


class SentMachine(RuleBasedStateMachine):
    """The model is a list of sequences and numbers, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = SentFrames()
        self.frames: list[SentFrame] = []
        self.sequence = self.number = self.bytes = 0

    @rule(size=st.integers(0, 100), count=st.integers(1, 5))
    def send(self, size: int, count: int) -> None:
        for _ in range(count):
            self.sequence += 1
            self.number += 1
            content = Content(urgent=(Urgent(bytes(size)),))
            frame = SentFrame(self.sequence, self.number, content, self.bytes + size, self.bytes, self.number)
            self.bytes += size
            self.sent.add(frame)
            self.frames.append(frame)

    @rule(place=PLACE)
    def came(self, place: int) -> None:
        sequence = max(0, self.sequence - place)
        self.sent.came(sequence)
        self.frames = [frame for frame in self.frames if frame.sequence > sequence]

    @rule(place=PLACE, count=st.integers(1, 5))
    def lost(self, place: int, count: int) -> None:
        first = max(1, self.sequence - place)
        last = first + count - 1
        gone = [frame for frame in self.frames if first <= frame.sequence <= last]
        assert self.sent.lost(first, last) == gone
        self.frames = [frame for frame in self.frames if frame not in gone]

    @rule(place=PLACE)
    def returned(self, place: int) -> None:
        number = max(0, self.number - place)
        known = [frame for frame in self.frames if frame.number == number]
        assert self.sent.returned(number) == bool(known)
        assert all(frame.returned for frame in known)

    @rule()
    def withdraw(self) -> None:
        again, too_late = self.sent.withdraw()
        expected = []
        while self.frames and self.frames[-1].returned:
            expected.insert(0, self.frames.pop())
        assert again == expected
        assert too_late == [frame for frame in self.frames if frame.returned]
        self.frames = [frame for frame in self.frames if not frame.returned]
        if again:  # as if they had never been sent
            self.sequence, self.bytes = again[0].sequence - 1, again[0].bytes_before

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert list(self.sent._frames) == self.frames
        assert len(self.sent) == len(self.frames)
        assert self.sent._bytes == sum(frame.size_bytes for frame in self.frames)
        assert self.sent.oldest == (self.frames[0].number if self.frames else 0)


TestSent = SentMachine.TestCase
TestSent.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_what_is_kept_is_bounded_in_bytes_and_in_frames() -> None:
    sent = SentFrames()
    for number in range(1, sent_frames.KEPT_FRAMES + 100):
        sent.add(SentFrame(number, number, Content(), number, number - 1, 0))
    assert len(sent) == sent_frames.KEPT_FRAMES
    assert sent.oldest == 100
    half = sent_frames.KEPT_BYTES // 2 + 1
    for number in (1, 2, 3):
        sent.add(SentFrame(number + 10_000, number, Content(), number * half, (number - 1) * half, 0))
    assert len(sent) == 1
