"""What every store tells those who watch it, and how it begins and ends; run with each of the beds."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from covey.framework.cluster.store import (
    MISSING,
    ClusterStore,
    Conflict,
    Record,
    StoreError,
    Unavailable,
    Write,
)
from covey.transports.subjects import key_segments, record_key
from tests.conformance.nodes import run
from tests.conformance.stores import StoreBed, WatchRecorder, started, store_bed_fixture, swarm_fixture

ODD_NAMES = ["a b", "a.b", "*", ">", "ü/ß 日本", "%20", "\n", "$JS.API.>", "~" * 256]


store_bed, swarm = store_bed_fixture, swarm_fixture


def test_a_watch_tells_what_is_there_then_that_it_watches_then_what_changes(
    store_bed: StoreBed, swarm: str
) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm, "a") as (a, at_a):
            await at_a.until(lambda r: r.is_watching)
            assert at_a.told == []  # also where there is nothing it says so
            first = await a.compare_and_set("k.1", b"1", MISSING)
            second = await a.compare_and_set("k.2", b"2", MISSING)
            async with started(store_bed.store(), swarm, "b") as (_b, at_b):
                await at_b.until(lambda r: r.is_watching)
                present = [Record("k.1", b"1", first), Record("k.2", b"2", second)]
                assert sorted(at_b.told) == present
                third = await a.compare_and_set("k.1", b"3", first)
                await at_b.until(lambda r: len(r.told) == 3)
                assert at_b.told[-1] == Record("k.1", b"3", third)
                assert (at_a.watching, at_b.watching) == ([True], [True])

    run(main())


def test_a_watch_tells_of_each_key_in_order(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with (
            started(store_bed.store(), swarm, "a") as (a, _),
            started(store_bed.store(), swarm, "b") as (_, at_b),
        ):
            revisions = {"x": MISSING, "y": MISSING}
            for number in range(100):
                for key in revisions:
                    revisions[key] = await a.compare_and_set(key, b"%d" % number, revisions[key])
            await at_b.until(lambda r: all(key in r.records for key in revisions))
            await at_b.until(lambda r: {r.records[key].value for key in revisions} == {b"99"})
            for key in revisions:
                numbers = [int(value) for value in at_b.values(key)]
                assert numbers == sorted(set(numbers))

    run(main())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_can_be_a_segment_of_a_key_and_of_a_swarm(store_bed: StoreBed, name: str) -> None:
    async def main() -> None:
        key = record_key("lease", name, name)
        assert key_segments(key) == ("lease", name, name)
        async with started(store_bed.store(), name, name) as (store, seen):
            revision = await store.compare_and_set(key, b"v", MISSING)
            assert await store.fenced_commit([Write(key, b"w"), Write("k", b"")], key, revision) > revision
            await seen.until(lambda r: key in r.records and r.records[key].value == b"w")
            record = await store.read(key)
            assert record is not None
            await store.delete(key, record.revision)
            await seen.until(lambda r: key not in r.records)

    run(main())


def test_two_swarms_never_see_each_others_records(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        names = (swarm, f"{swarm}.cluster", f"{swarm}.*")
        stores: list[ClusterStore] = []
        seen: list[WatchRecorder] = []
        try:
            for name in names:
                stores.append(store_bed.store())
                seen.append(WatchRecorder())
                await stores[-1].start(name, "n1", seen[-1])
            for number, store in enumerate(stores):
                assert await store.read("k") is None
                await store.compare_and_set("k", b"%d" % number, MISSING)
            for number, watched in enumerate(seen):
                await watched.until(lambda r: "k" in r.records)
                assert watched.values("k") == [b"%d" % number]
        finally:
            for store in stores:
                await store.close()

    run(main())


def test_a_store_is_used_once_and_says_so(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        store = store_bed.store()
        with pytest.raises(Unavailable, match="start"):
            await store.read("k")
        await store.start(swarm, "n1", WatchRecorder())
        with pytest.raises(StoreError, match="before"):
            await store.start(swarm, "n1", WatchRecorder())
        await store.close()
        await store.close()
        for doing in (store.read("k"), store.compare_and_set("k", b"", MISSING), store.delete("k", 1)):
            with pytest.raises(Unavailable, match="closed"):
                await doing
        with pytest.raises(StoreError, match="before"):
            await store.start(swarm, "n1", WatchRecorder())

    run(main())


def test_closing_one_that_never_started_is_fine(store_bed: StoreBed) -> None:
    run(store_bed.store().close())


def test_after_close_nothing_is_told_and_no_task_is_left(store_bed: StoreBed, swarm: str) -> None:
    async def main() -> None:
        async with started(store_bed.store(), swarm, "b") as (other, at_other):
            before = asyncio.all_tasks()
            store, seen = store_bed.store(), WatchRecorder()
            await store.start(swarm, "a", seen)
            await seen.until(lambda r: r.is_watching)
            writing = [store.compare_and_set(f"k.{n}", b"", MISSING) for n in range(50)]
            under_way = asyncio.gather(*writing, return_exceptions=True)
            await asyncio.sleep(0)
            await store.close()
            told = len(seen.told)
            outcomes = await under_way
            assert all(isinstance(outcome, int | Unavailable) for outcome in outcomes)
            await other.compare_and_set("after", b"", MISSING)
            await at_other.until(lambda r: "after" in r.records)
            assert len(seen.told) == told
            assert asyncio.all_tasks() <= before

    run(main())


def test_stores_of_one_swarm_may_live_on_loops_of_different_threads(store_bed: StoreBed, swarm: str) -> None:
    wrong: list[object] = []
    ready = threading.Barrier(3, timeout=10.0)

    def node(name: str) -> None:
        async def main() -> None:
            thread = threading.get_ident()

            class Watching(WatchRecorder):
                def on_record(self, record: Record) -> None:
                    if threading.get_ident() != thread:
                        wrong.append(record)
                    super().on_record(record)

            store, seen = store_bed.store(), Watching()
            await store.start(swarm, name, seen)
            await asyncio.to_thread(ready.wait)
            turns = itertools.count()
            while next(turns) < 50:
                record = await store.read("counter")
                value = 0 if record is None else int(record.value)
                try:
                    revision = MISSING if record is None else record.revision
                    await store.compare_and_set("counter", b"%d" % (value + 1), revision)
                except Conflict:
                    continue
            await store.compare_and_set(f"done.{name}", b"", MISSING)
            await seen.until(lambda r: all(f"done.{other}" in r.records for other in "abc"))
            counts = [int(value) for value in seen.values("counter")]
            if counts != sorted(set(counts)) or counts[-1] < 50:
                wrong.append(counts)
            await store.close()

        try:
            asyncio.run(main())
        except BaseException as error:
            wrong.append(error)
            ready.abort()

    threads = [threading.Thread(target=node, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert wrong == []
