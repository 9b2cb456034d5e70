"""The addresses of supervised agents: those of this node, and those that other nodes told of.

A hello carries the version of its node's registry only; the list travels apart from it, in parts. Pure: it
knows of no transport and of no time. Owned by the loop thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from covey.framework.errors import ConfigurationError
from covey.framework.proto.envelope_pb2 import Registry

__all__ = ["MAX_REGISTERED", "Registries", "check_size", "parts_of"]

MAX_REGISTERED = 100_000
"""Addresses that one node may supervise: 32 MB of text in the worst case, which every node keeps."""
PART_BYTES = 128 * 1024
PART_OVERHEAD_BYTES = 1024
NODES_KEPT = 1024


def check_size(count: int) -> None:
    """Refuse a registry that is too large for every node to keep.

    Raises:
        ConfigurationError: more than `MAX_REGISTERED` addresses.
    """
    if count > MAX_REGISTERED:
        raise ConfigurationError(
            f"{count} supervised agents on one node are too many ({MAX_REGISTERED} at most, because every "
            "node knows the address of each): let placement host them, or spawn them from supervised ones"
        )


def parts_of(
    node: str, incarnation: int, version: int, addresses: Iterable[str], limit_bytes: int
) -> Iterator[Registry]:
    """A registry in parts whose lists take at most `limit_bytes`; one empty part when it is empty."""
    limit = max(1, min(PART_BYTES, limit_bytes - PART_OVERHEAD_BYTES))
    parts: list[list[str]] = [[]]
    size = 0
    for address in sorted(addresses):
        cost = len(address.encode()) + 4  # with the field's tag and its length
        if parts[-1] and size + cost > limit:
            parts.append([])
            size = 0
        parts[-1].append(address)
        size += cost
    for number, part in enumerate(parts):
        yield Registry(
            node=node,
            incarnation=incarnation,
            version=version,
            part=number,
            parts=len(parts),
            addresses=part,
        )


class _Told:
    """What one node told of its registry."""

    __slots__ = ("addresses", "incarnation", "parts", "pending", "version")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.version = 0
        self.addresses: frozenset[str] = frozenset()
        self.pending = 0
        """The version whose parts come in."""
        self.parts: dict[int, tuple[str, ...] | None] = {}


class Registries:
    """The registries of the other nodes, as far as they are complete."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def addresses(self, node: str, incarnation: int) -> frozenset[str]:
        """The last complete list of a node; empty when it never told one."""
        told = self._told.get(node)
        return frozenset() if told is None or told.incarnation != incarnation else told.addresses

    def lacks(self, node: str, incarnation: int, version: int) -> bool:
        """Whether that version has to be asked for."""
        told = self._told.get(node)
        known = 0 if told is None or told.incarnation != incarnation else told.version
        return known != version

    def heard(self, part: Registry) -> bool:
        """A part came in; whether it completed a version that is new here."""
        told = self._told.get(part.node)
        if told is None or told.incarnation != part.incarnation:
            while len(self._told) >= NODES_KEPT:  # of nodes that never said hello; a lacking one is asked for
                self._told.pop(next(iter(self._told)))
            told = self._told[part.node] = _Told(part.incarnation)
        if part.version <= told.version or not part.part < part.parts <= MAX_REGISTERED:
            return False
        if part.version != told.pending or len(told.parts) != part.parts:
            told.pending, told.parts = part.version, dict.fromkeys(range(part.parts))
        told.parts[part.part] = tuple(part.addresses)
        if any(addresses is None for addresses in told.parts.values()):
            return False
        told.version, told.pending = part.version, 0
        told.addresses = frozenset(a for addresses in told.parts.values() for a in addresses or ())
        told.parts = {}
        return True

    def forget(self, node: str) -> None:
        """A node has left."""
        self._told.pop(node, None)
