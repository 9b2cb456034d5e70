"""NATS subjects: what a node, an agent or a topic of a swarm is called on the wire.

    covey.<swarm>.node.<id>            frames for one node
    covey.<swarm>.beacon               frames for every node
    covey.<swarm>.agent.<kind>.<key>   requests for one agent, from any NATS client
    covey.<swarm>.topic.<topic>        what is published

Swarm names, node ids and keys are any text of 1 to 256 bytes of UTF-8 and travel as one escaped token.
A topic keeps its dots, because wildcards match between them. The longest subject stays well below the
4096 bytes that a server takes as one control line. All functions are pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from covey.framework.address import (
    MAX_KEY_BYTES,
    Address,
    check_key,
    check_kind,
    escape_token,
    unescape_token,
)
from covey.framework.errors import ConfigurationError

__all__ = [
    "ANY_BEACON",
    "MAX_TOPIC_BYTES",
    "Subject",
    "agent_subject",
    "beacon_subject",
    "node_subject",
    "parse_subject",
    "topic_pattern",
    "topic_subject",
]

MAX_TOPIC_BYTES = 512

_ROOT = "covey"
ANY_BEACON = f"{_ROOT}.*.beacon"
"""What to subscribe to for the beacons of every swarm."""
_WILDCARDS = ("*", ">")


class Subject(NamedTuple):
    """What a subject stands for."""

    swarm: str
    role: Literal["node", "beacon", "agent", "topic"]
    name: str
    """The node's id, nothing, the agent's address `kind/key`, or the topic."""


@lru_cache(maxsize=4096)
def node_subject(swarm: str, node_id: str) -> str:
    """Where one node of a swarm listens."""
    return f"{_ROOT}.{_token('swarm name', swarm)}.node.{_token('node id', node_id)}"


@lru_cache(maxsize=64)
def beacon_subject(swarm: str) -> str:
    """Where every node of a swarm listens."""
    return f"{_ROOT}.{_token('swarm name', swarm)}.beacon"


def agent_subject(swarm: str, address: Address) -> str:
    """Where one agent takes requests."""
    kind, key = check_kind(address.kind), escape_token(check_key(address.key))
    return f"{_ROOT}.{_token('swarm name', swarm)}.agent.{kind}.{key}"


def topic_subject(swarm: str, topic: str) -> str:
    """Where a message on a topic is published.

    Raises:
        ConfigurationError: the topic is empty, too long, has an empty part or a wildcard.
    """
    parts = _parts(topic)
    if any(part in _WILDCARDS for part in parts):
        raise ConfigurationError(
            f"cannot publish to {topic!r}: wildcards are for subscribing; name one topic, such as prices.tea"
        )
    return _topic(swarm, parts)


def topic_pattern(swarm: str, pattern: str) -> str:
    """What to subscribe to for a topic pattern: `*` stands for one part, a final `>` for one or more.

    Raises:
        ConfigurationError: as `topic_subject`, or `>` is not the last part.
    """
    parts = _parts(pattern)
    if ">" in parts[:-1]:
        raise ConfigurationError(f"{pattern!r} is no topic pattern: '>' is allowed only as the last part")
    return _topic(swarm, parts)


def parse_subject(subject: str) -> Subject:
    """The inverse of the functions above; a pattern's wildcards come back as they are.

    Raises:
        ConfigurationError: none of them made this subject.
    """
    match subject.split("."):
        case tokens if "" in tokens:
            pass
        case ["covey", swarm, "beacon"]:
            return Subject(unescape_token(swarm), "beacon", "")
        case ["covey", swarm, "node", node_id]:
            return Subject(unescape_token(swarm), "node", unescape_token(node_id))
        case ["covey", swarm, "agent", kind, key]:
            address = Address(check_kind(kind), check_key(unescape_token(key)))
            return Subject(unescape_token(swarm), "agent", str(address))
        case ["covey", swarm, "topic", _, *_] as tokens:
            parts = (part if part in _WILDCARDS else unescape_token(part) for part in tokens[3:])
            return Subject(unescape_token(swarm), "topic", ".".join(parts))
    raise ConfigurationError(
        f"{subject!r} is no subject of Covey: expected covey.<swarm>.node.<id>, covey.<swarm>.beacon, "
        "covey.<swarm>.agent.<kind>.<key> or covey.<swarm>.topic.<topic>"
    )


def _token(what: str, text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the {what} {text!r} is not valid unicode: it cannot be encoded as UTF-8"
        ) from error
    if not 1 <= size <= MAX_KEY_BYTES:
        raise ConfigurationError(
            f"the {what} {text[:40]!r} takes {size} bytes of UTF-8: 1 to {MAX_KEY_BYTES} are allowed"
        )
    return escape_token(text)


def _parts(topic: str) -> list[str]:
    try:
        size = len(topic.encode())
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the topic {topic!r} is not valid unicode: it cannot be encoded as UTF-8"
        ) from error
    parts = topic.split(".")
    if "" in parts:
        raise ConfigurationError(f"{topic!r} is no topic: write parts joined by dots, such as prices.tea")
    if size > MAX_TOPIC_BYTES:
        raise ConfigurationError(
            f"the topic {topic[:40]!r} takes {size} bytes of UTF-8: at most {MAX_TOPIC_BYTES} are allowed"
        )
    return parts


def _topic(swarm: str, parts: list[str]) -> str:
    tokens = ".".join(part if part in _WILDCARDS else escape_token(part) for part in parts)
    return f"{_ROOT}.{_token('swarm name', swarm)}.topic.{tokens}"
