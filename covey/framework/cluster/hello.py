"""What a node says of itself, to and from the wire."""

from __future__ import annotations

from covey.framework.cluster.membership import NodeInfo
from covey.framework.proto.envelope_pb2 import Hello

__all__ = ["pack_hello", "unpack_hello"]

WIRE_VERSION = 1


def pack_hello(own: NodeInfo, *, joining: bool = False, leaving: bool = False) -> Hello:
    """A hello of this node; its registered addresses travel apart from it."""
    return Hello(
        node=own.name,
        incarnation=own.incarnation,
        hosts=sorted(own.hosts),
        weight=own.weight,
        wire_version=WIRE_VERSION,
        joining=joining,
        leaving=leaving,
        agents=own.agents,
        pid=own.pid,
    )


def unpack_hello(hello: Hello, registered: frozenset[str]) -> NodeInfo:
    """What another node said, with the addresses that it told of before."""
    return NodeInfo(
        hello.node,
        hello.incarnation,
        frozenset(hello.hosts),
        hello.weight,
        hello.pid,
        hello.agents,
        registered,
    )
