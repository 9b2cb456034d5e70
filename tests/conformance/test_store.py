"""What every store keeps of `ClusterStore`: one suite, run with each of `stores.STORE_BEDS`."""

from __future__ import annotations

import asyncio

import pytest

from covey.framework.cluster.store import (
    MISSING,
    Conflict,
    Fenced,
    Record,
    Write,
)
from covey.framework.errors import ConfigurationError, PayloadTooLargeError
from tests.conformance.nodes import run
from tests.conformance.stores import StoreBed, started, store_bed_fixture, swarm_fixture

store_bed, swarm = store_bed_fixture, swarm_fixture


def test_a_record_is_read_as_it_was_written(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            assert await store.read("lease.n1") is None
            revision = await store.compare_and_set("lease.n1", b"\x00\r\n one", MISSING)
            assert revision > MISSING
            assert await store.read("lease.n1") == Record("lease.n1", b"\x00\r\n one", revision)
            assert await store.read("lease.n2") is None

    run(main())


def test_an_empty_value_is_a_record_too(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            revision = await store.compare_and_set("k", b"", MISSING)
            assert await store.read("k") == Record("k", b"", revision)

    run(main())


def test_revisions_grow_over_all_keys_and_are_never_used_again(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            seen = [await store.compare_and_set(f"k{number}", b"", MISSING) for number in range(5)]
            seen += [await store.compare_and_set(f"k{number}", b"", seen[number]) for number in range(5)]
            await store.delete("k0", seen[5])
            seen.append(await store.compare_and_set("k0", b"", MISSING))
            seen.append(await store.fenced_commit([Write("x", b""), Write("y", b"")], "k0", seen[-1]))
            assert seen == sorted(set(seen))

    run(main())


def test_a_write_at_any_other_revision_is_a_conflict_and_changes_nothing(
    store_bed: StoreBed, swarm: str
) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            with pytest.raises(Conflict):
                await store.compare_and_set("k", b"of no record", 7)
            first = await store.compare_and_set("k", b"first", MISSING)
            second = await store.compare_and_set("k", b"second", first)
            for stale in (MISSING, first, second + 1):
                with pytest.raises(Conflict) as caught:
                    await store.compare_and_set("k", b"stale", stale)
                assert (caught.value.key, caught.value.revision) == ("k", stale)
            assert await store.read("k") == Record("k", b"second", second)

    run(main())


def test_of_five_writers_at_one_revision_one_wins_each_time(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with (
            started(store_bed.store(), swarm, "a") as (a, _),
            started(store_bed.store(), swarm, "b") as (b, _),
            started(store_bed.store(), swarm, "c") as (c, _),
            started(store_bed.store(), swarm, "d") as (d, _),
            started(store_bed.store(), swarm, "e") as (e, _),
        ):
            revision = MISSING
            for turn in range(20):
                outcomes = await asyncio.gather(
                    *(
                        store.compare_and_set("owner", f"{turn} {number}".encode(), revision)
                        for number, store in enumerate((a, b, c, d, e))
                    ),
                    return_exceptions=True,
                )
                won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, int)]
                assert len(won) == 1
                assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4
                record = await a.read("owner")
                assert record is not None
                assert record.value == f"{turn} {won[0]}".encode()
                revision = record.revision

    run(main())


def test_hundreds_of_writes_may_be_under_way_at_once(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            writes = [store.compare_and_set(f"k.{number}", b"v", MISSING) for number in range(500)]
            assert len(set(await asyncio.gather(*writes))) == 500

    run(main())


def test_a_deleted_record_is_missing_and_can_be_made_again(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with (
            started(store_bed.store(), swarm, "a") as (a, at_a),
            started(store_bed.store(), swarm, "b") as (b, at_b),
        ):
            first = await a.compare_and_set("k", b"1", MISSING)
            await a.delete("k", first)
            assert await a.read("k") is None
            second = await b.compare_and_set("k", b"2", MISSING)
            assert second > first
            with pytest.raises(Conflict):
                await a.compare_and_set("k", b"3", MISSING)
            await a.delete("k", second)
            for seen in (at_a, at_b):
                await seen.until(lambda r: len(r.told) == 4)
                assert [told.value if isinstance(told, Record) else told[0] for told in seen.told] == [
                    b"1",
                    "k",
                    b"2",
                    "k",
                ]
            # Also by one that has seen the deletion, and by one that never saw the record.
            third = await a.compare_and_set("k", b"4", MISSING)
            await a.delete("k", third)
            async with started(store_bed.store(), swarm, "c") as (late, _):
                assert await late.compare_and_set("k", b"5", MISSING) > third

    run(main())


def test_the_revision_of_a_deletion_is_none_to_write_at(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, seen):
            await store.delete("k", await store.compare_and_set("k", b"", MISSING))
            await seen.until(lambda r: len(r.told) == 2)
            deleted_at = seen.told[-1][1]
            assert isinstance(deleted_at, int)
            with pytest.raises(Conflict):
                await store.compare_and_set("k", b"", deleted_at)
            with pytest.raises(Conflict):
                await store.delete("k", deleted_at)
            with pytest.raises(Fenced):
                await store.fenced_commit([Write("x", b"")], "k", deleted_at)

    run(main())


def test_only_the_revision_that_is_there_can_be_deleted(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            first = await store.compare_and_set("k", b"1", MISSING)
            second = await store.compare_and_set("k", b"2", first)
            for stale in (MISSING, first):
                with pytest.raises(Conflict):
                    await store.delete("k", stale)
            assert await store.read("k") == Record("k", b"2", second)
            await store.delete("none", MISSING)  # as it is

    run(main())


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_fenced_commit_writes_all_if_the_token_is_the_newest(
    store_bed: StoreBed, swarm: str, count: int
) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, seen):
            token = await store.compare_and_set("owner.7", b"n1", MISSING)
            writes = [Write(f"state.{number}", f"{number}".encode()) for number in range(count)]
            last = await store.fenced_commit(writes, "owner.7", token)
            again = await store.fenced_commit(writes, "owner.7", token)
            assert again > last > token
            assert await store.read(writes[-1].key) == Record(writes[-1].key, writes[-1].value, again)
            await seen.until(lambda r: all(key in r.records for key, _ in writes))

    run(main())


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_fenced_commit_with_a_stale_token_writes_nothing(
    store_bed: StoreBed, swarm: str, count: int
) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            stale = await store.compare_and_set("owner.7", b"n1", MISSING)
            token = await store.compare_and_set("owner.7", b"n2", stale)
            writes = [Write(f"state.{number}", b"zombie") for number in range(count)]
            for wrong in (stale, token + 1000, MISSING):
                with pytest.raises(Fenced) as caught:
                    await store.fenced_commit(writes, "owner.7", wrong)
                assert (caught.value.key, caught.value.token) == ("owner.7", wrong)
            with pytest.raises(Fenced):
                await store.fenced_commit(writes, "owner.8", token)
            for key, _ in writes:
                assert await store.read(key) is None

    run(main())


def test_a_fenced_commit_may_write_over_a_deletion_and_the_fence_itself(
    store_bed: StoreBed, swarm: str
) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            token = await store.compare_and_set("owner", b"n1", MISSING)
            await store.delete("k", await store.compare_and_set("k", b"", MISSING))
            last = await store.fenced_commit([Write("k", b"back"), Write("owner", b"n2")], "owner", token)
            assert await store.read("owner") == Record("owner", b"n2", last)
            record = await store.read("k")
            assert record is not None
            assert record.value == b"back"
            with pytest.raises(Fenced):
                await store.fenced_commit([Write("k", b"")], "owner", token)

    run(main())


def test_many_fenced_commits_at_once_all_succeed(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            token = await store.compare_and_set("owner", b"", MISSING)
            commits = [store.fenced_commit([Write(f"s.{n}", b"")], "owner", token) for n in range(100)]
            commits += [
                store.fenced_commit([Write(f"t.{n}", b""), Write(f"u.{n}", b"")], "owner", token)
                for n in range(5)
            ]
            assert len(set(await asyncio.gather(*commits))) == 105

    run(main())


def test_a_commit_of_nothing_or_of_too_much_is_refused(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            token = await store.compare_and_set("owner", b"", MISSING)
            for count in (0, 1001):
                with pytest.raises(ConfigurationError, match=str(count)):
                    await store.fenced_commit([Write(f"k.{n}", b"") for n in range(count)], "owner", token)

    run(main())


def test_a_value_that_is_too_large_is_refused_and_harms_nothing(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm) as (store, _):
            token = await store.compare_and_set("owner", b"", MISSING)
            large = bytes((1 << 20) + 1)
            with pytest.raises(PayloadTooLargeError):
                await store.compare_and_set("k", large, MISSING)
            with pytest.raises(PayloadTooLargeError):
                await store.fenced_commit(
                    [Write("a", b""), Write("b", b""), Write("c", large)], "owner", token
                )
            assert await store.read("a") is None
            assert await store.compare_and_set("owner", b"still here", token) > token

    run(main())


@pytest.mark.parametrize("key", ["", ".", "a.", "a b", "*", "a.>", "ü", "%zz", "a" * 1601])
def test_what_is_no_key_is_refused(store_bed: StoreBed, swarm: str, key: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), "of no key") as (store, _):
            token = await store.compare_and_set("owner", b"", MISSING) if not await store.read("owner") else 1
            with pytest.raises(ConfigurationError):
                await store.read(key)
            with pytest.raises(ConfigurationError):
                await store.compare_and_set(key, b"", MISSING)
            with pytest.raises(ConfigurationError):
                await store.fenced_commit([Write(key, b"")], "owner", token)

    run(main())
