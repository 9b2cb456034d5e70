"""What every transport keeps: one suite, run with each of `transports.BEDS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from covey.framework.errors import ConfigurationError, PayloadTooLargeError, TransportError
from covey.framework.transport import Transport
from tests.conformance.recorder import Recorder
from tests.conformance.transports import BEDS, MAX_FRAME_BYTES, Bed

Node = tuple[Transport, Recorder]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60.0))


@pytest.fixture(scope="module", params=list(BEDS))
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with BEDS[request.param]() as bed:
        yield bed


@pytest.fixture
def server_bed(bed: Bed) -> Bed:
    if not bed.has_server:
        pytest.skip("this transport has no server to lose")
    return bed


@asynccontextmanager
async def node(bed: Bed, node_id: str, swarm: str = "shop", **options: Any) -> AsyncIterator[Node]:
    transport, recorder = bed.transport(**options), Recorder()
    await transport.start(swarm, node_id, recorder)
    try:
        yield transport, recorder
    finally:
        await transport.close()


def numbered(count: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


def test_frames_arrive_in_order_and_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (_, at_b):
            for frame in numbered(1000):
                a.send("b", frame)
            await at_b.until(lambda r: len(r.frames) >= 1000)
            assert at_b.frames == numbered(1000)
            assert at_b.beacons == []

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

    run(main())


def test_a_node_can_send_to_itself(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.send("a", b"note to self")
            await at_a.until(lambda r: r.frames == [b"note to self"])

    run(main())


def test_order_is_kept_for_each_of_many_senders(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "sink") as (_, sink):
            senders = [bed.transport() for _ in range(5)]
            for number, sender in enumerate(senders):
                await sender.start("shop", f"s{number}", Recorder())
            for frame_number in range(100):
                for number, sender in enumerate(senders):
                    sender.send("sink", f"{number}:{frame_number}".encode())
            await sink.until(lambda r: len(r.frames) >= 500)
            for number in range(5):
                mine = [frame for frame in sink.frames if frame.startswith(f"{number}:".encode())]
                assert mine == numbered(100, f"{number}:")
            for sender in senders:
                await sender.close()

    run(main())


def test_a_beacon_reaches_every_node_and_its_sender(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (_, at_b), node(bed, "c") as (_, at_c):
            a.broadcast(b"hello")
            for recorder in (at_a, at_b, at_c):
                await recorder.until(lambda r: r.beacons == [b"hello"])
                assert recorder.frames == []

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


def test_a_frame_to_an_absent_node_is_gone_without_a_word(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.send("nobody", b"lost")
            a.send("a", b"found")
            await at_a.until(lambda r: r.frames)
            assert (at_a.frames, at_a.problems) == ([b"found"], [])

    run(main())


@pytest.mark.parametrize("name", ["naïve café", "日本", "a.b.*.>", "%41", " ", "\n", "🦆" * 64, "k" * 256])
def test_odd_names_of_swarms_and_nodes_work_and_stay_apart(bed: Bed, name: str) -> None:
    async def main() -> None:
        async with node(bed, name, name) as (odd, at_odd), node(bed, "x", name) as (_, at_x):
            odd.send(name, b"for the odd one")
            odd.send("x", b"for x")
            await at_odd.until(lambda r: r.frames)
            await at_x.until(lambda r: r.frames)
            assert (at_odd.frames, at_x.frames) == ([b"for the odd one"], [b"for x"])

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


def test_a_frame_at_the_limit_arrives_and_one_byte_more_is_refused(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (_, at_b):
            assert a.max_frame_bytes == MAX_FRAME_BYTES
            largest = bytes(range(256)) * (MAX_FRAME_BYTES // 256)
            for publish in (lambda frame: a.send("b", frame), a.broadcast):
                with pytest.raises(PayloadTooLargeError) as refused:
                    publish(largest + b"!")
                assert (refused.value.size_bytes, refused.value.limit_bytes) == (
                    MAX_FRAME_BYTES + 1,
                    MAX_FRAME_BYTES,
                )
                publish(largest)
            a.send("b", b"")
            await at_b.until(lambda r: len(r.frames) == 2 and r.beacons)
            assert (at_b.frames, at_b.beacons) == ([largest, b""], [largest])

    run(main())


def test_more_pending_than_the_limit_is_refused_and_the_rest_arrives(bed: Bed) -> None:
    async def main() -> None:
        async with (
            node(bed, "a", pending_limit_bytes=10_000) as (a, _),
            node(bed, "b", pending_limit_bytes=10_000) as (_, at_b),
        ):
            for _ in range(10):  # no await: nothing can leave in between
                a.send("b", bytes(1000))
            with pytest.raises(TransportError, match="10000 bytes"):
                a.send("b", b"!")
            await at_b.until(lambda r: len(r.frames) == 10)
            a.send("b", b"there is room again")
            await at_b.until(lambda r: r.frames[-1] == b"there is room again")

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


def test_flush_hands_everything_over(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (b, at_b):
            for frame in numbered(500):
                a.send("b", frame)
            await a.flush(5.0)
            await b.flush(5.0)  # what the server had before this has come back to b after it
            await at_b.until(lambda r: len(r.frames) == 500)

    run(main())


def test_close_flushes_what_was_sent(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "b") as (_, at_b):
            async with node(bed, "a") as (a, _):
                for frame in numbered(500):
                    a.send("b", frame)
            await at_b.until(lambda r: len(r.frames) >= 500)
            assert at_b.frames == numbered(500)

    run(main())


def test_nothing_is_delivered_after_close(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (b, at_b), node(bed, "b") as (_, witness):
            await b.close()
            a.send("b", b"too late")
            await witness.until(lambda r: r.frames == [b"too late"])
            assert at_b.frames == []

    run(main())


def test_close_is_idempotent_and_sending_afterwards_is_refused(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            await a.close()
            await a.close()
            with pytest.raises(TransportError, match="closed"):
                a.send("a", b"x")
            with pytest.raises(TransportError, match="closed"):
                a.broadcast(b"x")
            with pytest.raises(TransportError, match="closed"):
                await a.flush(1.0)
            with pytest.raises(TransportError, match="make a new one"):
                await a.start("shop", "a", Recorder())
            assert at_a.links == []  # closing is no loss of the link

    run(main())


def test_sending_before_start_is_refused_and_close_without_start_is_harmless(bed: Bed) -> None:
    async def main() -> None:
        transport = bed.transport()
        with pytest.raises(TransportError, match="not started"):
            transport.send("a", b"x")
        with pytest.raises(TransportError, match="not started"):
            transport.broadcast(b"x")
        await transport.close()

    run(main())


def test_close_leaves_no_task_behind(bed: Bed) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with node(bed, "a") as (a, at_a):
            a.send("a", b"x")
            await at_a.until(lambda r: r.frames)
        assert asyncio.all_tasks() - before == set()

    run(main())


def test_starting_against_nothing_is_one_clear_error(server_bed: Bed) -> None:
    async def main() -> None:
        transport = server_bed.unreachable()
        with pytest.raises(TransportError, match=r"cannot connect to nats://127\.0\.0\.1:\d+: .*refused"):
            await transport.start("shop", "a", Recorder())
        await transport.close()

    run(main())


def test_a_restarted_server_is_found_again_and_what_was_sent_meanwhile_arrives(server_bed: Bed) -> None:
    async def main() -> None:
        async with node(server_bed, "a") as (a, at_a), node(server_bed, "b") as (b, at_b):
            await asyncio.to_thread(server_bed.stop_server)
            await at_a.until(lambda r: [up for up, _ in r.links] == [False])
            await at_b.until(lambda r: [up for up, _ in r.links] == [False])
            with pytest.raises(TransportError, match="has not reached"):
                await b.flush(0.2)
            await asyncio.to_thread(server_bed.start_server)
            await at_b.until(lambda r: [up for up, _ in r.links] == [False, True])
            for frame in numbered(100):  # a may still be down: they wait for its reconnect
                a.send("b", frame)
            await at_b.until(lambda r: len(r.frames) >= 100)
            assert at_b.frames == numbered(100)
            # The client sends what it holds before it says that it is connected again.
            await at_a.until(lambda r: [up for up, _ in r.links] == [False, True])
            assert at_a.problems == at_b.problems == []

    run(main())


def test_what_waits_for_a_lost_server_is_bounded(server_bed: Bed) -> None:
    async def main() -> None:
        async with node(server_bed, "a", pending_limit_bytes=10_000) as (a, at_a):
            await asyncio.to_thread(server_bed.stop_server)
            try:
                await at_a.until(lambda r: r.links)
                for _ in range(10):
                    a.send("a", bytes(1000))
                    await asyncio.sleep(0)
                with pytest.raises(TransportError, match="wait to be sent"):
                    a.send("a", b"!")
            finally:
                await asyncio.to_thread(server_bed.start_server)
            await at_a.until(lambda r: len(r.frames) == 10)

    run(main())


def test_close_is_bounded_while_the_server_is_gone(server_bed: Bed) -> None:
    async def main() -> None:
        async with node(server_bed, "a") as (a, at_a):
            await asyncio.to_thread(server_bed.stop_server)
            try:
                await at_a.until(lambda r: r.links)
                a.send("a", b"never sent")
                await asyncio.wait_for(a.close(0.5), 2.0)
            finally:
                await asyncio.to_thread(server_bed.start_server)

    run(main())
