"""What every transport with a server keeps while the server is absent, lost and back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from covey.framework.errors import TransportError
from covey.framework.transport import Transport
from tests.conformance.bed import ServerBed
from tests.conformance.nodes import eventually, node, numbered, run
from tests.conformance.recorder import Publication, Recorder
from tests.conformance.test_transport_clients import echo


def test_starting_against_nothing_is_one_clear_error(server_bed: ServerBed) -> None:
    async def main() -> None:
        transport = server_bed.unreachable()
        with pytest.raises(TransportError, match=r"cannot connect to nats://127\.0\.0\.1:\d+: .*refused"):
            await transport.start("shop", "a", Recorder())
        await transport.close()

    run(main())


def test_a_restarted_server_is_found_again_and_what_was_sent_meanwhile_arrives(server_bed: ServerBed) -> None:
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


def test_what_waits_for_a_lost_server_is_bounded(server_bed: ServerBed) -> None:
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


def test_close_is_bounded_while_the_server_is_gone(server_bed: ServerBed) -> None:
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


def test_subscriptions_and_service_survive_a_restart_of_the_server(server_bed: ServerBed) -> None:
    async def main() -> None:
        async with (
            node(server_bed, "a", recorder=Recorder(echo)) as (a, at_a),
            node(server_bed, "b", recorder=Recorder(echo)) as (b, at_b),
        ):
            for transport in (a, b):
                transport.serve()
                for pattern, group in (("news.*", ""), ("news.*", "readers"), ("gone.before", "")):
                    transport.subscribe(pattern, group)
                transport.unsubscribe("gone.before")
                transport.subscribe("gone.meanwhile")
                await transport.flush(5.0)
            await restart(server_bed, (at_a, at_b), meanwhile=lambda: change(b))
            for transport in (a, b):
                await transport.flush(5.0)
            for topic in ("gone.before", "gone.meanwhile", "new.meanwhile"):
                a.publish(topic, b"?")
            for data in numbered(40):
                a.publish("news.tea", data)

            def read(recorder: Recorder, group: str = "") -> list[bytes]:
                return [p.data for p in recorder.publications if (p.pattern, p.group) == ("news.*", group)]

            for recorder in (at_a, at_b):
                await recorder.until(lambda r: len(read(r)) >= 40)
                assert read(recorder) == numbered(40)
            await eventually(lambda: len(read(at_a, "readers")) + len(read(at_b, "readers")) >= 40)
            assert Counter(read(at_a, "readers") + read(at_b, "readers")) == Counter(numbered(40))
            rest = [p for p in at_b.publications if p.pattern != "news.*"]
            assert rest == [Publication("new.meanwhile", "", "new.meanwhile", b"?")]
            for number in range(20):
                assert await server_bed.request("shop", "echo/x", b"%d" % number) is not None
            assert len(at_a.requests) + len(at_b.requests) == 20
            assert at_a.problems == at_b.problems == []

    def change(transport: Transport) -> None:
        transport.unsubscribe("gone.meanwhile")
        transport.subscribe("new.meanwhile")

    run(main())


def test_the_end_of_the_server_is_told_once_and_its_return_once_however_often(server_bed: ServerBed) -> None:
    async def main() -> None:
        async with node(server_bed, "a") as (a, at_a):
            for times in range(1, 4):
                await restart(server_bed, (at_a,))
                assert [up for up, _ in at_a.links] == [False, True] * times
                a.send("a", b"%d" % times)
                await at_a.until(lambda r, times=times: len(r.frames) == times)
            assert at_a.frames == [b"1", b"2", b"3"]
            assert all(detail for _, detail in at_a.links)

    run(main())


async def restart(
    bed: ServerBed, recorders: tuple[Recorder, ...], meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Returns once every node has seen the server go and come back."""
    before = [len(recorder.links) for recorder in recorders]
    await asyncio.to_thread(bed.stop_server)
    try:
        for recorder, links in zip(recorders, before, strict=True):
            await recorder.until(lambda r, links=links: len(r.links) == links + 1)
        meanwhile()
    finally:
        await asyncio.to_thread(bed.start_server)
    for recorder, links in zip(recorders, before, strict=True):
        await recorder.until(lambda r, links=links: len(r.links) == links + 2)
