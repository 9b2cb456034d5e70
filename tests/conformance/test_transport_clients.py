"""What every transport keeps of requests of clients that are no nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from covey.framework.transport import OutsideRequest
from tests.conformance.bed import Answer, Bed
from tests.conformance.nodes import node, run
from tests.conformance.recorder import Recorder


def echo(request: OutsideRequest) -> tuple[bytes, Mapping[str, str]]:
    return request.data[::-1], {}


def in_json(request: OutsideRequest) -> tuple[bytes, Mapping[str, str]]:
    return b"{}", {"Covey-Type": "shop.Quote", "Nats-Service-Error": "no: such, thing", "Odd": "ä 日"}


def test_a_request_reaches_a_node_that_serves_and_its_answer_comes_back(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a", recorder=Recorder(echo)) as (a, at_a):
            a.serve()
            await a.flush(5.0)
            assert await bed.request("shop", "pricer/eu-1", b"\x00\xff question") == Answer(
                b"noitseuq \xff\x00", {}
            )
            (request,) = at_a.requests
            assert (request.address, request.data) == ("pricer/eu-1", b"\x00\xff question")
            assert request.json_type is None
            assert at_a.frames == at_a.publications == at_a.problems == []

    run(main())


def test_a_request_in_json_names_its_type_and_headers_come_back(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a", recorder=Recorder(in_json)) as (a, at_a):
            a.serve()
            await a.flush(5.0)
            for name in ("Order", "shop.v1.Order"):
                answer = await bed.request("shop", "pricer/eu-1", b'{"sku": "tea"}', name)
                assert answer is not None
                assert answer.data == b"{}"
                assert dict(answer.headers) == in_json(at_a.requests[0])[1]
            assert [(r.address, r.json_type) for r in at_a.requests] == [
                ("pricer/eu-1", "Order"),
                ("pricer/eu-1", "shop.v1.Order"),
            ]

    run(main())


def test_requests_are_shared_between_the_nodes_that_serve_and_reach_one_each(bed: Bed) -> None:
    async def main() -> None:
        async with (
            node(bed, "a", recorder=Recorder(echo)) as (a, at_a),
            node(bed, "b", recorder=Recorder(echo)) as (b, at_b),
            node(bed, "c", recorder=Recorder(echo)) as (_, at_c),
        ):
            for transport in (a, b):
                transport.serve()
                transport.serve()  # once more is no more
                await transport.flush(5.0)
            questions = [b"%d" % number for number in range(60)]
            answers = await asyncio.gather(*(bed.request("shop", "echo/x", data) for data in questions))
            assert [answer and answer.data for answer in answers] == [data[::-1] for data in questions]
            assert Counter(r.data for r in (*at_a.requests, *at_b.requests)) == Counter(questions)
            assert at_a.requests
            assert at_b.requests
            assert at_c.requests == []  # it does not serve

    run(main())


def test_a_request_that_nobody_serves_is_known_at_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a", recorder=Recorder(echo)) as (a, at_a):
            assert await asyncio.wait_for(bed.request("shop", "echo/x", b"early"), 5.0) is None
            a.serve()
            await a.flush(5.0)
            assert await bed.request("shop", "echo/x", b"in time") == Answer(b"emit ni", {})
            await a.close()
            assert await asyncio.wait_for(bed.request("shop", "echo/x", b"late"), 5.0) is None
            assert [request.data for request in at_a.requests] == [b"in time"]

    run(main())


def test_requests_to_another_swarm_never_arrive(bed: Bed) -> None:
    async def main() -> None:
        async with (
            node(bed, "a", "one", recorder=Recorder(echo)) as (one, at_one),
            node(bed, "a", "two", recorder=Recorder(echo)) as (two, at_two),
        ):
            for transport in (one, two):
                transport.serve()
                await transport.flush(5.0)
            for number in range(10):
                assert await bed.request("one", "echo/x", b"%d" % number)
            assert (len(at_one.requests), at_two.requests) == (10, [])
            assert await bed.request("three", "echo/x", b"?") is None

    run(main())


@pytest.mark.parametrize("key", ["ä/ö.*>", "中文 键", "🦆" * 64, "a b\tc\n", "\x00", "%2F", "..", "x" * 256])
def test_odd_keys_and_swarms_arrive_as_they_were(bed: Bed, key: str) -> None:
    async def main() -> None:
        async with node(bed, "a", key, recorder=Recorder(echo)) as (a, at_a):
            a.serve()
            await a.flush(5.0)
            for json_type in (None, "Order"):
                assert await bed.request(key, f"echo/{key}", b"12", json_type) == Answer(b"21", {})
            assert [request.address for request in at_a.requests] == [f"echo/{key}"] * 2

    run(main())


def test_an_answer_may_come_later_and_in_another_order(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.serve()
            await a.flush(5.0)
            asked = [asyncio.create_task(bed.request("shop", "echo/x", b"%d" % n)) for n in range(5)]
            await at_a.until(lambda r: len(r.requests) == 5)
            for request in reversed(at_a.requests):
                assert request.respond is not None
                request.respond(*echo(request))
            answers = await asyncio.gather(*asked)
            assert [answer and answer.data for answer in answers] == [b"%d" % n for n in range(5)]

    run(main())


def test_an_answer_after_the_end_raises_nothing(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.serve()
            await a.flush(5.0)
            asked = asyncio.create_task(bed.request("shop", "echo/x", b"?"))
            await at_a.until(lambda r: r.requests)
            await a.close()
            respond = at_a.requests[0].respond
            assert respond is not None
            respond(b"too late", {})
            assert at_a.problems == []
            asked.cancel()
            await asyncio.wait([asked])

    run(main())
