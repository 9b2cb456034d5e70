"""What `covey doctor` measures, on real servers: healthy ones, and each with one thing wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from covey import Agent, Swarm, handles, message, subscribes
from covey.framework.address import Address
from covey.framework.errors import ConfigurationError, TransportError
from covey.framework.proto.envelope_pb2 import Beacon, Hello
from covey.transports import EmbeddedServer, NatsLogin
from covey.transports.diagnosis import Finding, ServerFacts, Verdict, examine, findings_of
from covey.transports.diagnosis.connection import is_loopback
from covey.transports.grants import node_grants
from covey.transports.json_client import JsonClient
from covey.transports.nats_keys import UserKey, new_user_key
from covey.transports.server_auth import server_configuration
from covey.transports.subjects import beacon_subject, cluster_pattern, stream_name
from tests.conformance.swarms import until
from tests.transports.certificates import Authority
from tests.transports.configured_server import ConfiguredServer, configured_server
from tests.transports.stub_server import stub_server

OK, WARNING, FAILURE, SKIPPED = Verdict
GRANTS = node_grants("shop", "n1")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no node is to be heard, beacons need no waiting for."""
    monkeypatch.setattr("covey.transports.diagnosis.examination.LISTEN_S", 0.0)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def of(facts: ServerFacts, check: str) -> Finding:
    found = [finding for finding in findings_of(facts) if finding.check == check]
    assert len(found) == 1, found
    return found[0]


def verdicts(facts: ServerFacts, *without: str) -> dict[str, Verdict]:
    """Of the checks that are not well; latency depends on the machine."""
    left_out = ("latency", *without)
    return {
        finding.check: finding.verdict
        for finding in findings_of(facts)
        if finding.verdict is not OK and finding.check not in left_out
    }


# -- servers ---------------------------------------------------------------------------------------


def test_on_a_healthy_server_nothing_is_wrong_and_everything_is_measured(server: EmbeddedServer) -> None:
    facts = examine(server.url, "shop", name="n1")
    assert verdicts(facts) == {}
    assert (facts.version, facts.max_payload_bytes, facts.connection.is_loopback) == ("2.15.1", 1 << 20, True)
    assert {trial.outcome for trial in facts.trials} == {"granted"}
    assert (facts.round_trips.way, facts.round_trips.count) == ("requests", 100)
    assert 0 < facts.round_trips.p50_ms <= facts.round_trips.p99_ms
    assert facts.clock is not None
    assert abs(facts.clock.ahead_s) <= facts.clock.within_s + 0.001  # the same machine's clock
    assert (facts.jetstream.state, facts.nodes, facts.swarms) == ("on", (), ())
    assert facts.answers_anybody is True
    assert facts.tells_no_responders is True


@pytest.mark.usefixtures("hasty")
def test_without_a_name_one_is_made_up(server: EmbeddedServer) -> None:
    facts = examine(server.url, "shop")
    assert (facts.is_named, facts.name.startswith("doctor-")) == (False, True)
    assert of(facts, "permissions").seen == "all 14 that were tried are granted to a node of any name"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("config", "user", "state", "seen"),
    [
        ("", "", "off", "off: nodes hold no leases, and nothing is fenced"),
        (
            "jetstream { store_dir: STORE }\naccounts { A: { users: [{ user: a, password: x }] } }",
            "a:x",
            "off",
            "off (JetStream not enabled for account): nodes hold no leases, and nothing is fenced",
        ),
        (
            "jetstream { store_dir: STORE }\n"
            "accounts { A: { jetstream: { max_file: 10MB }, users: [{ user: a, password: x }] } }",
            "a:x",
            "on",
            "on: leases decide who is gone; streams 0, memory 0 bytes, files 0 bytes of 10 MiB",
        ),
    ],
    ids=["off", "off for the account", "limited"],
)
def test_jetstream_is_told_as_the_account_has_it(
    config: str, user: str, state: str, seen: str, tmp_path: Path
) -> None:
    with configured_server(tmp_path, config.replace("STORE", json.dumps(str(tmp_path / "js")))) as server:
        facts = examine(server.url(user), "shop")
    assert (facts.jetstream.state, of(facts, "JetStream").seen) == (state, seen)
    assert verdicts(facts) == ({"JetStream": WARNING} if state == "off" else {})
    if user:
        assert of(facts, "login").seen == "accepted: user a with a password, in the account A"


