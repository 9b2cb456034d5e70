"""The addresses of supervised agents: those of this node, and those that other nodes told of.

A hello carries the version of its node's registry only; the list travels apart from it, in parts. Pure: it
knows of no transport and of no time. Owned by the loop thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from covey.framework.errors import ConfigurationError, UndecodableError
from covey.framework.proto.envelope_pb2 import Registry

__all__ = ["MAX_REGISTERED", "Registries", "check_size", "parts_of"]

MAX_REGISTERED = 100_000
"""Addresses that one node may supervise: 32 MB of text in the worst case, which every node keeps."""
PART_BYTES = 128 * 1024
PART_OVERHEAD_BYTES = 1024
STRANGERS_KEPT = 64
MAX_REGISTERED_IN_ALL = 1_000_000
"""Addresses of all other nodes together that one keeps."""


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

    __slots__ = ("addresses", "incarnation", "part_count", "parts", "pending", "size", "version")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.version = 0
        self.addresses: frozenset[str] = frozenset()
        self.pending = 0
        """The version whose parts come in."""
        self.part_count = 0
        """How many they are."""
        self.parts: dict[int, tuple[str, ...]] = {}
        self.size = 0
        """How many addresses are kept, those of parts included."""

    def drop_parts(self) -> None:
        """What has come of a version that is not complete is of no use."""
        self.pending, self.parts, self.size = 0, {}, len(self.addresses)


class Registries:
    """The registries of the other nodes, as far as they are complete.

    Of nodes that are not seen in the swarm, or not yet, a few are kept: a registry comes just before the
    first hello of its node, and one that is missing then is asked for.
    """

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

    def heard(self, part: Registry, is_seen: Callable[[str], bool] = lambda _node: True) -> bool:
        """A part came in; whether it completed a version that is new here.

        Args:
            is_seen: whether a node is in the swarm.

        Raises:
            UndecodableError: the addresses are more than are kept.
        """
        told = self._told.get(part.node)
        if told is None or told.incarnation != part.incarnation:
            self._told.pop(part.node, None)
            told = self._told[part.node] = _Told(part.incarnation)
            self._forget_strangers(is_seen)
        if part.version <= told.version or not part.part < part.parts <= MAX_REGISTERED:
            return False
        if part.version != told.pending or told.part_count != part.parts:
            told.drop_parts()
            told.pending, told.part_count = part.version, part.parts
        told.size += len(part.addresses) - len(told.parts.get(part.part, ()))
        told.parts[part.part] = tuple(part.addresses)
        in_all = sum(told.size for told in self._told.values())
        if told.size - len(told.addresses) > MAX_REGISTERED or in_all > MAX_REGISTERED_IN_ALL:
            told.drop_parts()
            told.version = part.version  # it is not asked for again
            raise UndecodableError(
                f"the registry of node {part.node} is not known here: {MAX_REGISTERED} addresses are kept "
                f"of one node, {MAX_REGISTERED_IN_ALL} of all"
            )
        if len(told.parts) < part.parts:
            return False
        told.addresses = frozenset(a for addresses in told.parts.values() for a in addresses)
        told.version = part.version
        told.drop_parts()
        return True

    def _forget_strangers(self, is_seen: Callable[[str], bool]) -> None:
        strangers = [node for node in self._told if not is_seen(node)]
        for node in strangers[:-STRANGERS_KEPT]:
            del self._told[node]

    def forget(self, node: str) -> None:
        """A node has left."""
        self._told.pop(node, None)
