"""What the server of `covey auth init` lets nodes and clients do: a real one, and plain NATS clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from covey.framework.address import Address, escape_token
from covey.transports.nats_arrivals import SERVING_GROUP, inbox_prefix
from covey.transports.nats_keys import UserKey, new_user_key
from covey.transports.server_auth import server_configuration
from covey.transports.subjects import (
    agent_subject,
    agents_pattern,
    beacon_subject,
    beacons_pattern,
    cluster_pattern,
    cluster_subject,
    json_pattern,
    json_subject,
    node_pattern,
    node_subject,
    record_key,
    stream_name,
    topic_pattern,
    topic_subject,
)
from tests.transports.configured_server import ConfiguredServer, configured_server

ODD = 'shop "1"}.>*\n#é'
N1, N2, C1 = "n 1.*", "n2/>$é\\", "c1"


class Swarm:
    """A server, and the keys of two nodes and a client."""

    def __init__(self, server: ConfiguredServer, name: str, keys: dict[str, UserKey]) -> None:
        self.name = name
        self._server = server
        self._keys = keys

    @asynccontextmanager
    async def user(self, name: str) -> AsyncIterator[User]:
        user = User()
        client = await nats.connect(
            self._server.url(),
            nkeys_seed_str=self._keys[name].seed,
            inbox_prefix=inbox_prefix(name),
            error_cb=user.note,
            allow_reconnect=False,
        )
        user.client = client
        try:
            yield user
        finally:
            await client.close()


class User:
    client: Client

    def __init__(self) -> None:
        self._errors: list[str] = []

    async def note(self, error: Exception) -> None:
        self._errors.append(str(error))

    async def may_publish(self, subject: str) -> bool:
        await self.client.publish(subject, b"x")
        return await self._nothing_said()

    async def may_subscribe(self, subject: str, queue: str = "") -> bool:
        await self.client.subscribe(subject, queue=queue)
        return await self._nothing_said()

    async def _nothing_said(self) -> bool:
        for _ in range(2):  # only what is held back at the first one lies before the second
            await self.client.flush()
        said, self._errors = self._errors, []
        assert all("permissions violation" in error for error in said)
        return not said


@pytest.fixture(scope="module", params=["shop", ODD])
def swarm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    keys = {name: new_user_key() for name in (N1, N2, C1)}
    public = {name: key.public for name, key in keys.items()}
    nodes, clients = {name: public[name] for name in (N1, N2)}, {C1: public[C1]}
    config = server_configuration(request.param, nodes, clients)
    with configured_server(tmp_path_factory.mktemp("server"), config) as server:
        yield Swarm(server, request.param, keys)


async def all_of(user: User, swarm: Swarm, name: str) -> dict[str, bool]:
    """What a user may do in the name of the node `name`, towards another."""
    shop = swarm.name
    other = N2 if name == N1 else N1
    return {
        "hear frames": await user.may_subscribe(node_pattern(shop, name)),
        "hear beacons": await user.may_subscribe(beacons_pattern(shop)),
        "hear topics": await user.may_subscribe(topic_pattern(shop, ">")),
        "hear prices in a group": await user.may_subscribe(topic_pattern(shop, "prices.*"), "g"),
        "serve": await user.may_subscribe(agents_pattern(shop), SERVING_GROUP),
        "serve json": await user.may_subscribe(json_pattern(shop), SERVING_GROUP),
        "hear its inbox": await user.may_subscribe(f"{inbox_prefix(name)}.>"),
        "send frames": await user.may_publish(node_subject(shop, other, name)),
        "send beacons": await user.may_publish(beacon_subject(shop, name)),
        "publish": await user.may_publish(topic_subject(shop, "prices.tea")),
        "answer clients": await user.may_publish(f"{inbox_prefix(C1)}.x.y"),
    }


def run(main: object) -> None:
    asyncio.run(asyncio.wait_for(main, 20.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [N1, N2])
def test_a_node_may_do_what_a_node_does(swarm: Swarm, name: str) -> None:
    async def main() -> None:
        async with swarm.user(name) as user:
            denied = [what for what, may in (await all_of(user, swarm, name)).items() if not may]
            assert denied == []

    run(main())


def test_a_node_may_do_nothing_in_the_name_of_another(swarm: Swarm) -> None:
    async def main() -> None:
        async with swarm.user(N2) as user:
            allowed = [what for what, may in (await all_of(user, swarm, N1)).items() if may]
            assert allowed == [
                *("hear beacons", "hear topics", "hear prices in a group", "serve", "serve json"),
                *("publish", "answer clients"),
            ]
            assert not await user.may_publish(node_subject(swarm.name, N2, N1))  # to itself

    run(main())


def test_a_node_sees_a_request_only_when_it_is_its_turn(swarm: Swarm) -> None:
    async def main() -> None:
        async with swarm.user(N1) as user:
            for pattern in (agents_pattern(swarm.name), json_pattern(swarm.name)):
                assert not await user.may_subscribe(pattern)
                assert not await user.may_subscribe(pattern, "own-group")
            assert not await user.may_subscribe(">")
            assert not await user.may_subscribe(f"{inbox_prefix(C1)}.>")
            assert not await user.may_subscribe("_INBOX.>")

    run(main())


def of_the_store(shop: str) -> list[str]:
    """On what a node publishes to hold its lease, and to see those of others."""
    stream, records, lease = stream_name(shop), cluster_pattern(shop), record_key("lease", N2)
    return [
        cluster_subject(shop, lease),
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.{cluster_subject(shop, lease)}",
        f"$JS.API.CONSUMER.CREATE.{stream}.any.{records}",
    ]


def beyond_the_store(shop: str) -> list[str]:
    """What else there is of JetStream: of the swarm's own stream, of another swarm's, and of all."""
    own, records, topics = stream_name(shop), cluster_pattern(shop), topic_pattern(shop, ">")
    other, others = stream_name("other"), cluster_pattern("other")
    changes = ("UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE", "PEER.REMOVE")
    calls = ("INFO", "CREATE", *changes, "LEADER.STEPDOWN")
    return [
        *(f"$JS.API.STREAM.{call}.{own}" for call in calls[2:]),
        *(f"$JS.API.STREAM.{call}.{other}" for call in calls),
        *("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.x"),
        *(f"$JS.API.DIRECT.GET.{own}", f"$JS.API.DIRECT.GET.{own}.{topics}"),
        *(f"$JS.API.DIRECT.GET.{other}", f"$JS.API.DIRECT.GET.{other}.{others}"),
        *(f"$JS.API.DIRECT.GET.{own}.{others}", f"$JS.API.DIRECT.GET.{other}.{records}"),
        *(f"$JS.API.CONSUMER.CREATE.{own}", f"$JS.API.CONSUMER.CREATE.{own}.any"),
        *(f"$JS.API.CONSUMER.CREATE.{own}.any.{topics}", f"$JS.API.CONSUMER.CREATE.{own}.any.>"),
        *(f"$JS.API.CONSUMER.CREATE.{other}", f"$JS.API.CONSUMER.CREATE.{other}.any"),
        *(f"$JS.API.CONSUMER.CREATE.{other}.any.{name}" for name in (records, others)),
        *(f"$JS.API.CONSUMER.{call}.{own}.any" for call in ("DURABLE.CREATE", "DELETE", "INFO", "MSG.NEXT")),
        *(f"$JS.API.CONSUMER.{call}.{own}" for call in ("NAMES", "LIST")),
        *(f"$JS.ACK.{own}.any.1.1.1.1.0", f"$JS.FC.{own}.any.x", "$KV.any.key"),
        cluster_subject("other", record_key("lease", N2)),
    ]


def test_of_jetstream_a_node_gets_at_the_stream_of_its_swarm_alone(swarm: Swarm) -> None:
    async def main() -> None:
        async with swarm.user(N1) as user:
            needed = of_the_store(swarm.name)
            assert [subject for subject in needed if not await user.may_publish(subject)] == []
            beyond = beyond_the_store(swarm.name)
            assert [subject for subject in beyond if await user.may_publish(subject)] == []

    run(main())


def test_a_client_gets_at_nothing_of_jetstream(swarm: Swarm) -> None:
    async def main() -> None:
        async with swarm.user(C1) as user:
            subjects = of_the_store(swarm.name) + beyond_the_store(swarm.name)
            assert [subject for subject in subjects if await user.may_publish(subject)] == []

    run(main())


def test_nobody_hears_the_store_or_gets_at_the_servers_own_subjects(swarm: Swarm) -> None:
    async def main() -> None:
        for name in (N1, C1):
            async with swarm.user(name) as user:
                assert not await user.may_publish("$SYS.REQ.SERVER.PING")
                assert not await user.may_subscribe("$SYS.>")
                assert not await user.may_subscribe("$JS.>")
                assert not await user.may_subscribe(cluster_pattern(swarm.name))

    run(main())


def test_a_client_may_ask_agents_and_use_topics_and_nothing_else(swarm: Swarm) -> None:
    shop, address = swarm.name, Address("pricer", "eu 1")

    async def main() -> None:
        async with swarm.user(C1) as user:
            assert await user.may_publish(agent_subject(shop, address))
            assert await user.may_publish(json_subject(shop, address, "shop.Order"))
            assert await user.may_publish(topic_subject(shop, "prices.tea"))
            assert await user.may_subscribe(topic_pattern(shop, "prices.*"))
            assert await user.may_subscribe(f"{inbox_prefix(C1)}.>")
            for node in (N1, N2):
                allowed = [what for what, may in (await all_of(user, swarm, node)).items() if may]
                assert allowed == ["hear topics", "hear prices in a group", "publish"]
            assert not await user.may_publish(beacon_subject(shop, C1))
            assert not await user.may_publish(node_subject(shop, N1, C1))
            assert not await user.may_publish(agent_subject("other", address))

    run(main())


def test_a_client_gets_its_answer_and_no_other_client_can_listen_to_it(swarm: Swarm) -> None:
    address = Address("pricer", "eu")

    async def answer(request: Msg) -> None:
        await request.respond(b"answer")

    async def main() -> None:
        async with swarm.user(N1) as node, swarm.user(C1) as client:
            await node.client.subscribe(agents_pattern(swarm.name), SERVING_GROUP, cb=answer)
            await node.client.flush()
            answered = await client.client.request(agent_subject(swarm.name, address), b"?", 5.0)
            assert answered.data == b"answer"

    run(main())


def test_who_has_no_key_or_another_gets_in_nowhere(swarm: Swarm) -> None:
    async def main() -> None:
        stranger = Swarm(swarm._server, swarm.name, {"x": new_user_key()})
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            async with stranger.user("x"):
                pass

    run(main())


def test_names_of_any_characters_end_no_string_and_no_comment() -> None:
    names = ['"', "\\", "\n}", "#", "${HOME}", "{{", "é\u2028", "*", ">", "a.b", " "]
    for name in names:
        text = server_configuration(name, {name: "UKEY"}, {f"{name}c": "UKEY2"})
        assert text.count("nkey:") == 2
        assert {line.strip()[:10] for line in text.splitlines()} <= {
            *(
                "# Written ",
                "# A node r",
                "# Nobody e",
                "# Of JetSt",
                "authorizat",
                "users: [",
                "{  # node ",
                "{  # clien",
            ),
            *("nkey: UKEY", "permission", "publish: [", "subscribe:", "}", "]"),
        }
        assert f'"_INBOX_{escape_token(name)}.>"' in text
