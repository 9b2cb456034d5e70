"""Frames to nobody come back to their sender by number, where the transport can tell."""

from __future__ import annotations

import pytest

from tests.conformance.bed import Bed
from tests.conformance.nodes import node, run


def test_frames_to_a_node_that_never_was_come_back_by_their_numbers(telling_bed: Bed) -> None:
    async def main() -> None:
        async with node(telling_bed, "a") as (a, at_a), node(telling_bed, "b") as (_, at_b):
            for number in range(1, 101):
                a.send("nobody", b"lost", number)
                a.send("b", b"found", number)
            await at_a.until(lambda r: len(r.undelivered) >= 100)
            await at_b.until(lambda r: len(r.frames) >= 100)
            assert at_a.undelivered == [("nobody", number) for number in range(1, 101)]
            assert (at_a.problems, at_a.links, at_a.frames) == ([], [], [])
            assert at_b.undelivered == []

    run(main())


@pytest.mark.parametrize("number", [0, 1, 2**32, 2**63])
def test_a_number_comes_back_as_it_was(telling_bed: Bed, number: int) -> None:
    async def main() -> None:
        async with node(telling_bed, "a") as (a, at_a):
            a.send("nobody", b"lost", number)
            await at_a.until(lambda r: r.undelivered)
            assert at_a.undelivered == [("nobody", number)]

    run(main())


@pytest.mark.parametrize("name", ["naïve café", "日本", "a.b.*.>", "%41", " ", "🦆" * 64])
def test_odd_names_come_back_as_they_were(telling_bed: Bed, name: str) -> None:
    async def main() -> None:
        async with node(telling_bed, f"{name[:50]}!", name) as (a, at_a):
            a.send(name, b"lost", 7)
            await at_a.until(lambda r: r.undelivered)
            assert at_a.undelivered == [(name, 7)]

    run(main())


def test_a_node_of_that_name_in_another_swarm_does_not_count(telling_bed: Bed) -> None:
    async def main() -> None:
        async with node(telling_bed, "a") as (a, at_a), node(telling_bed, "b", "other") as (_, elsewhere):
            a.send("b", b"lost", 1)
            await at_a.until(lambda r: r.undelivered)
            assert (at_a.undelivered, elsewhere.frames) == ([("b", 1)], [])

    run(main())


def test_a_frame_comes_back_to_its_sender_and_not_to_its_namesake_in_another_swarm(telling_bed: Bed) -> None:
    async def main() -> None:
        async with node(telling_bed, "a") as (a, at_a), node(telling_bed, "a", "other") as (b, at_b):
            for number in range(1, 20):
                a.send("nobody", b"lost", number)
            await at_a.until(lambda r: len(r.undelivered) == 19)
            b.send("nobody", b"lost", 99)
            await at_b.until(lambda r: r.undelivered)
            assert at_b.undelivered == [("nobody", 99)]
            assert len(at_a.undelivered) == 19
            assert at_a.problems == at_b.problems == []

    run(main())


def test_frames_come_back_once_a_node_has_left_and_arrive_once_it_is_there(telling_bed: Bed) -> None:
    async def main() -> None:
        async with node(telling_bed, "a") as (a, at_a):
            a.send("b", b"too early", 1)
            await at_a.until(lambda r: r.undelivered == [("b", 1)])
            async with node(telling_bed, "b") as (_, at_b):
                a.send("b", b"there", 2)
                await at_b.until(lambda r: r.frames)
            a.send("b", b"too late", 3)
            await at_a.until(lambda r: r.undelivered == [("b", 1), ("b", 3)])
            assert at_b.frames == [b"there"]

    run(main())
