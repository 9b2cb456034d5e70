"""What comes in on the subjects of a node, told to its receiver."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple

from covey.framework.address import escape_token, unescape_token
from covey.framework.errors import ConfigurationError, UndecodableError
from covey.framework.transport import OutsideRequest, Receiver, Respond
from covey.transports.subjects import (
    agents_pattern,
    beacons_pattern,
    json_pattern,
    node_pattern,
    parse_subject,
    topic_pattern,
)

__all__ = ["SERVING_GROUP", "Arrivals", "Listening", "inbox_prefix"]

logger = logging.getLogger("covey.nats")

Deliver = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes subject, reply subject, data and headers."""
SendAnswer = Callable[[str, bytes, Mapping[str, str]], None]

SERVING_GROUP = "covey"
"""The queue group of the nodes that take requests of clients."""
SUBJECTS_KEPT = 4096
_REMAINING = re.compile(rb"\r\ncovey-remaining-ms:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_NUMBER = re.compile(rb"\d{1,20}")
_NO_RESPONDERS = b"NATS/1.0 503"
_NOT_ANSWERED = (b"covey.", b"$")
"""An answer to these would speak to nodes, or to the server, in this node's name."""


class Listening(NamedTuple):
    """One subscription of a node."""

    subject: str
    queue: str
    deliver: Deliver


def inbox_prefix(node_id: str) -> str:
    """Before the subjects that are a node's own, as `_INBOX_n1`."""
    return f"_INBOX_{escape_token(node_id)}"


class Arrivals:
    """Knows for each subject of a node what to tell its receiver. Lives on the loop thread."""

    def __init__(self, swarm: str, node_id: str, receiver: Receiver, answer: SendAnswer) -> None:
        self._swarm = swarm
        self._node_id = node_id
        self._receiver = receiver
        self._answer = answer
        # Its own: a node of this name in another swarm, or before it, has numbers of its own.
        self._inbox = f"{inbox_prefix(node_id)}.undelivered.{secrets.token_hex(4)}"
        self._sources: dict[bytes, str] = {}
        self._topics: dict[bytes, str] = {}

    def of_a_node(self) -> tuple[Listening, ...]:
        """What every node listens to."""
        return (
            Listening(node_pattern(self._swarm, self._node_id), "", self._frame),
            Listening(beacons_pattern(self._swarm), "", self._beacon),
            Listening(f"{self._inbox}.>", "", self._undelivered),
        )

    def undelivered_inbox(self, target: str) -> str:
        """Before the numbers of frames to a node: there the server says that nobody listened."""
        return f"{self._inbox}.{escape_token(target)}."

    def of_clients(self) -> tuple[Listening, ...]:
        """What a node that serves clients listens to besides."""
        return (
            Listening(agents_pattern(self._swarm), SERVING_GROUP, self._request),
            Listening(json_pattern(self._swarm), SERVING_GROUP, self._request),
        )

    def of_topics(self, pattern: str, group: str) -> Listening:
        """A subscription to topics."""

        def publication(subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
            topic = self._topics.get(subject) or self._remember(self._topics, subject, "name")
            if topic:
                self._receiver.on_publication(pattern, group, topic, data)

        return Listening(topic_pattern(self._swarm, pattern), group, publication)

    def _frame(self, subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
        source = self._sources.get(subject) or self._remember(self._sources, subject, "detail")
        if source:
            self._receiver.on_frame(source, data)

    def _beacon(self, subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
        source = self._sources.get(subject) or self._remember(self._sources, subject, "detail")
        if source:
            self._receiver.on_beacon(source, data)

    def _undelivered(self, subject: bytes, _reply: bytes, _data: bytes, headers: bytes) -> None:
        inbox, _, number = subject.rpartition(b".")
        target = self._sources.get(inbox) or self._remember_inbox(inbox)
        # Only the server may say so; the numbers are this node's own.
        if headers.startswith(_NO_RESPONDERS) and target and _NUMBER.fullmatch(number):
            self._receiver.on_undelivered(target, int(number))
        else:
            self._receiver.on_problem(
                UndecodableError(f"{subject.decode(errors='replace')!r} is for the server's word alone")
            )

    def _request(self, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            _swarm, role, address, detail = parse_subject(subject.decode())
        except (ConfigurationError, UnicodeDecodeError) as error:
            self._receiver.on_problem(UndecodableError(f"a request on a subject that is none: {error}"))
            return
        respond = None if not reply or reply.startswith(_NOT_ANSWERED) else self._respond(reply)
        json_type = detail if role == "json" else None
        remaining_ms = _remaining_ms(headers) if headers else 0
        self._receiver.on_request(OutsideRequest(address, data, json_type, respond, remaining_ms))

    def _respond(self, reply: bytes) -> Respond:
        answer, subject = self._answer, reply.decode(errors="replace")
        return lambda data, headers: answer(subject, data, headers)

    def _remember(self, names: dict[bytes, str], subject: bytes, field: str) -> str:
        try:
            name = str(getattr(parse_subject(subject.decode()), field))
        except (ConfigurationError, UnicodeDecodeError) as error:
            self._receiver.on_problem(UndecodableError(f"something came on a subject that is none: {error}"))
            return ""
        return _keep(names, subject, name)

    def _remember_inbox(self, inbox: bytes) -> str:
        try:
            return _keep(self._sources, inbox, unescape_token(inbox.decode().rpartition(".")[2]))
        except (ConfigurationError, UnicodeDecodeError):
            return ""


def _remaining_ms(headers: bytes) -> int:
    found = _REMAINING.search(headers)
    return int(found[1]) if found else 0


def _keep(names: dict[bytes, str], subject: bytes, name: str) -> str:
    if len(names) >= SUBJECTS_KEPT:
        names.clear()
    names[subject] = name
    return name
