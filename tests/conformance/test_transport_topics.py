"""What every transport keeps of topics."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from itertools import chain

import pytest

from covey.framework.errors import ConfigurationError
from tests.conformance.bed import Bed
from tests.conformance.nodes import eventually, node, numbered, run
from tests.conformance.recorder import Publication, Recorder

LAST = "the.last.one"
"""What is published on it comes after all else of the same publisher."""


def data_of(recorder: Recorder, pattern: str, group: str = "") -> list[bytes]:
    return [p.data for p in recorder.publications if (p.pattern, p.group) == (pattern, group)]


def test_a_publication_reaches_every_node_that_subscribes_its_publisher_included(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, at_b), node(bed, "c") as (c, at_c):
            for transport in (a, b):
                transport.subscribe("prices.tea")
            c.subscribe("prices.coffee")
            for transport in (a, b, c):
                await transport.flush(5.0)
            a.publish("prices.tea", b"3")
            a.publish("prices.coffee", b"4")
            for recorder in (at_a, at_b):
                await recorder.until(lambda r: r.publications)
                assert recorder.publications == [Publication("prices.tea", "", "prices.tea", b"3")]
            await at_c.until(lambda r: r.publications)
            assert at_c.publications == [Publication("prices.coffee", "", "prices.coffee", b"4")]
            assert at_a.frames == at_b.frames == at_b.beacons == []

    run(main())


def test_publications_of_one_node_arrive_in_order_and_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, _):
            a.subscribe("news.>")
            await a.flush(5.0)
            for number, data in enumerate(numbered(500)):
                b.publish(f"news.n{number % 7}", data)
            await at_a.until(lambda r: len(r.publications) >= 500)
            assert data_of(at_a, "news.>") == numbered(500)
            assert [p.topic for p in at_a.publications] == [f"news.n{n % 7}" for n in range(500)]

    run(main())


def test_patterns_mean_what_they_mean_in_nats_and_each_subscription_gets_its_own_copy(bed: Bed) -> None:
    wanted = {
        "prices": ["prices"],
        "prices.*": ["prices.eu", "prices.us"],
        "prices.>": ["prices.eu", "prices.us", "prices.eu.tea"],
        "*.eu.*": ["prices.eu.tea"],
        "prices.eu": ["prices.eu"],
        "*": ["prices", "other"],
        ">": ["prices", "prices.eu", "prices.us", "prices.eu.tea", "other", LAST],
        LAST: [LAST],
    }

    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, _):
            for pattern in wanted:
                a.subscribe(pattern)
            await a.flush(5.0)
            for topic in wanted[">"]:
                b.publish(topic, topic.encode())
            await at_a.until(lambda r: len(r.publications) >= sum(map(len, wanted.values())))
            for pattern, topics in wanted.items():
                assert [p.topic for p in at_a.publications if p.pattern == pattern] == topics
            assert all(p.data == p.topic.encode() for p in at_a.publications)

    run(main())


def test_subscribing_twice_is_subscribing_once(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            for pattern, group in (("news.*", ""), ("news.*", "workers"), (LAST, "")) * 2:
                a.subscribe(pattern, group)
            await a.flush(5.0)
            a.publish("news.tea", b"1")
            a.publish(LAST, b"")
            await at_a.until(lambda r: data_of(r, LAST))
            assert data_of(at_a, "news.*") == data_of(at_a, "news.*", "workers") == [b"1"]

    run(main())


def test_unsubscribing_ends_that_subscription_alone_and_it_can_begin_again(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, _):

            async def publish(data: bytes) -> None:
                await a.flush(5.0)
                ends = len(data_of(at_a, LAST))
                b.publish("news.tea", data)
                b.publish(LAST, b"")
                await at_a.until(lambda r: len(data_of(r, LAST)) > ends)

            for pattern in ("news.tea", "news.*", LAST):
                a.subscribe(pattern)
            await publish(b"1")
            a.unsubscribe("news.tea")
            a.unsubscribe("news.tea")
            a.unsubscribe("never.subscribed")
            await publish(b"2")
            a.subscribe("news.tea")
            await publish(b"3")
            assert data_of(at_a, "news.*") == [b"1", b"2", b"3"]
            assert data_of(at_a, "news.tea") == [b"1", b"3"]

    run(main())


def test_a_group_gets_each_publication_once_and_its_members_share_them(bed: Bed) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            names = ["a", "b", "c"]
            nodes = [await stack.enter_async_context(node(bed, name)) for name in names]
            for transport, _ in nodes:
                transport.subscribe("jobs.*", "workers")
                transport.subscribe("jobs.*")
            nodes[0][0].subscribe("jobs.*", "auditors")
            for transport, _ in nodes:
                await transport.flush(5.0)
            for data in numbered(300):
                nodes[0][0].publish("jobs.new", data)
            for _, recorder in nodes:
                await recorder.until(lambda r: len(data_of(r, "jobs.*")) >= 300)
                assert data_of(recorder, "jobs.*") == numbered(300)
            await nodes[0][1].until(lambda r: len(data_of(r, "jobs.*", "auditors")) >= 300)
            assert data_of(nodes[0][1], "jobs.*", "auditors") == numbered(300)

            def shares() -> list[list[bytes]]:
                return [data_of(recorder, "jobs.*", "workers") for _, recorder in nodes]

            await eventually(lambda: sum(map(len, shares())) >= 300)
            assert Counter(chain.from_iterable(shares())) == Counter(numbered(300))
            assert all(shares())
            for share in shares():  # of one publisher, in order
                assert [int(data) for data in share] == sorted(int(data) for data in share)

    run(main())


def test_one_group_is_one_group_whatever_the_patterns_of_its_members(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, at_b):
            a.subscribe("jobs.*", "workers")
            b.subscribe("jobs.>", "workers")
            for transport in (a, b):
                await transport.flush(5.0)
            for data in numbered(100):
                a.publish("jobs.new", data)
            await eventually(lambda: len(at_a.publications) + len(at_b.publications) >= 100)
            for transport in (a, b):
                await transport.flush(5.0)  # what would come twice would have come by now
            arrived = [p.data for p in (*at_a.publications, *at_b.publications)]
            assert Counter(arrived) == Counter(numbered(100))

    run(main())


def test_what_a_member_leaves_to_its_group_goes_to_the_others(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a):
            a.subscribe("jobs", "workers")
            for way in ("unsubscribes", "closes"):
                at_a.publications.clear()
                async with node(bed, "b") as (b, at_b):
                    b.subscribe("jobs", "workers")
                    for transport in (a, b):
                        await transport.flush(5.0)
                    if way == "closes":
                        await b.close()
                    else:
                        b.unsubscribe("jobs", "workers")
                        await b.flush(5.0)
                    for data in numbered(50):
                        a.publish("jobs", data)
                    await at_a.until(lambda r: len(r.publications) >= 50)
                    assert ([p.data for p in at_a.publications], at_b.publications) == (numbered(50), [])

    run(main())


def test_a_client_that_is_no_node_publishes_to_nodes_and_groups(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, at_b):
            for transport in (a, b):
                transport.subscribe("news.*")
                transport.subscribe("news.*", "readers")
                await transport.flush(5.0)
            for data in numbered(10):
                await bed.publish("shop", "news.tea", data)
            for recorder in (at_a, at_b):
                await recorder.until(lambda r: len(data_of(r, "news.*")) >= 10)
                assert data_of(recorder, "news.*") == numbered(10)
            await eventually(lambda: len(read(at_a)) + len(read(at_b)) >= 10)
            assert Counter(read(at_a) + read(at_b)) == Counter(numbered(10))

    def read(recorder: Recorder) -> list[bytes]:
        return data_of(recorder, "news.*", "readers")

    run(main())


def test_topics_of_another_swarm_are_never_heard(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a", "one") as (one, at_one), node(bed, "a", "two") as (two, at_two):
            for transport in (one, two):
                transport.subscribe(">")
                transport.subscribe("news", "readers")
                await transport.flush(5.0)
            one.publish("news", b"of one")
            await one.flush(5.0)
            await bed.publish("one", "news", b"of a client of one")
            two.publish("news", b"of two")
            await at_one.until(lambda r: len(r.publications) >= 4)
            await at_two.until(lambda r: len(r.publications) >= 2)
            assert {p.data for p in at_one.publications} == {b"of one", b"of a client of one"}
            assert {p.data for p in at_two.publications} == {b"of two"}

    run(main())


@pytest.mark.parametrize("word", ["größe", "日本", "a b", "%41", "\n", "*a", ">>", "🦆", "$SYS", "x" * 100])
def test_odd_words_in_topics_arrive_as_they_were_and_stay_apart(bed: Bed, word: str) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, at_a), node(bed, "b") as (b, _):
            for pattern in (f"news.{word}", f"news.{word}.*", f"{word}.>", LAST):
                a.subscribe(pattern)
            await a.flush(5.0)
            for topic in ("news.other", f"news.{word}", f"news.{word}.{word}", f"{word}.x", LAST):
                b.publish(topic, b"x")
            await at_a.until(lambda r: data_of(r, LAST))
            assert [(p.pattern, p.topic) for p in at_a.publications] == [
                (f"news.{word}", f"news.{word}"),
                (f"news.{word}.*", f"news.{word}.{word}"),
                (f"{word}.>", f"{word}.x"),
                (LAST, LAST),
            ]

    run(main())


def test_what_is_no_topic_and_no_pattern_is_refused(bed: Bed) -> None:
    async def main() -> None:
        async with node(bed, "a") as (a, _):
            for topic in ("", ".", "a.", ".a", "a..b", "\ud800", "x" * 1000, "a.*", ">"):
                with pytest.raises(ConfigurationError, match=r"topic"):
                    a.publish(topic, b"x")
            for pattern in ("", "a.", "a..b", "a.>.b", "\ud800", "x" * 1000):
                with pytest.raises(ConfigurationError, match=r"topic"):
                    a.subscribe(pattern)

    run(main())
