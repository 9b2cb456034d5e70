"""NATS subjects: what a node, an agent or a topic of a swarm is called on the wire.

    covey.<swarm>.node.<id>.<source>         frames for one node, from the node `source`
    covey.<swarm>.beacon.<source>            frames for every node
    covey.<swarm>.agent.<kind>.<key>         requests for one agent, from any NATS client
    covey.<swarm>.json.<kind>.<key>.<Type>   the same in JSON
    covey.<swarm>.topic.<topic>              what is published
    covey.<swarm>.cluster.<key>              the records of a swarm, kept in a stream of its own

The sender is part of the subject because a server's permissions know nothing else: a node that may publish
frames and beacons that end in its own id alone cannot speak in the name of another (decision 17).

Swarm names, node ids and keys are any text of 1 to 256 bytes of UTF-8 and travel as one escaped token.
A topic keeps its dots, because wildcards match between them; the key of a record is its escaped segments
joined by dots. The longest subject stays well below the
4096 bytes that a server takes as one control line. All functions are pure.
"""

from __future__ import annotations

import hashlib
import re
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
    "MAX_RECORD_KEY_CHARS",
    "MAX_TOPIC_BYTES",
    "Subject",
    "agent_subject",
    "agents_pattern",
    "beacon_subject",
    "beacons_pattern",
    "cluster_pattern",
    "cluster_subject",
    "json_pattern",
    "json_subject",
    "key_segments",
    "node_pattern",
    "node_subject",
    "parse_subject",
    "record_key",
    "sending_pattern",
    "stream_name",
    "topic_pattern",
    "topic_subject",
]

MAX_TOPIC_BYTES = 256
MAX_TYPE_CHARS = 512
MAX_RECORD_KEY_CHARS = 1600
"""Room for two names of any text, and a word or two."""

_ROOT = "covey"
ANY_BEACON = f"{_ROOT}.*.beacon.*"
"""What to subscribe to for the beacons of every swarm."""
_WILDCARDS = ("*", ">")
_LONGEST_STREAM_TOKEN = 200
"""A server takes 255 bytes as the name of a stream, which is also the name of a folder."""
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class Subject(NamedTuple):
    """What a subject stands for."""

    swarm: str
    role: Literal["node", "beacon", "agent", "json", "topic", "cluster"]
    name: str
    """The node's id, nothing, the agent's address `kind/key`, the topic, or the key of the record."""
    detail: str = ""
    """Who sends frames or beacons; the message type of a request in JSON."""


@lru_cache(maxsize=4096)
def node_subject(swarm: str, node_id: str, source: str) -> str:
    """Where a node listens for the frames of another."""
    return f"{_swarm(swarm)}.node.{_token('node id', node_id)}.{_token('node id', source)}"


def node_pattern(swarm: str, node_id: str) -> str:
    """Where a node listens for the frames of all others."""
    return f"{_swarm(swarm)}.node.{_token('node id', node_id)}.*"


def sending_pattern(swarm: str, source: str) -> str:
    """Where a node publishes its frames for all others."""
    return f"{_swarm(swarm)}.node.*.{_token('node id', source)}"


@lru_cache(maxsize=64)
def beacon_subject(swarm: str, source: str) -> str:
    """Where every node of a swarm hears one of them."""
    return f"{_swarm(swarm)}.beacon.{_token('node id', source)}"


def beacons_pattern(swarm: str) -> str:
    """Where every node of a swarm listens."""
    return f"{_swarm(swarm)}.beacon.*"


def agent_subject(swarm: str, address: Address) -> str:
    """Where one agent takes requests."""
    return f"{_swarm(swarm)}.agent.{_address(address)}"


def agents_pattern(swarm: str) -> str:
    """Where the nodes of a swarm listen for requests to agents."""
    return f"{_swarm(swarm)}.agent.*.*"


def json_subject(swarm: str, address: Address, message_type: str) -> str:
    """Where one agent takes messages of a type in JSON; the type is a protobuf name, or its last part.

    Raises:
        ConfigurationError: the type cannot be a protobuf name.
    """
    if not _is_type(message_type):
        raise ConfigurationError(
            f"{message_type[:80]!r} is no message type: write its protobuf name, such as shop.Order, or Order"
        )
    return f"{_swarm(swarm)}.json.{_address(address)}.{message_type}"


def json_pattern(swarm: str) -> str:
    """Where the nodes of a swarm listen for requests in JSON."""
    return f"{_swarm(swarm)}.json.*.*.>"


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


