"""Odd subjects, reply subjects and headers: whatever they are, the receiver is told once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from covey.framework.address import Address
from covey.framework.cluster.topics import matches
from covey.framework.errors import ConfigurationError, UndecodableError
from covey.framework.transport import OutsideRequest
from covey.transports.nats_arrivals import SUBJECTS_KEPT, Arrivals, Listening
from covey.transports.subjects import (
    agent_subject,
    beacon_subject,
    json_subject,
    node_subject,
    parse_subject,
    topic_pattern,
)
from tests.fuzz.mutation import mutated

INPUTS = int(os.environ.get("COVEY_FUZZ_INPUTS", "200000")) // 5
SEED = int(os.environ.get("COVEY_FUZZ_SEED", "5"))

SUBJECTS = (
    "covey.shop.node.a.b",
    "covey.shop.node.a.%C3%BC%2F%2A",
    "covey.shop.beacon.b",
    "covey.shop.agent.near.eu%2F1",
    "covey.shop.json.near.eu.fuzz.Count",
    "covey.shop.json.near.eu.Count",
    "covey.shop.topic.prices.tea",
    "covey.shop.topic.prices.gr%C3%BCn%2F1",
    "_INBOX_a.undelivered.b.17",
    "_INBOX_a.undelivered.%C3%BC.18446744073709551615",
    "covey.shop.agent.near." + "k" * 256,
    "covey.shop.json.near.eu." + "x." * 1000 + "y",
)
HEADERS = (
    b"",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0\r\nCovey-Remaining-Ms: 1500\r\n\r\n",
    b"NATS/1.0\r\ncovey-remaining-ms:\t999999999 \r\n\r\n",
    b"NATS/1.0\r\nCovey-Remaining-Ms: -1\r\n\r\n",
    b"NATS/1.0\r\nCovey-Remaining-Ms: 99999999999999999999\r\n\r\n",
    b"NATS/1.0\r\n" + b"Covey-Remaining-Ms: 1\r\n" * 2000 + b"\r\n",
)


class Told:
    """A receiver that keeps what it is told, in words."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.requests: list[OutsideRequest] = []

    def on_frame(self, source: str, _frame: bytes) -> None:
        assert 1 <= len(source.encode()) <= 4096
        self.calls.append("frame")

    def on_beacon(self, source: str, _beacon: bytes) -> None:
        assert source.encode()
        self.calls.append("beacon")

    def on_publication(self, _pattern: str, _group: str, topic: str, _data: bytes) -> None:
        assert topic.encode()
        self.calls.append("publication")

    def on_request(self, request: OutsideRequest) -> None:
        Address.parse(request.address)
        assert 0 <= request.remaining_ms < 1e9
        self.requests.append(request)
        self.calls.append("request")

    def on_undelivered(self, node_id: str, number: int) -> None:
        assert node_id.encode()
        assert 0 <= number < 10**20
        self.calls.append("undelivered")

    def on_problem(self, error: Exception) -> None:
        assert isinstance(error, UndecodableError)
        self.calls.append("problem")


def listening(told: Told) -> tuple[Arrivals, tuple[Listening, ...]]:
    def answer(subject: str, _data: bytes, _headers: Mapping[str, str]) -> None:
        assert not subject.startswith(("covey.", "$"))

    arrivals = Arrivals("shop", "a", told, answer)  # type: ignore[arg-type]
    return arrivals, (*arrivals.of_a_node(), *arrivals.of_clients(), arrivals.of_topics("prices.>", ""))


def test_each_message_is_told_once_whatever_its_subject_is() -> None:
    random, told = Random(SEED), Told()
    arrivals, all_listening = listening(told)
    seeds = [subject.encode() for subject in SUBJECTS]
    for _ in range(INPUTS):
        told.calls.clear()
        subject = (
            mutated(random, random.choice(seeds), seeds) if random.random() < 0.9 else random.choice(seeds)
        )
        reply = random.choice((b"", b"_INBOX_x.1", b"covey.shop.node.a.b", b"$SYS.x", b"\xff\xfe", subject))
        headers = random.choice(HEADERS)
        if random.random() < 0.5:
            headers = mutated(random, headers, HEADERS)
        matching = [it for it in all_listening if matches(it.subject, subject.decode(errors="replace"))]
        for each in matching:  # as the server does
            each.deliver(subject, reply, b"data", headers)
        assert len(told.calls) == len(matching), (subject, told.calls)
    assert len(told.requests) > INPUTS / 20
    for request in told.requests:
        if request.respond is not None:
            request.respond(b"answer", {})
    assert len(arrivals._sources) <= SUBJECTS_KEPT
    assert len(arrivals._topics) <= SUBJECTS_KEPT


def test_only_the_server_says_that_nobody_listened() -> None:
    told = Told()
    _arrivals, all_listening = listening(told)
    inbox = next(each.deliver for each in all_listening if "undelivered" in each.subject)
    inbox(b"_INBOX_a.undelivered.b.17", b"", b"", b"NATS/1.0 503\r\n\r\n")
    inbox(b"_INBOX_a.undelivered.b.17", b"", b"", b"NATS/1.0\r\nStatus: 503\r\n\r\n")
    inbox(b"_INBOX_a.undelivered.b.17", b"", b"503", b"")
    inbox(b"_INBOX_a.undelivered.b." + b"9" * 4000, b"", b"", b"NATS/1.0 503\r\n\r\n")
    inbox("_INBOX_a.undelivered.b.\N{ARABIC-INDIC DIGIT ONE}".encode(), b"", b"", b"NATS/1.0 503\r\n\r\n")
    assert told.calls == ["undelivered", "problem", "problem", "problem", "problem"]


tokens = st.one_of(
    st.sampled_from(
        ("a", "x1", "*", ">", "%2E", "%2A", "%3E", "a%2Eb", "%C3%BC", "%C3", "%61", "%2f", "%", "ü")
    ),
    st.sampled_from(("k" * 256, "k" * 257, "%2F" * 256, "%00", "-_", "1")),
)
subjects = st.builds(
    lambda role, rest: ".".join(("covey", "shop", role, *rest)),
    st.sampled_from(("node", "beacon", "agent", "json", "topic", "Node")),
    st.lists(tokens, max_size=5),
)


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.text(max_size=80), st.sampled_from(SUBJECTS), subjects))
def test_a_subject_that_can_be_read_is_the_one_that_would_be_made(subject: str) -> None:
    try:
        swarm, role, name, detail = parse_subject(subject)
    except ConfigurationError:
        return
    match role:
        case "node":
            made = node_subject(swarm, name, detail)
        case "beacon":
            made = beacon_subject(swarm, detail)
        case "agent":
            made = agent_subject(swarm, Address.parse(name))
        case "json":
            made = json_subject(swarm, Address.parse(name), detail)
        case "topic":
            made = topic_pattern(swarm, name)
    assert made == subject
