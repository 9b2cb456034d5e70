"""What a beacon may hold: no node sends more, and of one that holds more nothing is believed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.address import check_kind
from covey.framework.cluster.frame_limits import FRAME_ENVELOPES
from covey.framework.cluster.hello import WIRE_VERSION
from covey.framework.cluster.registry import MAX_REGISTERED
from covey.framework.errors import ConfigurationError

if TYPE_CHECKING:
    from covey.framework.proto.envelope_pb2 import Beacon, Hello, Registry

__all__ = ["MAX_HOSTS", "fault_of"]

MAX_HOSTS = 1024
"""Kinds that may be placed on one node."""


def fault_of(beacon: Beacon) -> str:
    """Why this is the beacon of no node, in words; empty for one that may be believed."""
    match beacon.WhichOneof("content"):
        case "hello":
            return _fault_of_hello(beacon.hello)
        case "registry":
            return _fault_of_registry(beacon.registry)
        case "schemas" if len(beacon.schemas.schemas) > FRAME_ENVELOPES:
            return f"tells of {len(beacon.schemas.schemas)} types: {FRAME_ENVELOPES} at most"
        case None:
            return "says nothing that is known here"
    return ""


def _fault_of_hello(hello: Hello) -> str:
    if hello.wire_version != WIRE_VERSION:
        return f"is of a node with version {hello.wire_version} of the wire: this one has {WIRE_VERSION}"
    if not hello.incarnation:
        return "has no incarnation"
    if len(hello.hosts) > MAX_HOSTS:
        return f"names {len(hello.hosts)} kinds: {MAX_HOSTS} at most"
    try:
        for kind in hello.hosts:
            check_kind(kind)
    except ConfigurationError as error:
        return f"names a kind that is none: {error}"
    return ""


def _fault_of_registry(part: Registry) -> str:
    if not part.incarnation or not part.version:
        return "has no incarnation, or no version"
    if not part.part < part.parts <= MAX_REGISTERED:
        return f"is part {part.part} of {part.parts}"
    return ""
