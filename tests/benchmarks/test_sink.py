"""The receivers of `node-to-node` see whether each reading is the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from benchmarks.node_raw import ARRIVALS, Receiver, reading_envelope
from benchmarks.reading_proto import FIRST_SEQUENCE
from benchmarks.reading_proto import Arrivals as RawArrivals
from benchmarks.sink import CountArrivals, Reading, Sink
from covey import Swarm
from covey.framework.proto.envelope_pb2 import Envelope

SERIES_OF_READINGS = pytest.mark.parametrize(
    ("numbers", "disorder"),
    [
        pytest.param([0, 1, 2, 3], 0, id="in order"),
        pytest.param([0, 1, 3], 1, id="a hole"),
        pytest.param([1, 2, 3], 1, id="the first is missing"),
        pytest.param([0, 1, 1, 2], 1, id="one twice"),
        pytest.param([0, 2, 1, 3], 3, id="two that changed places"),
    ],
)


@SERIES_OF_READINGS
def test_covey_counts_the_readings_that_are_not_the_next_one(numbers: Sequence[int], disorder: int) -> None:
    with Swarm.local() as swarm:
        sink = swarm.spawn(Sink, "a")
        for _ in range(2):  # it starts anew once it was asked
            for number in numbers:
                sink.tell(Reading(series="s", sequence=FIRST_SEQUENCE + number, value=0.5, note=""))
            arrivals = sink.ask(CountArrivals(), timeout=10).get()
            assert (arrivals.count, arrivals.disorder) == (len(numbers), disorder)


@SERIES_OF_READINGS
def test_raw_nats_counts_them_as_well(numbers: Sequence[int], disorder: int) -> None:
    receiver = Receiver()
    for _ in range(2):
        for number in numbers:
            data = reading_envelope(Envelope.TELL, number).SerializeToString()
            asyncio.run(receiver.on_message(SimpleNamespace(data=data)))
        answer = receiver.answer(Envelope(kind=Envelope.ASK, type=ARRIVALS))
        arrivals = RawArrivals.FromString(answer.payload)
        assert (arrivals.count, arrivals.disorder) == (len(numbers), disorder)
