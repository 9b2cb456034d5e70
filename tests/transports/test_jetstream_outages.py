"""The JetStream store while its server is away, silent, or without what it had."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.js.errors
import pytest

from covey.framework.cluster.store import MISSING, Conflict, Fenced, Record, Unavailable, Write
from covey.transports import EmbeddedServer, JetStreamStore, NatsLogin
from covey.transports.subjects import (
    stream_name,
)
from tests.conformance.bed import free_port
from tests.conformance.nodes import run
from tests.conformance.stores import KeptServer, kept_server, started
from tests.transports.configured_server import configured_server


@pytest.fixture
def server() -> Iterator[KeptServer]:
    with kept_server() as server:
        yield server


def test_after_a_kill_of_the_server_the_watch_says_that_it_is_blind_and_then_tells_all_again(
    server: KeptServer,
) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url), "s") as (store, seen):
            first = await store.compare_and_set("a", b"1", MISSING)
            await store.compare_and_set("b", b"1", MISSING)
            await seen.until(lambda r: len(r.told) == 2)
            server.kill()
            await seen.until(lambda r: r.watching == [True, False])
            server.start()
            restarted_at = time.monotonic()
            await seen.until(lambda r: r.watching == [True, False, True])
            assert seen.watching_at[-1] - restarted_at < 5.0  # 0.05 s on a machine with nothing else to do
            assert sorted(told[0] for told in seen.told) == ["a", "a", "b", "b"]
            second = await store.compare_and_set("a", b"2", first)
            assert second > first  # revisions survive
            await seen.until(lambda r: r.records.get("a") == Record("a", b"2", second))

    run(main())


def test_what_was_deleted_while_the_watch_was_blind_is_told(server: KeptServer) -> None:
    async def main() -> None:
        async with (
            started(JetStreamStore(server.url), "s", "a") as (store, seen),
            started(JetStreamStore(server.url), "s", "b") as (other, at_other),
        ):
            revision = await store.compare_and_set("k", b"", MISSING)
            kept = await store.compare_and_set("kept", b"", MISSING)
            await seen.until(lambda r: len(r.told) == 2)
            await at_other.until(lambda r: r.is_watching)
            server.kill()
            await seen.until(lambda r: not r.is_watching)
            server.start()
            while True:  # one of them is back first
                try:
                    await other.delete("k", revision)
                    break
                except Unavailable:
                    await asyncio.sleep(0.005)
                except Conflict:  # an attempt whose answer was lost
                    break
            await seen.until(lambda r: r.is_watching and "k" not in r.records)
            assert seen.records["kept"].revision == kept

    run(main())


def test_a_record_whose_deletion_the_server_has_forgotten_is_told_as_gone_after_a_blind_time(
    server: KeptServer,
) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url), "s") as (store, seen):
            await store.compare_and_set("k", b"", MISSING)
            await seen.until(lambda r: len(r.told) == 1 and r.is_watching)
            client = await nats.connect(server.url)
            await client.jetstream().purge_stream(stream_name("s"))
            await client.close()
            server.kill()
            server.start()
            await seen.until(lambda r: r.watching == [True, False, True])
            assert seen.records == {}
            assert await store.compare_and_set("k", b"", MISSING) > 0

    run(main())


def test_a_server_that_lost_its_records_gets_a_new_stream_whose_revisions_are_not_used_again() -> None:
    async def main() -> None:
        with EmbeddedServer(port=free_port()) as server:
            async with started(JetStreamStore(server.url), "s") as (store, seen):
                revisions = [await store.compare_and_set(f"k{n}", b"", MISSING) for n in range(10)]
                await seen.until(lambda r: len(r.told) == 10)
                await asyncio.to_thread(server.stop)
                server.start()
                await seen.until(lambda r: r.watching == [True, False, True])
                assert seen.records == {}
                with pytest.raises(Conflict):
                    await store.compare_and_set("k0", b"", revisions[0])
                with pytest.raises(Fenced):
                    await store.fenced_commit([Write("x", b"")], "k0", revisions[0])
                assert await store.compare_and_set("k0", b"", MISSING) > max(revisions)

    run(main())


def test_a_server_that_is_silent_makes_the_watch_blind_and_what_is_asked_unavailable(
    server: KeptServer,
) -> None:
    async def main() -> None:
        impatient = JetStreamStore(server.url, write_timeout_s=0.1, read_timeout_s=0.1)
        async with started(impatient, "s") as (store, seen):
            revision = await store.compare_and_set("k", b"1", MISSING)
            await seen.until(lambda r: len(r.told) == 1 and r.is_watching)
            server.pause()
            begun_at = time.monotonic()
            for doing in (
                store.compare_and_set("k", b"2", revision),
                store.compare_and_set("new", b"", MISSING),
                store.read("k"),
                store.delete("k", revision),
                store.fenced_commit([Write("x", b"")], "k", revision),
                store.fenced_commit([Write("x", b""), Write("y", b"")], "k", revision),
            ):
                with pytest.raises(Unavailable):
                    await doing
            assert time.monotonic() - begun_at < 3.0
            await seen.until(lambda r: r.watching == [True, False])
            server.go_on()
            await seen.until(lambda r: r.watching[-1] and len(r.watching) >= 3)

    run(main())


def test_while_the_server_is_away_everything_is_unavailable_at_once(server: KeptServer) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with started(JetStreamStore(server.url, write_timeout_s=30.0), "s") as (store, seen):
            await seen.until(lambda r: r.is_watching)
            server.pause()
            under_way = asyncio.gather(
                *(store.compare_and_set(f"k{n}", b"", MISSING) for n in range(10)), return_exceptions=True
            )
            await asyncio.sleep(0)
            server.kill()
            assert all(isinstance(outcome, Unavailable) for outcome in await under_way)
            for doing in (store.read("k"), store.compare_and_set("k", b"", MISSING)):
                with pytest.raises(Unavailable):
                    await doing
            begun_at = time.monotonic()
            await store.close()
            assert time.monotonic() - begun_at < 2.0  # it does not wait for the server
            assert asyncio.all_tasks() == before

    run(main())


def test_a_write_that_may_have_been_stored_is_refused_when_written_again(server: KeptServer) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url, write_timeout_s=0.1), "s") as (store, seen):
            revision = await store.compare_and_set("k", b"1", MISSING)
            server.pause()
            with pytest.raises(Unavailable):
                await store.compare_and_set("k", b"2", revision)
            server.go_on()  # now it stores what it has got
            await seen.until(lambda r: r.values("k")[-1:] == [b"2"])
            with pytest.raises(Conflict):
                await store.compare_and_set("k", b"2", revision)

    run(main())


def test_a_pause_of_this_process_does_not_make_the_watch_blind(server: KeptServer) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url), "s") as (store, seen):
            await seen.until(lambda r: r.is_watching)
            threading.Event().wait(1.2)  # its heartbeats wait in the socket meanwhile
            revision = await store.compare_and_set("k", b"", MISSING)
            await seen.until(lambda r: "k" in r.records)
            assert seen.records["k"].revision == revision
            assert seen.watching == [True]

    run(main())


def test_a_consumer_that_the_server_lost_is_made_again(server: KeptServer) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url), "s") as (store, seen):
            await store.compare_and_set("k", b"", MISSING)
            await seen.until(lambda r: r.is_watching and "k" in r.records)
            client = await nats.connect(server.url)
            js = client.jetstream()
            for info in await js.consumers_info(stream_name("s")):
                await js.delete_consumer(stream_name("s"), info.name)
            await client.close()
            await seen.until(lambda r: r.watching == [True, False, True])
            assert len(seen.values("k")) == 2

    run(main())


def test_a_login_that_is_refused_for_a_time_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        config = f"jetstream {{ store_dir: {json.dumps(str(tmp_path))} }}\n"
        config += "authorization: { users: [{ user: %s, password: p }] }\n"
        with configured_server(tmp_path, config % "n") as server:
            store = JetStreamStore(server.url(), login=NatsLogin(user="n", password="p"))
            async with started(store, "s") as (_, seen):
                revision = await store.compare_and_set("k", b"", MISSING)
                await seen.until(lambda r: r.is_watching)
                server.reload(config % "somebody_else")
                await seen.until(lambda r: not r.is_watching)
                with pytest.raises(Unavailable):
                    await store.compare_and_set("k", b"", revision)
                server.reload(config % "n")
                await seen.until(lambda r: r.watching == [True, False, True])
                assert await store.compare_and_set("k", b"", revision) > revision
                server.reload(config % "somebody_else")
                await seen.until(lambda r: not r.is_watching)
            assert asyncio.all_tasks() == before  # also while it tries

    run(main())
