from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework.address import Address
from covey.framework.errors import ConfigurationError
from covey.transports.subjects import (
    MAX_TOPIC_BYTES,
    Subject,
    agent_subject,
    agents_pattern,
    beacon_subject,
    beacons_pattern,
    json_pattern,
    json_subject,
    node_pattern,
    node_subject,
    parse_subject,
    topic_pattern,
    topic_subject,
)

MAX_SUBJECT_BYTES = 4096 - 64  # a server's control line, less the verb, the subscription id and the size

names = st.text(min_size=1, max_size=256).filter(lambda text: len(text.encode()) <= 256)
kinds = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", fullmatch=True)
types = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}(\.[A-Za-z_][A-Za-z0-9_]{0,20}){0,4}", fullmatch=True)
parts = st.text(st.characters(exclude_characters=".", codec="utf-8"), min_size=1, max_size=30)
topics = (
    st.lists(parts, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda topic: len(topic.encode()) <= MAX_TOPIC_BYTES and not {"*", ">"} & set(topic.split(".")))
)


def is_one_nats_subject(subject: str) -> bool:
    tokens = subject.split(".")
    return len(subject) <= MAX_SUBJECT_BYTES and all(
        re.fullmatch(r"[A-Za-z0-9_%-]+", token) for token in tokens
    )


@given(swarm=names, node_id=names, source=names)
def test_a_node_subject_is_safe_and_comes_back(swarm: str, node_id: str, source: str) -> None:
    subject = node_subject(swarm, node_id, source)
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "node", node_id, source)
    assert subject.rpartition(".")[0] == node_pattern(swarm, node_id).rpartition(".")[0]


@given(swarm=names, source=names)
def test_a_beacon_subject_is_safe_and_comes_back(swarm: str, source: str) -> None:
    subject = beacon_subject(swarm, source)
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "beacon", "", source)
    assert subject.rpartition(".")[0] == beacons_pattern(swarm).rpartition(".")[0]


@given(swarm=names, kind=kinds, key=names, message_type=types)
def test_a_json_subject_is_safe_and_comes_back(swarm: str, kind: str, key: str, message_type: str) -> None:
    subject = json_subject(swarm, Address(kind, key), message_type)
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "json", f"{kind}/{key}", message_type)


@pytest.mark.parametrize("message_type", ["", ".", "a..b", "a b", "a.*", ">", "1a", "ä", "t" * 513])
def test_what_is_no_message_type_has_no_json_subject(message_type: str) -> None:
    with pytest.raises(ConfigurationError, match="no message type"):
        json_subject("shop", Address("pricer", "eu"), message_type)


@given(swarm=names, kind=kinds, key=names)
def test_an_agent_subject_is_safe_and_comes_back(swarm: str, kind: str, key: str) -> None:
    subject = agent_subject(swarm, Address(kind, key))
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "agent", f"{kind}/{key}")


@given(swarm=names, topic=topics)
def test_a_topic_subject_is_safe_and_comes_back(swarm: str, topic: str) -> None:
    subject = topic_subject(swarm, topic)
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "topic", topic)


@given(first=st.tuples(names, names, names), second=st.tuples(names, names, names))
def test_different_nodes_have_different_subjects(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    assert (node_subject(*first) == node_subject(*second)) == (first == second)


@given(text=st.text(max_size=40) | st.from_regex(r"covey(\.[a-z%0-9A-F*>]{0,4}){1,5}", fullmatch=True))
def test_any_other_text_is_refused_or_comes_from_these_functions(text: str) -> None:
    try:
        swarm, role, name, detail = parse_subject(text)
    except ConfigurationError:
        return
    build = {
        "node": lambda: node_subject(swarm, name, detail),
        "beacon": lambda: beacon_subject(swarm, detail),
        "agent": lambda: agent_subject(swarm, Address.parse(name)),
        "json": lambda: json_subject(swarm, Address.parse(name), detail),
        "topic": lambda: topic_pattern(swarm, name),
    }
    assert build[role]() == text


def test_subjects_read_as_the_design_says() -> None:
    assert node_subject("shop", "n 1", "n.2") == "covey.shop.node.n%201.n%2E2"
    assert node_pattern("shop", "n 1") == "covey.shop.node.n%201.*"
    assert beacon_subject("shop", "n 1") == "covey.shop.beacon.n%201"
    assert beacons_pattern("shop") == "covey.shop.beacon.*"
    assert agents_pattern("shop") == "covey.shop.agent.*.*"
    assert json_pattern("shop") == "covey.shop.json.*.*.>"
    assert (
        json_subject("shop", Address("pricer", "eu"), "shop.Order") == "covey.shop.json.pricer.eu.shop.Order"
    )
    assert agent_subject("shop", Address("pricer", "eu.1")) == "covey.shop.agent.pricer.eu%2E1"
    assert topic_subject("shop", "prices.tea") == "covey.shop.topic.prices.tea"
    assert topic_pattern("shop", "prices.*") == "covey.shop.topic.prices.*"
    assert topic_pattern("shop", "prices.>") == "covey.shop.topic.prices.>"


@pytest.mark.parametrize("topic", ["", ".", "a..b", "a.", "t" * (MAX_TOPIC_BYTES + 1), "\ud800"])
def test_a_topic_that_cannot_travel_is_refused(topic: str) -> None:
    with pytest.raises(ConfigurationError, match="topic"):
        topic_subject("shop", topic)
    with pytest.raises(ConfigurationError, match="topic"):
        topic_pattern("shop", topic)


@pytest.mark.parametrize("topic", ["prices.*", ">", "*.tea"])
def test_publishing_to_a_wildcard_is_refused(topic: str) -> None:
    with pytest.raises(ConfigurationError, match="wildcards are for subscribing"):
        topic_subject("shop", topic)


def test_a_pattern_with_an_inner_rest_wildcard_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="last part"):
        topic_pattern("shop", "prices.>.tea")


@pytest.mark.parametrize(
    "subject",
    [
        "covey.shop.topic.a%2Eb",  # a word never holds a dot
        "covey.shop.topic.%2A",  # nor is it a wildcard
        "covey.shop.topic.%3E",
        "covey.shop.topic.>.a",
        "covey.shop.topic." + ".".join(["word"] * 200),
        "covey.shop.node." + "n" * 257 + ".b",
        "covey.shop.node.a." + "%C3%BC" * 129,
        "covey.shop.beacon." + "n" * 257,
        "covey." + "s" * 257 + ".beacon.n",
        "covey.shop.agent.pricer." + "k" * 257,
        "covey.shop.json.pricer.eu." + "x" * 513,
    ],
)
def test_a_subject_that_none_of_the_functions_makes_is_refused(subject: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_subject(subject)
