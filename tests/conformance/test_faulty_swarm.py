"""Nodes on a bad link, by the same seeds over every transport: nothing vanishes without a word.

What the seed does depends on which frames there are, and so on real time here; what must hold does not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from covey import Agent, AskTimeoutError, Swarm, handles, message, subscribes
from covey.framework.dead_letters import DeadLetter
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope
from covey.testing import Faults, FaultyTransport
from tests.conformance.bed import Bed
from tests.conformance.swarms import until
from tests.conformance.transports import BEDS

MESSAGES = 300
PLAIN = [name for name in BEDS if not name.startswith("faulty")]


@message
class Put:
    number: int


@message
class Read:
    pass


@message
class Seen:
    numbers: list[int]


class Shelf(Agent):
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    @handles
    def put(self, put: Put) -> Put:
        self.numbers.append(put.number)
        return put

    @handles
    def read(self, question: Read) -> Seen:
        return Seen(numbers=self.numbers)

    @subscribes("numbers")
    def hear(self, put: Put) -> None:
        self.numbers.append(put.number)


@pytest.fixture(scope="module", params=PLAIN)
def place(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with BEDS[request.param]() as bed:
        yield bed


@contextmanager
def pair(bed: Bed, faults: Faults, name: str) -> Iterator[tuple[Swarm, Swarm]]:
    """Nodes `near` and `far`, which hosts the shelves."""
    with ExitStack() as stack:
        near, far = (
            stack.enter_context(
                Swarm(
                    name,
                    transport=lambda: FaultyTransport(bed.transport(), faults),
                    hosts=hosts,
                    node=node,
                    trace_ratio=0.0,
                )
            )
            for node, hosts in (("near", []), ("far", [Shelf]))
        )
        for swarm in (near, far):
            assert swarm.wait_for_nodes(2)
        yield near, far
        heal(faults)


def heal(faults: Faults) -> None:
    faults.drop = faults.duplicate = faults.delay = faults.reorder = 0.0


def lost_numbers(letters: list[DeadLetter]) -> Counter[int]:
    """What the sender was told of as lost."""
    texts = [letter.payload for letter in letters if letter.reason == "lost"]
    return Counter(int(text.removeprefix("Put(number=").removesuffix(")")) for text in texts)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_tell_is_handled_once_in_order_or_told_of_as_lost(place: Bed, seed: int) -> None:
    faults = Faults(seed, drop=0.2, duplicate=0.2, delay=0.2, delay_s=(0.0, 0.02))
    with pair(place, faults, f"tells {seed}") as (near, far):
        letters: list[DeadLetter] = []
        near.dead_letters().subscribe(letters.append)
        shelf = near.agent(Shelf, "x")
        for number in range(MESSAGES):
            shelf.tell(Put(number=number))
            if number % 3 == 0:  # a frame of its own for every few
                until(lambda: near._running.outbound.peer("far").waiting == 0)
        heal(faults)

        def fates() -> Counter[int]:
            seen: Seen = far.agent(Shelf, "x").ask(Read(), timeout=10).get()
            assert seen.numbers == sorted(set(seen.numbers))
            return Counter(seen.numbers) + lost_numbers(letters)

        until(lambda: fates() == Counter(range(MESSAGES)), what="each tell's fate")
        assert {fault.kind for fault in faults.log} == {"dropped", "duplicated", "delayed"}
        assert far.dead_letters().counts.get("replayed", 0) > 0
        until(lambda: near._running.outbound.peer("far").in_doubt == 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_ask_is_answered_by_its_own_answer_or_fails_and_none_hangs(place: Bed, seed: int) -> None:
    odds = {"drop": 0.1, "duplicate": 0.2, "delay": 0.2, "reorder": 0.2}
    faults = Faults(seed, delay_s=(0.0, 0.02), **odds)
    with pair(place, faults, f"asks {seed}") as (near, _far):
        shelves = [near.agent(Shelf, f"s{number % 5}") for number in range(MESSAGES)]
        asks = []
        for number, shelf in enumerate(shelves):
            asks.append(shelf.ask(Put(number=number), timeout=3.0))
            if number % 3 == 0:
                until(lambda: near._running.outbound.peer("far").waiting == 0)
        errors = []
        for number, ask in enumerate(asks):
            try:
                assert ask.get(10) == Put(number=number)
            except Exception as error:
                errors.append(error)
        # An answer that is lost is sent again; a question that is lost fails at once, not at its deadline.
        assert not any(isinstance(error, AskTimeoutError) for error in errors), errors
        assert {"dropped", "reordered"} <= {fault.kind for fault in faults.log}
        assert len(errors) < MESSAGES / 2
        until(lambda: near._running.outbound.asks_in_flight == 0)


def test_a_cut_stops_publications_in_its_direction_alone_and_never_those_of_clients(place: Bed) -> None:
    faults = Faults()
    with pair(place, faults, "topics") as (near, far):
        ears = {swarm: swarm.spawn(Shelf, f"ear of {swarm.node_name}") for swarm in (near, far)}

        def heard(by: Swarm) -> list[int]:
            seen: Seen = ears[by].ask(Read(), timeout=5).get()
            return seen.numbers

        assert heard(near) == heard(far) == []
        for swarm in (near, far):
            flush(swarm)  # the subscriptions
        faults.cut("near", "far", both_ways=False)
        near.publish("numbers", Put(number=1))
        far.publish("numbers", Put(number=2))
        for swarm in (near, far, near):
            flush(swarm)
        assert (heard(near), heard(far)) == ([1, 2], [2])
        name, payload = codec.encode(Put(number=3))
        asyncio.run(
            place.publish("topics", "numbers", Envelope(type=name, payload=payload).SerializeToString())
        )
        until(lambda: heard(far) == [2, 3])
        faults.heal("near", "far", both_ways=False)
        near.publish("numbers", Put(number=4))
        until(lambda: heard(far) == [2, 3, 4])


def flush(swarm: Swarm) -> None:
    """What the node has sent is with the server, and what that had for it before has come."""
    node = swarm._running
    assert node.transport is not None
    asyncio.run_coroutine_threadsafe(node.transport.flush(5.0), node.dispatcher.loop).result(10)
