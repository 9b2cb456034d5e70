"""Which node an agent lives on: a pure function of the address and of the members of the swarm.

An address hashes onto one of 256 partitions (FNV-1a-32, the hash of the NATS server's own `partition()`).
A partition belongs to the member with the highest score for it among those that host the kind (rendezvous
hashing; Thaler and Ravishankar 1998, weighted as in Schindelhauer and Schomaker 2005). All nodes that see
the same members agree without talking, and a member that comes or goes moves only its own share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["PARTITIONS", "Member", "Placement", "fnv1a32", "mix", "partition_of"]

PARTITIONS = 256


@dataclass(frozen=True, slots=True)
class Member:
    """A node as placement sees it."""

    name: str
    hosts: frozenset[str] = frozenset()
    weight: int = 1


def fnv1a32(data: bytes) -> int:
    """FNV-1a, 32 bits (Fowler, Noll, Vo; RFC 9923)."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def partition_of(address: str, partitions: int = PARTITIONS) -> int:
    """The partition that an address hashes onto."""
    return fnv1a32(address.encode()) % partitions


@dataclass(frozen=True)
class Placement:
    """An immutable view of the members, with the owners that follow from it."""

    members: tuple[Member, ...] = ()
    _owners: dict[tuple[str, int], str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, members: Iterable[Member]) -> Placement:
        """A view of these members, in an order of its own."""
        return cls(tuple(sorted(members, key=lambda member: member.name)))

    def owner(self, kind: str, address: str) -> str | None:
        """Name of the node that the agent belongs to; None when no member hosts its kind."""
        slot = (kind, partition_of(address))
        owner = self._owners.get(slot)
        if owner is None:
            owner = self._decide(*slot)
            if owner is not None:  # else the kinds that anybody asks for would be kept
                self._owners[slot] = owner
        return owner

    def _decide(self, kind: str, partition: int) -> str | None:
        hosts = [member for member in self.members if kind in member.hosts and member.weight > 0]
        if not hosts:
            return None
        return max(hosts, key=lambda member: (_score(member, partition), member.name)).name

    @property
    def hosted(self) -> tuple[str, ...]:
        """All kinds that some member hosts."""
        return tuple(sorted({kind for member in self.members for kind in member.hosts}))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members."""
        return tuple(member.name for member in self.members)


def _score(member: Member, partition: int) -> float:
    raw = mix(fnv1a32(f"{member.name}#{partition}".encode()))
    share = (raw + 0.5) / 2**32
    return member.weight / -math.log(share)


def mix(value: int) -> int:
    """Murmur3's finalizer: FNV-1a alone leaves the last bytes in the low bits and shares get uneven."""
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return value ^ (value >> 16)
