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
    beacon_subject,
    node_subject,
    parse_subject,
    topic_pattern,
    topic_subject,
)

MAX_SUBJECT_BYTES = 4096 - 64  # a server's control line, less the verb, the subscription id and the size

names = st.text(min_size=1, max_size=256).filter(lambda text: len(text.encode()) <= 256)
kinds = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", fullmatch=True)
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


@given(swarm=names, node_id=names)
def test_a_node_subject_is_safe_and_comes_back(swarm: str, node_id: str) -> None:
    subject = node_subject(swarm, node_id)
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "node", node_id)


@given(swarm=names)
def test_a_beacon_subject_is_safe_and_comes_back(swarm: str) -> None:
    subject = beacon_subject(swarm)
    assert is_one_nats_subject(subject)
    assert parse_subject(subject) == Subject(swarm, "beacon", "")


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


@given(first=st.tuples(names, names), second=st.tuples(names, names))
def test_different_nodes_have_different_subjects(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert (node_subject(*first) == node_subject(*second)) == (first == second)


@given(text=st.text(max_size=40) | st.from_regex(r"covey(\.[a-z%0-9A-F*>]{0,4}){1,5}", fullmatch=True))
def test_any_other_text_is_refused_or_comes_from_these_functions(text: str) -> None:
    try:
        swarm, role, name = parse_subject(text)
    except ConfigurationError:
        return
    build = {
        "node": lambda: node_subject(swarm, name),
        "beacon": lambda: beacon_subject(swarm),
        "agent": lambda: agent_subject(swarm, Address.parse(name)),
        "topic": lambda: topic_pattern(swarm, name),
    }
    assert build[role]() == text


def test_subjects_read_as_the_design_says() -> None:
    assert node_subject("shop", "n 1") == "covey.shop.node.n%201"
    assert beacon_subject("shop") == "covey.shop.beacon"
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
