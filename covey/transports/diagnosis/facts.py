"""What was measured on a NATS server: what the rules of `covey doctor` judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from covey.transports.grants import Grant

__all__ = [
    "Clock",
    "Connection",
    "HeardNode",
    "JetStream",
    "Monitor",
    "RoundTrips",
    "ServerFacts",
    "Trial",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How we are connected, and as whom."""

    address: str
    """`host:port`, as the socket has it."""
    is_loopback: bool
    tls: str = ""
    """Its version, as `TLSv1.3`; empty for plain text."""
    certificate_left_s: float | None = None
    """How long the server's certificate is still valid, by our clock."""
    login: str = ""
    """`an nkey`, say; never a secret; empty for none."""
    is_login_asked: bool = False
    """Whether the server lets nobody in without."""
    account: str = ""
    """Empty where the server does not say."""


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """To the server and back."""

    p50_ms: float
    p99_ms: float
    count: int
    way: Literal["requests", "pings"]
    """Requests go the way of messages; pings, where those are not possible, the first half of it."""

    @classmethod
    def of(cls, took_ms: Sequence[float], way: Literal["requests", "pings"]) -> Self:
        """Of one or more; below 100 the slowest stands for p99."""
        by_time, count = sorted(took_ms), len(took_ms)
        return cls(by_time[(count - 1) // 2], by_time[math.ceil(count * 0.99) - 1], count, way)


@dataclass(frozen=True, slots=True)
class Trial:
    """A grant that was tried."""

    grant: Grant
    outcome: Literal["granted", "refused", "untried"]
    why_untried: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JetStream:
    """What the account may keep. Limits are None for none."""

    state: Literal["on", "off", "refused", "silent"]
    """`refused`: we may not ask. `silent`: nobody answered."""
    reason: str = ""
    """Why it is off, in the server's words."""
    memory_bytes: int = 0
    storage_bytes: int = 0
    max_memory_bytes: int | None = None
    max_storage_bytes: int | None = None
    streams: int = 0
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """The server's clock against ours."""

    ahead_s: float
    """Negative when it is behind."""
    within_s: float
    """How far off that may be: half of the time that asking took."""


@dataclass(frozen=True, slots=True)
class HeardNode:
    """A node whose beacons came."""

    name: str
    pids: tuple[int, ...]
    """More than one: as many processes speak in this name by turns."""
    agents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What the server's monitoring endpoint says."""

    url: str
    trouble: str = ""
    """Why it could not be read; then nothing else counts."""
    server_id: str = ""
    slow_consumers: int = 0
    """Clients that were cut off, since the server started, because they did not read what came."""
    connections: int = 0
    max_connections: int = 0
    subscriptions: int = 0
    max_pending_bytes: int = 0
    """As much may wait for a client before it is cut off."""
    most_pending_bytes: int = 0
    """Of what waits now for one client, the most; and for which."""
    most_pending_client: str = ""
    clock: Clock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """All that was found out, in the name of one node (or client) of one swarm."""

    swarm: str
    name: str
    is_named: bool
    """Whether the name was given, not made up."""
    version: str
    server_name: str
    server_id: str
    cluster: str
    connection: Connection
    max_payload_bytes: int
    has_headers: bool
    tells_no_responders: bool | None
    """Whether the server says that nobody listens; None where that could not be tried."""
    round_trips: RoundTrips
    trials: tuple[Trial, ...]
    answers_anybody: bool | None
    """Whether a node may answer clients whatever their inboxes; None where that could not be tried."""
    jetstream: JetStream
    clock: Clock | None
    nodes: tuple[HeardNode, ...] | None
    """None where we may not listen."""
    swarms: tuple[str, ...]
    """Those that are heard, this one included."""
    monitor: Monitor | None
    """None when no endpoint was given."""