@lru_cache(maxsize=4096)
def cluster_subject(swarm: str, key: str) -> str:
    """Where a record of a swarm is written.

    Raises:
        ConfigurationError: the key was not made by `record_key`.
    """
    key_segments(key)
    return f"{_swarm(swarm)}.cluster.{key}"


def cluster_pattern(swarm: str) -> str:
    """All records of a swarm."""
    return f"{_swarm(swarm)}.cluster.>"


def record_key(*segments: str) -> str:
    """The key of a record from one or more names, each any text of 1 to 256 bytes of UTF-8.

    Raises:
        ConfigurationError: there is none, or one is not such a text, or all together are too long.
    """
    return _checked_key(".".join(_token("segment of a record's key", segment) for segment in segments))


def key_segments(key: str) -> tuple[str, ...]:
    """The inverse of `record_key`.

    Raises:
        ConfigurationError: it did not make this key.
    """
    tokens = _checked_key(key).split(".")
    return tuple(check_key(unescape_token(token), "each segment of a record's key") for token in tokens)


def stream_name(swarm: str) -> str:
    """The stream that keeps the records of a swarm; no two swarms share one."""
    token = _token("swarm name", swarm)
    if len(token) > _LONGEST_STREAM_TOKEN:
        token = f"~{hashlib.sha256(token.encode()).hexdigest()}"  # no escaped token has a ~
    return f"COVEY_{token}"


@lru_cache(maxsize=4096)
def parse_subject(subject: str) -> Subject:
    """The inverse of the functions above; a pattern's wildcards come back as they are.

    Raises:
        ConfigurationError: none of them made this subject.
    """
    match subject.split("."):
        case tokens if "" in tokens:
            pass
        case ["covey", swarm, "beacon", source]:
            return Subject(_name(swarm), "beacon", "", _name(source))
        case ["covey", swarm, "node", node_id, source]:
            return Subject(_name(swarm), "node", _name(node_id), _name(source))
        case ["covey", swarm, "agent", kind, key]:
            return Subject(_name(swarm), "agent", _parsed_address(kind, key))
        case ["covey", swarm, "json", kind, key, _, *_] as tokens if _is_type(".".join(tokens[5:])):
            return Subject(_name(swarm), "json", _parsed_address(kind, key), ".".join(tokens[5:]))
        case ["covey", swarm, "cluster", _, *_] as tokens:
            key = ".".join(tokens[3:])
            key_segments(key)
            return Subject(_name(swarm), "cluster", key)
        case ["covey", swarm, "topic", _, *_] as tokens:
            words = [part if part in _WILDCARDS else unescape_token(part) for part in tokens[3:]]
            parsed = Subject(_name(swarm), "topic", ".".join(words))
            # Else a word held a dot, or was a wildcard.
            if _escaped(_parts(parsed.name)) == tokens[3:] and ">" not in words[:-1]:
                return parsed
    raise ConfigurationError(
        f"{subject!r} is no subject of Covey: expected covey.<swarm>.node.<id>.<source>, "
        "covey.<swarm>.beacon.<source>, covey.<swarm>.agent.<kind>.<key>, "
        "covey.<swarm>.json.<kind>.<key>.<Type>, covey.<swarm>.topic.<topic> or covey.<swarm>.cluster.<key>"
    )


@lru_cache(maxsize=64)
def _swarm(swarm: str) -> str:
    return f"{_ROOT}.{_token('swarm name', swarm)}"


def _address(address: Address) -> str:
    return f"{check_kind(address.kind)}.{escape_token(check_key(address.key))}"


def _parsed_address(kind: str, key: str) -> str:
    return str(Address(check_kind(kind), _name(key)))


def _name(token: str) -> str:
    return check_key(unescape_token(token), "the name")


def _checked_key(key: str) -> str:
    if not 1 <= len(key) <= MAX_RECORD_KEY_CHARS:
        raise ConfigurationError(
            f"{key[:40]!r} is no key of a record: it has {len(key)} characters when escaped, "
            f"1 to {MAX_RECORD_KEY_CHARS} are allowed"
        )
    return key


def _is_type(text: str) -> bool:
    return len(text) <= MAX_TYPE_CHARS and _TYPE.fullmatch(text) is not None


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
    return f"{_swarm(swarm)}.topic.{'.'.join(_escaped(parts))}"


def _escaped(parts: list[str]) -> list[str]:
    return [part if part in _WILDCARDS else escape_token(part) for part in parts]
