"""What every transport keeps of frames and beacons: one suite, run with each of `transports.BEDS`."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack
from functools import partial

import pytest

from covey.framework.errors import ConfigurationError, PayloadTooLargeError, TransportError
from tests.conformance.bed import Bed
from tests.conformance.nodes import node, numbered, run
from tests.conformance.recorder import Recorder
from tests.conformance.transports import MemoryBed, NatsBed


def test_frames_arrive_in_order_and_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (_, at_b):
            for frame in numbered(1000):
                a.send("b", frame)
            await at_b.until(lambda r: len(r.frames) >= 1000)
            assert at_b.frames == numbered(1000)
            assert at_b.beacons == at_b.publications == at_b.requests == []

    run(main())


def test_frames_travel_in_both_directions_at_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, at_b):
            for to_b, to_a in zip(numbered(200, "b"), numbered(200, "a"), strict=True):
                a.send("b", to_b)
                b.send("a", to_a)
            await at_a.until(lambda r: len(r.frames) >= 200)
            await at_b.until(lambda r: len(r.frames) >= 200)
            assert (at_a.frames, at_b.frames) == (numbered(200, "a"), numbered(200, "b"))
            assert (at_a.undelivered, at_b.undelivered) == ([], [])

    run(main())


def test_a_node_can_send_to_itself(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.send("a", b"note to self")
            await at_a.until(lambda r: r.frames == [b"note to self"])
            assert at_a.frame_sources == ["a"]

    run(main())


def test_order_is_kept_for_each_of_many_senders_and_the_transport_tells_who_each_is(bed: Bed) -> None:
    async def main() -> None:
        names = [f"s{number}" for number in range(5)]
        async with AsyncExitStack() as stack:
            _, sink = await stack.enter_async_context(node(bed, "sink"))
            senders = [(await stack.enter_async_context(node(bed, name)))[0] for name in names]
            for frame_number in range(100):
                for name, sender in zip(names, senders, strict=True):
                    sender.send("sink", f"{name}:{frame_number}".encode())
            await sink.until(lambda r: len(r.frames) >= 500)
            for name in names:
                arrived = zip(sink.frames, sink.frame_sources, strict=True)
                assert [frame for frame, source in arrived if source == name] == numbered(100, f"{name}:")

    run(main())


def test_a_beacon_reaches_every_node_and_its_sender(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (_, at_b), node(bed, "c") as (_, at_c):
            a.broadcast(b"hello")
            for recorder in (at_a, at_b, at_c):
                await recorder.until(lambda r: r.beacons == [b"hello"])
                assert (recorder.beacon_sources, recorder.frames) == (["a"], [])


def test_beacons_of_one_node_arrive_in_order_and_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, at_b):
            for beacon in numbered(200):
                a.broadcast(beacon)
                b.broadcast(beacon)
            for recorder in (at_a, at_b):
                await recorder.until(lambda r: len(r.beacons) >= 400)
                for name in ("a", "b"):
                    heard = zip(recorder.beacons, recorder.beacon_sources, strict=True)
                    assert [beacon for beacon, source in heard if source == name] == numbered(200)

    run(main())


def test_two_swarms_in_one_place_never_see_each_other(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a", "one") as (one, at_one), node(bed, "a", "two") as (two, at_two):
            one.broadcast(b"hello one")
            one.send("a", b"frame one")
            await one.flush(5.0)
            two.broadcast(b"hello two")
            two.send("a", b"frame two")
            await at_one.until(lambda r: r.frames and r.beacons)
            await at_two.until(lambda r: r.frames and r.beacons)
            assert (at_one.frames, at_one.beacons) == ([b"frame one"], [b"hello one"])
            assert (at_two.frames, at_two.beacons) == ([b"frame two"], [b"hello two"])

    run(main())


def test_two_nodes_of_one_name_both_get_its_frames(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, first), node(bed, "a") as (_, second):
            a.send("a", b"which of us?")
            await first.until(lambda r: r.frames == [b"which of us?"])
            await second.until(lambda r: r.frames == [b"which of us?"])

    run(main())


@pytest.mark.parametrize("name", ["naïve café", "日本", "a.b.*.>", "%41", " ", "\n", "🦆" * 64, "k" * 256])
def test_odd_names_of_swarms_and_nodes_work_and_stay_apart(bed: Bed, name: str) -> None:
    async def main() -> None:
        async with node(bed, name, name) as (odd, at_odd), node(bed, "x", name) as (_, at_x):
            odd.send(name, b"for the odd one")
            odd.send("x", b"for x")
            odd.broadcast(b"for all")
            for recorder, frames in ((at_odd, [b"for the odd one"]), (at_x, [b"for x"])):
                await recorder.until(lambda r: r.frames and r.beacons)
                assert (recorder.frames, recorder.frame_sources) == (frames, [name])
                assert (recorder.beacons, recorder.beacon_sources) == ([b"for all"], [name])

    run(main())


@pytest.mark.parametrize("name", ["", "k" * 257, "🦆" * 65, "\ud800"])
def test_a_name_that_cannot_travel_is_refused_at_start(bed: Bed, name: str) -> None:
    async def main() -> None:
        for swarm, node_id in ((name, "a"), ("shop", name)):
            transport = bed.transport()
            with pytest.raises(ConfigurationError, match=r"swarm name|node id"):
                await transport.start(swarm, node_id, Recorder())
            await transport.close()

    run(main())


def test_what_is_at_the_limit_arrives_and_one_byte_more_is_refused(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (b, at_b):
            b.subscribe("large")
            await b.flush(5.0)
            limit = a.max_frame_bytes
            assert limit >= 64 * 1024
            largest = (bytes(range(256)) * (limit // 256 + 1))[:limit]
            for put in (partial(a.send, "b"), a.broadcast, partial(a.publish, "large")):
                with pytest.raises(PayloadTooLargeError) as refused:
                    put(largest + b"!")
                assert (refused.value.size_bytes, refused.value.limit_bytes) == (limit + 1, limit)
                put(largest)
                put(b"")
            await at_b.until(lambda r: len(r.frames) == len(r.beacons) == len(r.publications) == 2)
            assert at_b.frames == at_b.beacons == [publication.data for publication in at_b.publications]
            assert at_b.frames == [largest, b""]

    run(main())


def test_what_is_more_than_may_wait_is_refused_and_all_else_arrives_in_order(bed: Bed) -> None:
    async def main() -> None:
        async with (
            node(bed, "a", pending_limit_bytes=10_000) as (a, _),
            node(bed, "b", pending_limit_bytes=10_000) as (_, at_b),
        ):
            accepted, refused = [], []
            for number in range(100):  # no await: what does not go to a server at once has to wait
                frame = bytes([number]) * 1000
                try:
                    a.send("b", frame)
                except TransportError as error:
                    refused.append(str(error))
                else:
                    accepted.append(frame)
            assert len(accepted) >= 10
            assert all("10000 bytes" in error for error in refused)
            await at_b.until(lambda r: len(r.frames) == len(accepted))
            a.send("b", b"there is room again")
            await at_b.until(lambda r: len(r.frames) > len(accepted))
            assert at_b.frames == [*accepted, b"there is room again"]

    run(main())


def test_20000_small_frames_arrive_without_a_loss(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (_, at_b):
            expected = [number.to_bytes(4, "big") * 8 for number in range(20_000)]
            for frame in expected:
                a.send("b", frame)
            await at_b.until(lambda r: len(r.frames) >= 20_000)
            assert at_b.frames == expected
            assert at_a.problems == at_b.problems == []

    run(main())


def test_nothing_is_delivered_from_inside_a_call(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.subscribe("news")
            await a.flush(5.0)
            for number in range(20):
                a.send("a", b"x")
                a.send("nobody", b"x", number)
                a.broadcast(b"x")
                a.publish("news", b"x")
                assert at_a.frames == at_a.beacons == at_a.publications == at_a.undelivered == []
            await at_a.until(lambda r: len(r.frames) == len(r.beacons) == len(r.publications) == 20)

    run(main())


@pytest.mark.parametrize("bed_class", [MemoryBed, NatsBed])
def test_a_transport_joins_this_suite_in_under_50_lines(bed_class: type[Bed]) -> None:
    assert len(inspect.getsource(bed_class).splitlines()) < 50
