"""The JetStream store where it differs from others: its server stops, lacks something, or denies it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nats
import nats.js.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.store import MISSING, Conflict, Fenced, Record, Unavailable, Write
from covey.framework.errors import ConfigurationError, PermissionDeniedError
from covey.transports import JetStreamStore, NatsLogin
from covey.transports.subjects import (
    Subject,
    cluster_pattern,
    cluster_subject,
    key_segments,
    parse_subject,
    record_key,
    stream_name,
)
from tests.conformance.bed import free_port
from tests.conformance.nodes import run
from tests.conformance.stores import KeptServer, WatchRecorder, kept_server, started
from tests.transports.configured_server import configured_server


@pytest.fixture
def server() -> Iterator[KeptServer]:
    with kept_server() as server:
        yield server


async def raw_stream(url: str, swarm: str, **config: object) -> None:
    """Make a stream as an administrator might."""
    client = await nats.connect(url)
    name = stream_name(swarm)
    good = {"name": name, "subjects": [cluster_pattern(swarm)], "max_msgs_per_subject": 1}
    good |= {"allow_direct": True, "allow_atomic": True, "allow_msg_ttl": True}
    name = str(config.get("name", name))
    reply = await client.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps({**good, **config}).encode())
    assert "error" not in json.loads(reply.data), reply.data
    await client.close()


def test_a_record_can_be_made_again_when_the_server_has_forgotten_its_deletion(server: KeptServer) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url), "s") as (store, seen):
            await store.delete("k", await store.compare_and_set("k", b"", MISSING))
            await seen.until(lambda r: len(r.told) == 2)
            client = await nats.connect(server.url)
            await client.jetstream().purge_stream(stream_name("s"))
            await client.close()
            revision = await store.compare_and_set("k", b"", MISSING)
            await seen.until(lambda r: "k" in r.records)
            with pytest.raises(Conflict):
                await store.compare_and_set("k", b"", MISSING)
            assert await store.read("k") == Record("k", b"", revision)

    run(main())


def test_without_jetstream_start_says_how_to_start_it() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        with kept_server("") as server:
            with pytest.raises(Unavailable, match="nats-server -js"):
                await JetStreamStore(server.url).start("s", "n1", WatchRecorder())
            assert asyncio.all_tasks() == before

    run(main())


def test_without_a_server_start_is_unavailable() -> None:
    async def main() -> None:
        url = f"nats://user:secret@127.0.0.1:{free_port()}"
        with pytest.raises(Unavailable, match="nats-server") as caught:
            await JetStreamStore(url).start("s", "n1", WatchRecorder())
        assert "secret" not in str(caught.value)

    run(main())


def test_nodes_that_start_at_once_make_one_stream(server: KeptServer) -> None:
    async def main() -> None:
        stores = [JetStreamStore(server.url) for _ in range(8)]
        seen = [WatchRecorder() for _ in stores]
        await asyncio.gather(*(store.start("s", f"n{n}", seen[n]) for n, store in enumerate(stores)))
        await stores[0].compare_and_set("k", b"", MISSING)
        for watched in seen:
            await watched.until(lambda r: r.is_watching and "k" in r.records)
        await asyncio.gather(*(store.close() for store in stores))

    run(main())


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        ({"allow_msg_ttl": False}, "allow_msg_ttl=true"),
        ({"allow_direct": False}, "allow_direct=true"),
        ({"republish": {"src": "covey.s.cluster.>", "dest": "elsewhere.>"}}, "republish=off"),
        ({"subjects": ["covey.s.cluster.>", "covey.s.node.n2.n3"]}, "subjects=covey.s.cluster.>"),
        ({"max_age": 60_000_000_000}, "max_age=0"),
        ({"max_msgs": 100}, "max_msgs=-1"),
        ({"subjects": ["covey.s.cluster.a"]}, "subjects=covey.s.cluster.>"),
        ({"name": "other"}, "take these subjects from it"),
    ],
)
def test_a_stream_that_will_not_do_is_refused_with_what_to_change(
    server: KeptServer, config: dict[str, object], advice: str
) -> None:
    async def main() -> None:
        await raw_stream(server.url, "s", **config)
        with pytest.raises(ConfigurationError) as caught:
            await JetStreamStore(server.url).start("s", "n1", WatchRecorder())
        assert advice in str(caught.value)

    run(main())


def test_a_stream_that_an_administrator_made_is_used_as_it_is(server: KeptServer) -> None:
    async def main() -> None:
        await raw_stream(server.url, "s", storage="memory", description="ours")
        async with started(JetStreamStore(server.url), "s") as (store, _):
            assert await store.compare_and_set("k", b"", MISSING) == 1

    run(main())


def test_three_servers_keep_three_replicas_and_many_commits_under_one_fence_all_succeed(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        routes = [f"127.0.0.1:{free_port()}" for _ in range(3)]
        peers = json.dumps([f"nats://{route}" for route in routes])
        with ExitStack() as stack:
            servers = []
            for number, route in enumerate(routes):
                directory = tmp_path / str(number)
                directory.mkdir()
                options = f"server_name: s{number}\njetstream {{ store_dir: {json.dumps(str(directory))} }}\n"
                options += f"cluster {{ name: c, listen: {json.dumps(route)}, routes: {peers} }}\n"
                servers.append(stack.enter_context(kept_server(options)))
            url = ",".join(server.url for server in servers)
            patient = [JetStreamStore(url, connect_timeout_s=20.0, write_timeout_s=10.0) for _ in range(2)]
            async with started(patient[0], "s", "a") as (a, at_a), started(patient[1], "s", "b") as (b, _):
                client = await nats.connect(servers[0].url)
                info = await client.jetstream().stream_info(stream_name("s"))
                await client.close()
                assert info.config.num_replicas == 3
                token = await a.compare_and_set("owner", b"", MISSING)
                commits = [a.fenced_commit([Write(f"k{n}", b"")], "owner", token) for n in range(50)]
                commits += [
                    a.fenced_commit([Write(f"l{n}", b""), Write(f"m{n}", b"")], "owner", token)
                    for n in range(5)
                ]
                assert len(set(await asyncio.gather(*commits))) == 55
                race = (store.compare_and_set("new", b"", MISSING) for store in (a, b))
                outcomes = await asyncio.gather(*race, return_exceptions=True)
                assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "int"]
                await a.delete("owner", token)
                with pytest.raises(Fenced):
                    await b.fenced_commit([Write("x", b""), Write("y", b"")], "owner", token)
                assert await b.compare_and_set("owner", b"", MISSING) > token
                await at_a.until(lambda r: "m4" in r.records)

    run(main())


names = st.text(min_size=1, max_size=256).filter(lambda text: len(text.encode()) <= 256)


@given(swarm=names, first=names, second=names)
def test_the_subject_of_a_record_is_safe_and_comes_back(swarm: str, first: str, second: str) -> None:
    key = record_key("lease", first, second)
    subject = cluster_subject(swarm, key)
    assert all(re.fullmatch(r"[A-Za-z0-9_%-]+", token) for token in subject.split("."))
    assert parse_subject(subject) == Subject(swarm, "cluster", key)
    assert key_segments(key) == ("lease", first, second)
    # The longest control line that it is part of: a read, with where the answer comes.
    assert len(f"HPUB $JS.API.DIRECT.GET.{stream_name(swarm)}.{subject} _INBOX_{first * 3}.store.") < 4000


@given(one=names, other=names)
def test_no_two_swarms_share_a_stream_and_a_server_takes_its_name(one: str, other: str) -> None:
    assert (stream_name(one) == stream_name(other)) == (one == other)
    assert re.fullmatch(r"COVEY_[A-Za-z0-9_%~-]{1,249}", stream_name(one))


def granted(swarm: str, node: str) -> tuple[list[str], list[str]]:
    """What a node may publish and subscribe to, for its store alone."""
    stream, pattern = stream_name(swarm), cluster_pattern(swarm)
    publish = [
        pattern,
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.*.{pattern}",
        f"$JS.API.DIRECT.GET.{stream}.{pattern}",
    ]
    return publish, [f"_INBOX_{node}.store.>"]


def permissions(publish: list[str], subscribe: list[str]) -> str:
    allowed = json.dumps({"publish": publish, "subscribe": subscribe})
    return f'authorization: {{ users: [{{ user: "n", password: "p", permissions: {allowed} }}] }}\n'


def test_these_subjects_are_all_that_it_needs(tmp_path: Path) -> None:
    async def main() -> None:
        config = f"jetstream {{ store_dir: {json.dumps(str(tmp_path))} }}\n"
        with configured_server(tmp_path, config + permissions(*granted("s", "n1"))) as server:
            store = JetStreamStore(server.url(), login=NatsLogin(user="n", password="p"))
            async with started(store, "s", "n1") as (_, seen):
                token = await store.compare_and_set("k", b"", MISSING)
                await store.fenced_commit([Write("a", b""), Write("b", b"")], "k", token)
                await store.delete("k", token)
                await store.compare_and_set("k", b"back", MISSING)
                assert await store.read("k") is not None
                await seen.until(lambda r: r.is_watching and r.values("k")[-1:] == [b"back"])

    run(main())


@pytest.mark.parametrize("missing", range(6))
def test_without_one_of_them_start_names_it(tmp_path: Path, missing: int) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        publish, subscribe = granted("s", "n1")
        lacking = [subject for number, subject in enumerate(publish) if number != missing]
        heard = subscribe if missing < len(publish) else ["nothing"]
        config = f"jetstream {{ store_dir: {json.dumps(str(tmp_path))} }}\n"
        with configured_server(tmp_path, config + permissions(lacking, heard)) as server:
            store = JetStreamStore(server.url(), login=NatsLogin(user="n", password="p"))
            with pytest.raises(PermissionDeniedError) as caught:
                await store.start("s", "n1", WatchRecorder())
            wanted = [*publish, *subscribe][missing].split(".*")[0].removesuffix(".>")
            assert caught.value.subject.startswith(wanted)
            assert asyncio.all_tasks() == before

    run(main())


def test_what_is_no_record_is_not_told(server: KeptServer) -> None:
    async def main() -> None:
        async with started(JetStreamStore(server.url), "s") as (store, seen):
            client = await nats.connect(server.url)
            for subject in ("covey.s.cluster.%zz", "covey.s.cluster.a!b"):
                await client.request(subject, b"", timeout=5.0)
            await client.close()
            await store.compare_and_set("k", b"", MISSING)
            await seen.until(lambda r: "k" in r.records)
            assert list(seen.records) == ["k"]
            assert seen.watching == [True]

    run(main())
