"""What every transport keeps when it starts, is flushed, cancelled and closed."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import pytest

from covey.framework.errors import TransportError
from covey.framework.transport import Transport
from tests.conformance.bed import Bed
from tests.conformance.nodes import node, numbered, run
from tests.conformance.recorder import Recorder


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


def uses_of(transport: Transport) -> list[partial[None]]:
    """Everything but start, flush and close."""
    return [
        partial(transport.send, "a", b"x"),
        partial(transport.broadcast, b"x"),
        partial(transport.publish, "news", b"x"),
        partial(transport.subscribe, "news"),
        partial(transport.unsubscribe, "news"),
        partial(transport.serve),
    ]


def test_close_is_idempotent_and_sending_afterwards_is_refused(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            await a.close()
            await a.close()
            for use in uses_of(a):
                with pytest.raises(TransportError, match="closed"):
                    use()
            with pytest.raises(TransportError, match="closed"):
                await a.flush(1.0)
            with pytest.raises(TransportError, match="make a new one"):
                await a.start("shop", "a", Recorder())
            assert at_a.links == []  # closing is no loss of the link

    run(main())


def test_sending_before_start_is_refused_and_close_without_start_is_harmless(bed: Bed) -> None:
    async def main() -> None:
        transport = bed.transport()
        for use in uses_of(transport):
            with pytest.raises(TransportError, match="not started"):
                use()
        with pytest.raises(TransportError, match="not started"):
            await transport.flush(1.0)
        await transport.close()
        await transport.close()

    run(main())


def test_close_leaves_no_task_behind(bed: Bed) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with node(bed, "a") as (a, at_a):
            a.send("a", b"x")
            a.subscribe("news.*")
            a.serve()
            await at_a.until(lambda r: r.frames)
        assert asyncio.all_tasks() - before == set()

    run(main())


def test_closing_twice_at_once_is_closing_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _), node(bed, "b") as (_, at_b):
            for frame in numbered(100):
                a.send("b", frame)
            await asyncio.gather(a.close(), a.close())
            await at_b.until(lambda r: len(r.frames) == 100)

    run(main())


def test_a_node_that_closes_in_the_middle_of_everything_is_simply_gone(bed: Bed) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with node(bed, "a") as (a, at_a), node(bed, "c") as (_, at_c):
            for turns in range(0, 12, 2):
                async with node(bed, "b") as (b, at_b):
                    b.subscribe("news.>")
                    b.serve()
                    for number, frame in enumerate(numbered(200)):
                        a.send("b", frame, number)
                        b.send("c", frame)
                        a.publish("news.tea", frame)
                        b.broadcast(frame)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    await b.close()
                    there = (at_b.frames[:], at_b.beacons[:], at_b.publications[:])
                    await at_c.until(lambda r: len(r.frames) == 200)  # a close flushes
                    await a.flush(5.0)
                    assert there == (at_b.frames, at_b.beacons, at_b.publications)
                    assert at_b.frames == numbered(len(at_b.frames))
                    assert at_c.frames == numbered(200)
                    at_c.frames.clear()
            assert at_a.problems == at_c.problems == []
        assert asyncio.all_tasks() - before == set()

    run(main())


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_a_start_that_is_cancelled_leaves_nothing_behind(bed: Bed, turns: int) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        transport = bed.transport()
        start = asyncio.create_task(transport.start("shop", "a", Recorder()))
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        await transport.close()
        with pytest.raises(TransportError, match="closed"):
            transport.send("a", b"x")
        assert asyncio.all_tasks() - before == set()
        async with node(bed, "b") as (b, at_b):
            b.send("b", b"the place is as it was")
            await at_b.until(lambda r: r.frames)

    run(main())


def test_a_flush_that_is_cancelled_spoils_nothing(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, at_b):
            for frame in numbered(300):
                a.send("b", frame)
                flush = asyncio.create_task(a.flush(5.0))
                await asyncio.sleep(0)
                flush.cancel()
                await asyncio.wait([flush])
            await a.flush(5.0)
            await at_b.until(lambda r: len(r.frames) >= 300)
            b.send("a", b"back")
            await at_a.until(lambda r: r.frames)
            assert (at_b.frames, at_a.frames) == (numbered(300), [b"back"])
            assert at_a.links == at_a.problems == []

    run(main())


def test_a_close_that_is_cancelled_can_be_finished(bed: Bed) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with node(bed, "a") as (a, _):
            for frame in numbered(100):
                a.send("a", frame)
            close = asyncio.create_task(a.close())
            await asyncio.sleep(0)
            close.cancel()
            await asyncio.wait([close])
            await a.close()
            with pytest.raises(TransportError, match="closed"):
                a.send("a", b"x")
        assert asyncio.all_tasks() - before == set()

    run(main())
