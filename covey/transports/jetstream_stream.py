"""The stream that keeps a swarm's records: how it is made, and what one that exists must be like."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from covey.framework.cluster.store import Absent, Unavailable
from covey.framework.errors import ConfigurationError
from covey.transports.jetstream_link import ApiError, StoreLink, parsed
from covey.transports.subjects import cluster_pattern, stream_name

__all__ = ["STREAM_NOT_FOUND", "have_stream"]

logger = logging.getLogger("covey.nats")

STREAM_NOT_FOUND = 10059
_NAME_IN_USE, _SUBJECTS_OVERLAP = 10058, 10065
_NOT_ENABLED = (10039, 10076)
_NO_REPLICAS = (10005, 10074)
"""There are not enough servers, or this one is in no cluster."""
_REPLICAS = 3

_NEEDED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("allow_direct", bool, "true"),
    ("allow_msg_ttl", bool, "true (nats-server 2.11 or newer)"),
    ("retention", lambda value: value == "limits", "limits"),
    ("max_msgs_per_subject", lambda value: value == 1, "1: of each record only the last write counts"),
    ("max_age", lambda value: not value, "0: records do not age"),
    ("max_msgs", lambda value: (value or -1) < 0, "-1: no record may make room for another"),
    *(
        (option, lambda value: not value, "off: records go nowhere else, and come from nowhere else")
        for option in ("republish", "subject_transform", "sources", "mirror")
    ),
    ("max_bytes", lambda value: (value or -1) < 0, "-1: no record may make room for another"),
)


async def have_stream(link: StoreLink, swarm: str, timeout_s: float) -> int:
    """Make the stream of the swarm unless it is there; several may try at once. Returns its replicas.

    Raises:
        ConfigurationError: there is one that will not do, or another has its subjects; says what to change.
        Unavailable: JetStream does not answer within the time, or refuses for now.
    """
    name, pattern = stream_name(swarm), cluster_pattern(swarm)
    config = {
        "name": name,
        "description": "Records of a Covey swarm: leases and owners",
        "subjects": [pattern],
        "retention": "limits",
        "max_msgs_per_subject": 1,
        "discard": "old",
        "storage": "file",
        "allow_direct": True,
        "allow_atomic": True,  # not known to a 2.11, which does without: commits of several writes fail there
        "allow_msg_ttl": True,
        # Of a stream that is made again after its server lost it: no revision is used twice.
        "first_seq": time.time_ns() // 1000,
    }
    try:
        found = await _info(link, name, timeout_s) or await _create(link, config, timeout_s)
        # Another node was faster.
        found = found or await _info(link, name, timeout_s) or {}
    except ApiError as error:
        if error.code == _SUBJECTS_OVERLAP:
            raise ConfigurationError(
                f"another stream on {link.where} takes {pattern}, which are the records of swarm {swarm!r}: "
                "take these subjects from it, or give the swarm another name"
            ) from error
        if error.code in _NOT_ENABLED:
            raise Absent(
                f"{link.where} has no JetStream for this user ({error}), which keeps the records of a swarm: "
                "enable it for the account"
            ) from error
        raise Unavailable(f"{link.where} does not make the stream {name}: {error}") from error
    _check(name, pattern, found, link.where)
    return int(found.get("num_replicas", 1))


async def _info(link: StoreLink, name: str, timeout_s: float) -> dict[str, Any] | None:
    try:
        reply = parsed(await link.request(f"$JS.API.STREAM.INFO.{name}", timeout_s=timeout_s))
    except ApiError as error:
        if error.code == STREAM_NOT_FOUND:
            return None
        raise
    return dict(reply["config"])


async def _create(link: StoreLink, config: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
    """The configuration as the server has it; None when there is a stream of this name already."""
    subject = f"$JS.API.STREAM.CREATE.{config['name']}"
    for replicas in (_REPLICAS, 1) if link.info.get("cluster") else (1,):
        data = json.dumps({**config, "num_replicas": replicas}).encode()
        try:
            return dict(parsed(await link.request(subject, data, timeout_s=timeout_s))["config"])
        except ApiError as error:
            if error.code == _NAME_IN_USE:
                return None
            if error.code not in _NO_REPLICAS or replicas == 1:
                raise
            logger.warning(
                "the stream %s gets one replica and not %d, so that its records are lost with its server: %s",
                config["name"],
                _REPLICAS,
                error,
            )
    return None


def _check(name: str, pattern: str, config: dict[str, Any], where: str) -> None:
    wrong = [f"{option}={advice}" for option, is_good, advice in _NEEDED if not is_good(config.get(option))]
    if config.get("subjects", []) != [pattern]:
        wrong.append(f"subjects={pattern}")
    if wrong:
        raise ConfigurationError(
            f"the stream {name} on {where} cannot keep the records of a swarm: set {', '.join(wrong)}, "
            "or delete it while no node runs, and the next one makes it"
        )
