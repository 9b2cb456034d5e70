"""What the nodes and clients of a swarm need a NATS server to grant them, subject by subject. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from covey.transports.nats_arrivals import SERVING_GROUP, inbox_prefix
from covey.transports.subjects import (
    agents_pattern,
    beacon_subject,
    beacons_pattern,
    cluster_pattern,
    json_pattern,
    node_pattern,
    sending_pattern,
    stream_name,
    topic_pattern,
)

__all__ = ["Grant", "answering_grants", "client_grants", "node_grants"]


class Grant(NamedTuple):
    """One thing that a user may do."""

    action: Literal["publish", "subscribe"]
    subject: str
    about: Literal["name", "swarm", "topics", "client"]
    """Whether the subject is in its own name, common to its swarm, one of topics, or a client's."""
    without: str
    """What does not work without it."""
    queue: str = ""
    """The only queue group in which it may subscribe; empty for any, or none."""

    @property
    def entry(self) -> str:
        """As it stands in a server's permissions."""
        return f"{self.subject} {self.queue}" if self.queue else self.subject

    def narrowed(self, token: str) -> str:
        """One subject of it, in which the token stands for each wildcard."""
        return ".".join(token if part in ("*", ">") else part for part in self.subject.split("."))


def node_grants(swarm: str, name: str) -> tuple[Grant, ...]:
    """What a node needs, `answering_grants` aside.

    Raises:
        ConfigurationError: the swarm or the node has a name that no subject can carry.
    """
    topics, records, stream = topic_pattern(swarm, ">"), cluster_pattern(swarm), stream_name(swarm)
    return (
        Grant("publish", sending_pattern(swarm, name), "name", "it sends nothing to other nodes"),
        Grant("publish", beacon_subject(swarm, name), "name", "no other node knows of it"),
        Grant("publish", topics, "topics", "its agents publish nothing"),
        Grant("subscribe", node_pattern(swarm, name), "name", "nothing comes from other nodes"),
        Grant("subscribe", beacons_pattern(swarm), "swarm", "it knows of no other node"),
        Grant("subscribe", topics, "topics", "its agents hear no topics"),
        # Only in the group, where each request goes to one node, not beside it, where one sees all.
        Grant("subscribe", agents_pattern(swarm), "swarm", "it takes no requests of clients", SERVING_GROUP),
        Grant("subscribe", json_pattern(swarm), "swarm", "it takes no requests in JSON", SERVING_GROUP),
        Grant("subscribe", _inbox(name), "name", "it does not hear at once that a node is gone"),
        # Leases, where the server has JetStream. Whoever may hold one may end those of others: that is how
        # the dead are replaced.
        Grant("publish", records, "swarm", "it holds no lease"),
        Grant("publish", f"$JS.API.STREAM.INFO.{stream}", "swarm", "it does not find the swarm's records"),
        Grant("publish", f"$JS.API.STREAM.CREATE.{stream}", "swarm", "it cannot make the stream of records"),
        Grant("publish", f"$JS.API.DIRECT.GET.{stream}.{records}", "swarm", "it reads no records"),
        Grant("publish", f"$JS.API.CONSUMER.CREATE.{stream}.*.{records}", "swarm", "it sees no leases"),
    )


def answering_grants(clients: Iterable[str]) -> tuple[Grant, ...]:
    """What a node needs to answer clients whose inboxes are their own.

    Not `allow_responses`: the server would remember the reply subject of each frame for minutes.
    """
    return tuple(
        Grant("publish", _inbox(name), "client", f"client {name} gets no answer from it") for name in clients
    )


def client_grants(swarm: str, name: str) -> tuple[Grant, ...]:
    """What a client that asks agents and uses topics needs; errors as `node_grants`."""
    topics = topic_pattern(swarm, ">")
    return (
        Grant("publish", agents_pattern(swarm), "swarm", "it asks no agents"),
        Grant("publish", json_pattern(swarm), "swarm", "it asks no agents in JSON"),
        Grant("publish", topics, "topics", "it publishes nothing"),
        Grant("subscribe", _inbox(name), "name", "no answers come to it"),
        Grant("subscribe", topics, "topics", "it hears no topics"),
    )


def _inbox(name: str) -> str:
    return f"{inbox_prefix(name)}.>"