@pytest.mark.usefixtures("hasty")
def test_a_small_max_payload_is_warned_of(tmp_path: Path) -> None:
    with configured_server(tmp_path, "max_payload: 2048") as server:
        facts = examine(server.url(), "shop")
    assert verdicts(facts) == {"max_payload": WARNING, "JetStream": WARNING}
    assert of(facts, "max_payload").seen.startswith("2 KiB:")


@pytest.mark.usefixtures("hasty")
def test_a_server_without_headers_fails_and_what_takes_them_is_skipped(tmp_path: Path) -> None:
    with configured_server(tmp_path, "no_header_support: true") as server:
        facts = examine(server.url(), "shop", name="n1")
    found = verdicts(facts)
    assert (found["headers"], found["no responders"]) == (FAILURE, SKIPPED)
    assert facts.round_trips.way == "pings"
    assert {trial.grant.subject for trial in facts.trials if trial.outcome == "untried"} == {
        *("covey.shop.beacon.n1", "covey.shop.topic.>", "covey.shop.cluster.>"),
        *("$JS.API.STREAM.INFO.COVEY_shop", "$JS.API.STREAM.CREATE.COVEY_shop"),
        "$JS.API.DIRECT.GET.COVEY_shop.covey.shop.cluster.>",
        "$JS.API.CONSUMER.CREATE.COVEY_shop.*.covey.shop.cluster.>",
    }


def test_who_listens_to_everything_hides_that_nobody_listens(server: EmbeddedServer) -> None:
    async def main() -> ServerFacts:
        client = await nats.connect(server.url)
        await client.subscribe("covey.>")
        await client.flush()
        try:
            return await asyncio.to_thread(examine, server.url, "shop")
        finally:
            await client.close()

    facts = asyncio.run(main())
    assert verdicts(facts) == {"no responders": WARNING}


@pytest.mark.usefixtures("hasty")
def test_an_old_server_is_told_apart_and_is_not_made_to_deliver_what_tries_it() -> None:
    info = {"server_id": "OLD", "version": "2.9.25", "headers": True, "max_payload": 1 << 20}
    with stub_server(info) as url:
        facts = examine(url, "shop", name="n1")
    assert of(facts, "server").verdict is WARNING
    assert (facts.jetstream.state, facts.clock, facts.answers_anybody) == ("off", None, None)
    untried = [finding for finding in findings_of(facts) if "not tried: publish" in finding.seen]
    assert [finding.seen for finding in untried] == [
        "not tried: publish covey.shop.beacon.n1, publish covey.shop.topic.>, publish covey.shop.cluster.>, "
        "publish $JS.API.STREAM.INFO.COVEY_shop, publish $JS.API.STREAM.CREATE.COVEY_shop, "
        "publish $JS.API.DIRECT.GET.COVEY_shop.covey.shop.cluster.>, "
        "publish $JS.API.CONSUMER.CREATE.COVEY_shop.*.covey.shop.cluster.>; "
        "a server older than 2.11 would deliver what tries it"
    ]


@pytest.mark.parametrize("lines", [5, 20, 60])
def test_a_server_that_is_lost_meanwhile_is_an_error(lines: int) -> None:
    with (
        stub_server({"server_id": "X", "version": "2.15.1", "headers": True}, hang_up_after=lines) as url,
        pytest.raises(TransportError, match="see the server's log"),
    ):
        examine(url, "shop")


