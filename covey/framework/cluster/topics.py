"""Topics and patterns: `prices.eu.tea`, `prices.*`, `prices.>`, with the meaning that NATS gives them."""

from __future__ import annotations

import re
from functools import lru_cache

from covey.framework.errors import ConfigurationError

__all__ = ["check_group", "check_pattern", "check_topic", "matches"]

MAX_BYTES = 256
_GROUP = re.compile(r"[A-Za-z0-9_-]*")


def check_topic(topic: str) -> str:
    """Return the topic if one can publish on it, else raise."""
    check_pattern(topic)
    if any(token in ("*", ">") for token in topic.split(".")):
        raise ConfigurationError(f"the topic {topic!r} holds a wildcard: publish on a plain topic")
    return topic


def check_pattern(pattern: str) -> str:
    """Return the pattern if it is one: tokens joined by dots, `*` for one, `>` last for one or more."""
    tokens = pattern.split(".") if isinstance(pattern, str) else []
    bad = not tokens or any(not token or any(c.isspace() for c in token) for token in tokens)
    if bad or ">" in tokens[:-1] or len(pattern.encode()) > MAX_BYTES:
        raise ConfigurationError(
            f"{pattern!r} is no topic: write words joined by dots, such as prices.eu, prices.* or prices.>"
        )
    return pattern


def check_group(group: str) -> str:
    """Return the name of a queue group, or nothing, if it is one: a single word for NATS."""
    if not isinstance(group, str) or len(group) > MAX_BYTES or not _GROUP.fullmatch(group):
        raise ConfigurationError(
            f"group={group!r}: name a group by letters, digits, '_' and '-', such as workers"
        )
    return group


@lru_cache(maxsize=4096)
def matches(pattern: str, topic: str) -> bool:
    """Whether a topic falls under a pattern."""
    wanted, given = pattern.split("."), topic.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)
