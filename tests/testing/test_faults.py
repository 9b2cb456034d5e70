"""Faults by a seed: the same seed does the same, and nodes notice what a transport may do to them."""

from __future__ import annotations

import logging
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import Agent, AskTimeoutError, ConfigurationError, NoHostError, Swarm, handles
from covey.framework.cluster.membership import BEACON_S
from covey.framework.events import Event, MessagesLost
from covey.testing import Fault, Faults, ManualClock, Probe, swarm_of
from covey.testing.fault import Odds, draw
from tests.testing.messages import Level, Levels, Lookup, Report

FRAMES = 60


class Store(Agent):
    """Keeps what arrives, in the order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.amounts: list[int] = []

    @handles
    def put(self, level: Level) -> None:
        self.amounts.append(level.amount)

    @handles
    def report(self, question: Report) -> Levels:
        return Levels(amounts=self.amounts)

    @handles
    def look_up(self, question: Lookup) -> Level:
        return Level(amount=len(question.sku))


HOSTS = {"b": [Store]}


def send_one_by_one(a: Swarm, clock: ManualClock, count: int = FRAMES) -> None:
    """Each in a frame of its own."""
    store = a.agent(Store, "x")
    for amount in range(count):
        store.tell(Level(amount=amount))
        clock.settle()


def arrived(b: Swarm) -> list[int]:
    levels: Levels = b.agent(Store, "x").ask(Report()).get()
    return levels.amounts


class Outcome(NamedTuple):
    amounts: list[int]
    """What arrived, in order."""
    log: list[Fault]
    """Of the frames with what was sent; others follow, which tell what came of them."""
    lost: set[int]
    """What its sender was told of as lost."""
    replayed: int
    """Frames that came once too often."""

    @property
    def kinds(self) -> set[str]:
        return {fault.kind for fault in self.log}

    def numbers(self, kind: str) -> set[int]:
        """What was sent in the frames with this fault."""
        return {fault.number - 1 for fault in self.log if fault.kind == kind}


def run_with(faults: Faults) -> Outcome:
    """What becomes of the messages; once all are sent nothing more goes wrong."""
    clock = ManualClock()
    with swarm_of(2, hosts=HOSTS, clock=clock, faults=faults) as (a, b):
        send_one_by_one(a, clock)
        faults.drop = faults.duplicate = faults.delay = faults.reorder = 0.0
        clock.advance(3)
        log = [fault for fault in faults.log if fault.source == "a" and fault.number <= FRAMES]
        return Outcome(arrived(b), log, lost_letters(a), b.dead_letters().counts.get("replayed", 0))


def lost_letters(a: Swarm) -> set[int]:
    letters = [letter.payload for letter in a.dead_letters() if letter.reason == "lost"]
    assert len(set(letters)) == len(letters)
    return {int(payload.removeprefix("Level(amount=").removesuffix(")")) for payload in letters}


# -- by the seed ------------------------------------------------------------------------------------


def test_the_same_seed_does_the_same_twice() -> None:
    odds = {"drop": 0.2, "duplicate": 0.2, "delay": 0.3, "reorder": 0.2}
    first, again, other = (
        run_with(Faults(7, **odds)),
        run_with(Faults(7, **odds)),
        run_with(Faults(8, **odds)),
    )
    assert first.kinds == {"dropped", "duplicated", "delayed", "reordered"}
    assert again == first
    assert [fault.at_s for fault in again.log] == [fault.at_s for fault in first.log]
    assert other != first


def test_without_odds_nothing_goes_wrong() -> None:
    assert run_with(Faults(7)) == (list(range(FRAMES)), [], set(), 0)


def test_dropped_frames_are_those_of_the_log_and_their_sender_is_told_what_was_in_them() -> None:
    done = run_with(Faults(3, drop=0.3))
    assert done.kinds == {"dropped"}
    dropped = done.numbers("dropped")
    assert done.amounts == [amount for amount in range(FRAMES) if amount not in dropped]
    assert done.lost == dropped
    assert done.replayed == 0


def test_duplicated_frames_are_taken_once_and_counted() -> None:
    done = run_with(Faults(3, duplicate=0.3))
    assert done.kinds == {"duplicated"}
    assert (done.amounts, done.lost) == (list(range(FRAMES)), set())
    assert done.replayed == len(done.numbers("duplicated"))


def test_delayed_frames_hold_up_those_behind_them() -> None:
    done = run_with(Faults(3, delay=0.3))
    assert done.kinds == {"delayed"}
    assert (done.amounts, done.lost) == (list(range(FRAMES)), set())


def test_reordered_frames_are_overtaken_and_not_lost() -> None:
    done = run_with(Faults(3, reorder=0.3))
    assert done.kinds == {"reordered"}
    late = done.numbers("reordered")
    in_time = [amount for amount in range(FRAMES) if amount not in late]
    assert done.amounts[: len(in_time)] == in_time
    assert set(done.amounts[len(in_time) :]) == late
    assert (len(done.amounts), done.lost) == (FRAMES, set())


def test_a_frame_that_comes_after_it_was_told_of_as_lost_is_not_taken_any_more() -> None:
    done = run_with(Faults(3, reorder=0.3, delay_s=(0.8, 0.9)))
    late = done.numbers("reordered")
    assert done.amounts == [amount for amount in range(FRAMES) if amount not in late]
    assert done.lost == late
    assert done.replayed == len(late)


def test_each_message_is_handled_once_or_told_of_once_whatever_goes_wrong() -> None:
    for seed in range(5):
        done = run_with(Faults(seed, drop=0.2, duplicate=0.2, delay=0.2, reorder=0.2, delay_s=(0.0, 0.6)))
        assert sorted([*done.amounts, *done.lost]) == list(range(FRAMES)), seed


def test_a_delay_is_virtual_time(clock: ManualClock) -> None:
    faults = Faults(delay=1.0, delay_s=(3.0, 3.0))
    with swarm_of(2, hosts=HOSTS, clock=clock, faults=faults) as (a, _b):
        reply = a.agent(Store, "x").ask(Lookup(sku="tea"), timeout=60)
        clock.advance(5.9)
        assert not reply.done()
        clock.advance(0.1)  # there and back
        assert reply.get() == Level(amount=3)


@given(seed=st.integers(), first=st.floats(0, 1), then=st.floats(0, 1))
def test_odds_change_nothing_in_a_links_random_stream(seed: int, first: float, then: float) -> None:
    one, other = Random(seed), Random(seed)
    draw(one, Odds(first, first, first, first, (0.0, 1.0)))
    draw(other, Odds(then, 0.0, then, 1.0, (0.5, 0.5)))
    assert one.random() == other.random()


@pytest.mark.parametrize("wrong", [{"drop": 1.5}, {"reorder": -0.1}, {"delay_s": (2.0, 1.0)}])
def test_odds_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Faults(**wrong)  # type: ignore[arg-type]


# -- what nodes make of it --------------------------------------------------------------------------


def test_a_drop_is_reported_as_a_gap(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    with swarm_of(2, hosts=HOSTS, clock=clock, faults=faults) as (a, b):
        send_one_by_one(a, clock, 2)
        faults.drop = 1.0
        send_one_by_one(a, clock, 3)
        faults.drop = 0.0
        events: list[Event] = []
        b.on_event(events.append)
        with caplog.at_level(logging.WARNING, "covey.node"):
            send_one_by_one(a, clock, 1)
            assert b._running.outbound.peer("a").gaps == 0  # they may only be late
            clock.advance(3 * BEACON_S)
        assert arrived(b) == [0, 1, 0]
        assert b._running.outbound.peer("a").gaps == 3
        assert [event for event in events if isinstance(event, MessagesLost)] == [MessagesLost("a", 3)]
        assert lost_letters(a) == {0, 1, 2}
    assert "3 frames of node a with 3 messages were lost" in caplog.text


def test_a_lost_answer_ends_the_ask_at_its_deadline(clock: ManualClock) -> None:
    faults = Faults(drop=1.0)
    with swarm_of(2, hosts=HOSTS, clock=clock, faults=faults) as (a, _b):
        reply = a.agent(Store, "x").ask(Lookup(sku="tea"), timeout=2)
        clock.advance(1.9)
        assert not reply.done()
        clock.advance(0.2)
        assert isinstance(reply.error(), AskTimeoutError)


def test_a_cut_node_is_gone_after_its_time_and_back_when_the_link_is_healed(clock: ManualClock) -> None:
    faults = Faults()
    with swarm_of(3, hosts=HOSTS, clock=clock, faults=faults) as (a, b, c):
        faults.cut("a", "b")
        clock.advance(1.5)
        assert names(a) == names(b) == ["a", "b", "c"]
        clock.advance(1.5)
        assert (names(a), names(b), names(c)) == (["a", "c"], ["b", "c"], ["a", "b", "c"])
        assert isinstance(a.agent(Store, "x").ask(Lookup(sku="tea")).error(), NoHostError)
        faults.heal("a", "b")
        clock.advance(1)
        assert names(a) == names(b) == ["a", "b", "c"]
        assert [(fault.kind, fault.source, fault.target) for fault in faults.log] == [
            ("cut", "a", "b"),
            ("healed", "a", "b"),
        ]


def test_a_link_may_be_cut_in_one_direction(clock: ManualClock) -> None:
    faults = Faults()
    with swarm_of(2, hosts=HOSTS, clock=clock, faults=faults) as (a, b):
        faults.cut("a", "b", both_ways=False)
        a.agent(Store, "x").tell(Level(amount=1))
        clock.advance(3)
        assert (names(a), names(b)) == (["a", "b"], ["b"])
        met = [(fault.kind, fault.number) for fault in faults.log]
        assert met[:2] == [("cut", 0), ("cut off", 1)]
        assert {kind for kind, _ in met[2:]} <= {"cut off"}  # it asks what became of the first
        assert all(fault.source == "a" for fault in faults.log)


def names(swarm: Swarm) -> list[str]:
    return [node.name for node in swarm.nodes()]


# -- several nodes ----------------------------------------------------------------------------------


def test_a_probe_on_one_node_stands_in_for_an_agent_of_the_whole_swarm(clock: ManualClock) -> None:
    with swarm_of(2, hosts=HOSTS, clock=clock) as (a, b):
        probe = Probe.standing_in(b, Store, "x")
        probe.reply_with(Level(amount=42))
        clock.advance(1)  # until the other node has heard of it
        assert a.agent(Store, "x").ask(Lookup(sku="tea")).get() == Level(amount=42)
        assert probe.expect(Lookup) == Lookup(sku="tea")


def test_nodes_join_on_real_time_too() -> None:
    with swarm_of(3, hosts=[Store]) as swarms:
        assert [names(swarm) for swarm in swarms] == [["a", "b", "c"]] * 3
        assert swarms[0].agent(Store, "x").ask(Lookup(sku="tea")).get() == Level(amount=3)


@pytest.mark.parametrize("count", [0, 27])
def test_a_swarm_has_1_to_26_nodes(count: int) -> None:
    with pytest.raises(ConfigurationError, match="1 to 26"), swarm_of(count):
        pass
