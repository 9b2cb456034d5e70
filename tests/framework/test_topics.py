"""Topics and patterns, with the meaning that NATS gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import ConfigurationError
from covey.framework.cluster.topics import check_pattern, check_topic, matches

topics = st.lists(st.sampled_from(["a", "b", "ü"]), min_size=1, max_size=5).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "topic", "matching"),
    [
        ("prices.eu", "prices.eu", True),
        ("prices.eu", "prices.us", False),
        ("prices.*", "prices.eu", True),
        ("prices.*", "prices", False),
        ("prices.*", "prices.eu.tea", False),
        ("prices.>", "prices.eu.tea", True),
        ("prices.>", "prices", False),
        (">", "prices", True),
        ("*.eu.*", "prices.eu.tea", True),
        ("*.eu.*", "prices.us.tea", False),
        ("prices", "prices.eu", False),
    ],
)
def test_a_topic_falls_under_a_pattern_as_in_nats(pattern: str, topic: str, matching: bool) -> None:
    assert matches(pattern, topic) is matching


@given(topics, topics)
def test_a_plain_pattern_matches_itself_only(one: str, other: str) -> None:
    assert matches(one, other) == (one == other)


@given(topics)
def test_wildcards_match_by_length_and_prefix(topic: str) -> None:
    tokens = topic.split(".")
    assert matches(">", topic)
    assert matches(".".join("*" for _ in tokens), topic)
    assert not matches(".".join(["*"] * (len(tokens) + 1)), topic)
    assert not matches(f"{topic}.>", topic)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a b", "a.>.b", "x" * 257, 7])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no topic"):
        check_pattern(text)


@pytest.mark.parametrize("text", ["a.*", ">"])
def test_one_cannot_publish_on_a_wildcard(text: str) -> None:
    assert check_pattern(text) == text
    with pytest.raises(ConfigurationError, match="wildcard"):
        check_topic(text)