def test_without_a_server_or_with_a_wrong_password_nothing_is_examined(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="the connection was refused"):
        examine("nats://127.0.0.1:1", "shop")
    config = "authorization { user: ann, password: x }"
    with configured_server(tmp_path, config) as server:
        login = NatsLogin.checked({"user": "ann", "password": "hunter2"}, {})
        with pytest.raises(TransportError, match="the server refused our credentials") as raised:
            examine(server.url(), "shop", login=login)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("swarm", "options", "words"),
    [
        ("x" * 257, {}, "the swarm name"),
        ("shop", {"name": "x" * 257}, "the name"),
        ("shop", {"name": ""}, "the name"),
        ("shop", {"clients": [""]}, "the name"),
        ("shop", {"monitor": "file:///etc/passwd"}, "is no URL of a server's monitoring"),
        ("shop", {"login": NatsLogin.checked({"token": "x"}, {})}, "leave one of them out"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_connects(
    swarm: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        examine("nats://ann:x@127.0.0.1:1", swarm, **options)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("config", "userinfo", "login", "seen"),
    [
        ("user: ann, password: hunter2", "ann:hunter2", {}, "user ann with a password"),
        (
            "user: ann, password: hunter2",
            "",
            {"user": "ann", "password": "hunter2"},
            "user ann with a password",
        ),
        ("token: hunter2", "hunter2", {}, "a token"),
        ("token: hunter2", "", {"token": "hunter2"}, "a token"),
    ],
)
def test_the_way_to_log_in_is_told_and_no_secret(
    config: str, userinfo: str, login: dict[str, str], seen: str, tmp_path: Path
) -> None:
    with configured_server(tmp_path, f"authorization {{ {config} }}") as server:
        facts = examine(server.url(userinfo), "shop", login=NatsLogin.checked(login, {}))
    assert of(facts, "login").seen == f"accepted: {seen}"
    assert "hunter2" not in repr(facts)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *(("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True)),
        *(("10.0.0.5", False), ("fe80::1%eth0", False), ("nats.example", False), ("", False)),
    ],
)
def test_only_loopback_stays_on_the_machine(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local


@pytest.mark.usefixtures("hasty")
def test_tls_is_told_with_its_version_and_how_long_the_certificate_is_valid(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, ours = authority.issue("server", "IP:127.0.0.1"), authority.issue("us")
    config = (
        f'tls {{ cert_file: "{certificate.path}", key_file: "{certificate.key}", '
        f'ca_file: "{authority.path}", verify: true }}'
    )
    login = NatsLogin.checked({"tls_ca": authority.path, "tls_cert": ours.path, "tls_key": ours.key}, {})
    with configured_server(tmp_path, config) as server:
        facts = examine(server.url(), "shop", login=login)
    assert facts.connection.tls == "TLSv1.3"
    assert of(facts, "login").seen == "accepted: a certificate"
    found = of(facts, "encryption")  # the test's certificates live for two days
    assert (found.verdict, found.seen) == (
        WARNING,
        "TLSv1.3, the server's certificate is valid for 1 day more",
    )


# -- permissions -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def denying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfiguredServer]:
    """A user for each grant of a node, who lacks that one: u0, u1 and so on."""
    denials = [f'{grant.action}: {{ deny: ["{grant.entry}"] }}' for grant in GRANTS]
    users = [
        f"{{ user: u{number}, password: x, permissions: {{ {denial} }} }}"
        for number, denial in enumerate(denials)
    ]
    config = f"authorization {{ users: [{', '.join(users)}] }}"
    with configured_server(tmp_path_factory.mktemp("denying"), config) as server:
        yield server


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "number", range(len(GRANTS)), ids=[f"{grant.action}-{grant.subject}" for grant in GRANTS]
)
def test_the_one_subject_that_a_user_lacks_is_named(denying: ConfiguredServer, number: int) -> None:
    facts = examine(denying.url(f"u{number}:x"), "shop", name="n1")
    lacking = GRANTS[number]
    assert [trial.grant for trial in facts.trials if trial.outcome != "granted"] == [lacking]
    found = of(facts, "permissions")
    assert f"may not {lacking.action} {lacking.entry}:" in found.seen
    assert found.fix == f'let its user {lacking.action} "{lacking.entry}"'


@pytest.mark.usefixtures("hasty")
def test_what_a_node_needs_of_jetstream_is_tried_without_making_or_writing_anything(
    server: EmbeddedServer,
) -> None:
    swarm = "untouched"

    async def main() -> None:
        client = await nats.connect(server.url)
        streams = client.jetstream()
        try:
            before = [stream.config.name for stream in await streams.streams_info()]
            facts = await asyncio.to_thread(examine, server.url, swarm, name="n1")
            assert {trial.outcome for trial in facts.trials} == {"granted"}
            assert [stream.config.name for stream in await streams.streams_info()] == before
            await streams.add_stream(name=stream_name(swarm), subjects=[cluster_pattern(swarm)])
            await asyncio.to_thread(examine, server.url, swarm, name="n1")
            state = (await streams.stream_info(stream_name(swarm))).state
            assert (state.messages, state.last_seq, state.consumer_count) == (0, 0, 0)
            await streams.delete_stream(stream_name(swarm))
        finally:
            await client.close()

    asyncio.run(main())


class Keys:
    """The server of `covey auth init`, with its monitoring, and a key for each name."""

    def __init__(self, server: ConfiguredServer, directory: Path, keys: dict[str, UserKey]) -> None:
        self.url = server.url()
        ports = json.loads((directory / f"nats-server_{server.process.pid}.ports").read_text())
        self.monitor: str = ports["monitoring"][0]
        self._directory = directory
        for name, key in keys.items():
            self.seed(name).write_text(key.seed)

    def seed(self, name: str) -> Path:
        return self._directory / f"{name}.nk"

    def examine(self, key: str, **options: Any) -> ServerFacts:
        login = NatsLogin.checked({"nkey": self.seed(key)}, {})
        return examine(self.url, "shop", login=login, **options)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    made = {name: new_user_key() for name in ("n1", "n2", "web")}
    public = {name: key.public for name, key in made.items()}
    config = server_configuration(
        "shop", {name: public[name] for name in ("n1", "n2")}, {"web": public["web"]}
    )
    directory = tmp_path_factory.mktemp("keys")
    with configured_server(directory, f'http: "127.0.0.1:-1"\n{config}') as server:
        yield Keys(server, directory, made)


@pytest.mark.usefixtures("hasty")
def test_a_node_with_the_permissions_of_auth_init_has_all_that_it_needs(keys: Keys) -> None:
    facts = keys.examine("n1", name="n1", clients=["web"])
    assert verdicts(facts) == {"JetStream": SKIPPED}
    assert {trial.outcome for trial in facts.trials} == {"granted"}
    assert facts.round_trips.way == "requests"
    assert facts.clock is not None  # by traces: it may ask for nothing else that tells the time
    assert abs(facts.clock.ahead_s) <= facts.clock.within_s + 0.001


@pytest.mark.usefixtures("hasty")
def test_which_clients_a_node_may_answer_is_tried_only_for_those_that_are_named(keys: Keys) -> None:
    assert of(keys.examine("n1", name="n1"), "clients").verdict is SKIPPED
    found = of(keys.examine("n1", name="n1", clients=["web", "desk"]), "permissions")
    assert found.seen == "node n1 may not publish _INBOX_desk.>: client desk gets no answer from it"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("key", "name", "verdict", "words"),
    [
        ("web", "web", WARNING, "web is a client"),
        ("web", "n1", FAILURE, "this login is not that of n1"),
        ("n2", "n1", FAILURE, "this login is not that of n1"),
        ("n1", None, FAILURE, "a node that makes up its name"),
        ("web", None, FAILURE, "a node that makes up its name"),
    ],
)
def test_a_client_and_a_wrong_name_are_recognized(
    keys: Keys, key: str, name: str | None, verdict: Verdict, words: str
) -> None:
    found = of(keys.examine(key, name=name), "permissions")
    assert (found.verdict, words in found.seen) == (verdict, True)


def test_while_a_node_of_the_name_runs_only_the_monitoring_tells_its_user_the_time(keys: Keys) -> None:
    with Swarm.connect(keys.url, name="shop", node="n1", nkey=keys.seed("n1"), trace_ratio=0.0) as swarm:
        facts = keys.examine("n1", name="n1")
        assert facts.nodes is not None
        assert [node.name for node in facts.nodes] == ["n1"]
        assert (facts.clock, of(facts, "clock").verdict) == (None, SKIPPED)
        watched = keys.examine("n1", name="n1", monitor=keys.monitor)
        assert of(watched, "clock").verdict is OK
        assert watched.monitor is not None
        assert (watched.monitor.trouble, watched.monitor.connections) == ("", 2)
        assert swarm.dead_letters().counts == {}


@pytest.mark.usefixtures("hasty")
def test_the_monitoring_of_another_server_is_told_apart(keys: Keys, server: EmbeddedServer) -> None:
    facts = examine(server.url, "shop", monitor=keys.monitor)
    assert of(facts, "monitor").verdict is WARNING
    assert of(facts, "slow consumers").verdict is OK


# -- a swarm that runs -----------------------------------------------------------------------------


@message(name="diagnosis.Order")
class Order:
    sku: str


class Pricer(Agent):
    heard: list[str] = []

    @subscribes(">")
    def note(self, order: Order) -> None:
        self.heard.append(order.sku)

    @handles
    def quote(self, order: Order) -> Order:
        return order


def test_a_running_swarm_notices_nothing_and_every_client_is_answered(server: EmbeddedServer) -> None:
    def node(name: str) -> Swarm:
        return Swarm.connect(server.url, name="busy", node=name, hosts=[Pricer], trace_ratio=0.0)

    client, answered, is_over = JsonClient(server.url, "busy"), [], threading.Event()

    def ask_on() -> None:
        while not is_over.is_set():
            answered.append(client.ask(Address("pricer", "eu"), "Order", b'{"sku": "tea"}', 5.0).failure_code)

    with node("n1") as one, node("n2") as two:
        assert one.wait_for_nodes(2)
        for number in range(8):
            one.agent(Pricer, str(number)).ask(Order(sku="tea"), timeout=5).get()
        asking = threading.Thread(target=ask_on)
        asking.start()
        try:
            for name in ("n1", "n2", None):
                facts = examine(server.url, "busy", name=name)
                assert verdicts(facts) == {}
                assert facts.nodes is not None
                assert [node.name for node in facts.nodes] == ["n1", "n2"]
        finally:
            is_over.set()
            asking.join(10.0)
        one.publish("prices.tea", Order(sku="after"))
        until(lambda: "after" in Pricer.heard, what="the publication")
        assert set(Pricer.heard) == {"after"}
        assert (one.dead_letters().counts, two.dead_letters().counts) == ({}, {})
    assert len(answered) > 10
    assert set(answered) == {0}


def test_swarms_that_are_heard_are_named_where_the_one_looked_at_has_no_nodes(server: EmbeddedServer) -> None:
    with Swarm.connect(server.url, name="far away", node="n1", trace_ratio=0.0):
        facts = examine(server.url, "shop")
    assert of(facts, "nodes").seen == "none in swarm shop; heard are the swarms far away"


def test_two_processes_that_are_one_node_are_found_out(server: EmbeddedServer) -> None:
    async def speak(url: str) -> None:
        """As two nodes that both think that they are n1, each four times a second."""
        client = await nats.connect(url)
        try:
            while True:
                for pid in (7, 9):
                    hello = Hello(node="n1", incarnation=pid, pid=pid)
                    await client.publish(
                        beacon_subject("twins", "n1"), Beacon(hello=hello).SerializeToString()
                    )
                    await asyncio.sleep(0.125)
        finally:
            await client.close()

    async def main() -> ServerFacts:
        speaking = asyncio.create_task(speak(server.url))
        try:
            return await asyncio.to_thread(examine, server.url, "twins")
        finally:
            speaking.cancel()

    found = of(asyncio.run(main()), "nodes")
    assert (found.verdict, found.seen) == (FAILURE, "2 processes (pids 7, 9) are node n1")
