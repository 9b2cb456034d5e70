"""Which frames came, are missing or came twice: against a model that keeps a set of all numbers."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from covey.framework.cluster.received_frames import RANGES_KEPT, ReceivedFrames

HUGE = 2**64 - 1


class ReceivedMachine(RuleBasedStateMachine):
    """The model forgets nothing; few numbers, so that they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = ReceivedFrames()
        self.begun = 1
        self.settled: set[int] = set()
        """Came, or were given up."""
        self.seen_at: dict[int, int] = {}
        """At which tick the hole of a missing frame was seen."""
        self.now = 0

    @rule(sequence=st.integers(1, 60))
    def come(self, sequence: int) -> None:
        is_new = self.frames.take(sequence)
        assert is_new == (sequence >= self.begun and sequence not in self.settled)
        if is_new:
            for missing in range(max(self.settled, default=self.begun - 1) + 1, sequence):
                self.seen_at.setdefault(missing, self.now)
            self.settled.add(sequence)
            self.seen_at.pop(sequence, None)

    @rule()
    def tick(self) -> None:
        self.now += 1
        given_up = {n for first, last in self.frames.tick() for n in range(first, last + 1)}
        assert given_up == {missing for missing, at in self.seen_at.items() if at <= self.now - 2}
        self.settled |= given_up
        for missing in given_up:
            del self.seen_at[missing]

    @rule(sequence=st.integers(1, 60))
    def begin(self, sequence: int) -> None:
        self.frames.begin(sequence)
        self.begun, self.settled, self.seen_at = sequence, set(), {}

    @invariant()
    def all_up_to_the_confirmed_one_are_settled_and_the_next_is_not(self) -> None:
        confirmed = self.frames.confirmed
        assert set(range(self.begun, confirmed + 1)) <= self.settled
        assert confirmed + 1 not in self.settled
        assert self.frames.seen == max(self.settled, default=self.begun - 1)


TestReceived = ReceivedMachine.TestCase
TestReceived.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


def test_a_late_frame_is_taken_until_its_hole_is_given_up_at_the_second_tick() -> None:
    frames = ReceivedFrames()
    frames.begin(1)
    assert [frames.take(sequence) for sequence in (1, 5)] == [True, True]
    assert (frames.confirmed, frames.tick()) == (1, [])
    assert frames.take(3)
    assert frames.tick() == [(2, 2), (4, 4)]
    assert not any(frames.take(sequence) for sequence in (2, 3, 4))
    assert (frames.confirmed, frames.tick()) == (5, [])


@given(st.lists(st.integers(0, HUGE), max_size=300))
def test_numbers_of_any_size_and_order_cost_little(sequences: list[int]) -> None:
    frames = ReceivedFrames()
    frames.begin(1)
    taken = [sequence for sequence in sequences if frames.take(sequence)]
    assert len(set(taken)) == len(taken)
    given_up = [*frames.tick(), *frames.tick()]
    assert frames.confirmed == frames.seen
    assert len(given_up) <= len(sequences) + 1
    assert all(first <= last for first, last in given_up)


@pytest.mark.parametrize("step", [2**40, 2], ids=["ever more holes", "one hole in ever more pieces"])
def test_a_hostile_sender_of_holes_costs_bounded_memory(step: int) -> None:
    frames = ReceivedFrames()
    frames.begin(1)
    if step == 2:
        frames.take(2**50)
    tracemalloc.start()
    try:
        for number in range(1, 5_000):
            frames.take(number * step)
            if number % 500 == 0:
                frames.tick()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 500 * (RANGES_KEPT + 500)
