"""Who is in the swarm: a pure view built from hello beacons, with time as an argument.

A node without a lease is taken for gone when it said goodbye, or after `GONE_AFTER_S` without a beacon.
Where there are leases they say who is gone, and beacons only what a node hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from covey.framework.cluster.placement import Member, Placement

__all__ = [
    "BEACON_S",
    "GONE_AFTER_S",
    "MAX_NODES",
    "NOBODY_LISTENS",
    "SAID_GOODBYE",
    "Change",
    "Membership",
    "NodeInfo",
]

BEACON_S = 0.25
GONE_AFTER_S = 2.0
"""Eight beacons: a node that is merely busy (a full garbage collection, a long import) is not gone."""

MAX_NODES = 1024
"""Members that one node keeps in view."""

SAID_GOODBYE = "it said goodbye"
"""Why a node left that was told to."""
NOBODY_LISTENS = "nobody listens for it any more, says the server"
"""Why a node left whose connection is gone."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says of itself in a beacon."""

    name: str
    incarnation: int
    hosts: frozenset[str] = frozenset()
    weight: int = 1
    pid: int = 0
    agents: int = 0
    registered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What an observation changed: names of nodes that joined, left (with the reason) or altered."""

    joined: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    altered: bool = False

    def __bool__(self) -> bool:
        return bool(self.joined or self.left or self.altered)


class Membership:
    """The members that this node sees, itself included; not thread-safe, owned by the loop thread."""

    def __init__(self, own: NodeInfo) -> None:
        self._members: dict[str, NodeInfo] = {own.name: own}
        self._seen: dict[str, float] = {}
        self._own = own

    def update_own(self, own: NodeInfo) -> Change:
        """What this node says of itself has changed."""
        altered = _placement_differs(self._members[own.name], own)
        self._own = self._members[own.name] = own
        return Change(altered=altered)

    def heard(self, peer: NodeInfo, now: float) -> Change:
        """A beacon of another node came in."""
        if peer.name == self._own.name:
            return Change()
        known = self._members.get(peer.name)
        self._members[peer.name] = peer
        self._seen[peer.name] = now
        if known is None:
            return Change(joined=(peer.name,), altered=_matters(peer))
        if known.incarnation != peer.incarnation:
            return Change(joined=(peer.name,), left=((peer.name, "it restarted"),), altered=True)
        return Change(altered=_placement_differs(known, peer))

    def is_heard(self, name: str, now: float) -> None:
        """Something came from a node: it is alive, whatever its beacons wait behind."""
        if name in self._seen:
            self._seen[name] = now

    def goodbye(self, name: str, incarnation: int) -> Change:
        """A node said that it leaves."""
        known = self._members.get(name)
        if known is None or name == self._own.name or known.incarnation != incarnation:
            return Change()
        return self._remove([(name, SAID_GOODBYE)])

    def disconnected(self, name: str, why: str = NOBODY_LISTENS) -> Change:
        """A node's connection to the server is gone, and it has not come back; or its lease is over."""
        known = self._members.get(name)
        return Change() if known is None or name == self._own.name else self._remove([(name, why)])

    def expire(self, now: float, spared: Callable[[str], bool] = lambda _name: False) -> Change:
        """Remove those that were silent for `GONE_AFTER_S`, and that nothing else judges."""
        silent = [
            (name, f"no beacon for {now - seen:.1f} s")
            for name, seen in self._seen.items()
            if now - seen > GONE_AFTER_S and not spared(name)
        ]
        return self._remove(silent)

    def forgive(self, now: float) -> None:
        """Start all waits anew: this node was deaf itself (its link was down, or its loop held up)."""
        for name in self._seen:
            self._seen[name] = now

    def _remove(self, gone: list[tuple[str, str]]) -> Change:
        removed = [self._members.pop(name) for name, _ in gone if name in self._members]
        for name, _ in gone:
            self._seen.pop(name, None)
        return Change(left=tuple(gone), altered=any(map(_matters, removed)))

    @property
    def members(self) -> tuple[NodeInfo, ...]:
        """All members, by name."""
        return tuple(sorted(self._members.values(), key=lambda peer: peer.name))

    @property
    def count(self) -> int:
        """How many members there are, this node included."""
        return len(self._members)

    def get(self, name: str) -> NodeInfo | None:
        """A member by its name."""
        return self._members.get(name)

    def placement(self) -> Placement:
        """The view of the members that decides where agents live."""
        return Placement.of(Member(peer.name, peer.hosts, peer.weight) for peer in self._members.values())

    def registered(self) -> dict[str, str]:
        """Which other node each registered (supervised) address lives on."""
        others = (peer for peer in self._members.values() if peer.name != self._own.name)
        return {address: peer.name for peer in others for address in peer.registered}


def _matters(peer: NodeInfo) -> bool:
    """Whether agents live, or may be placed, on a node: who only looks on moves nobody."""
    return bool(peer.hosts or peer.registered)


def _placement_differs(one: NodeInfo, other: NodeInfo) -> bool:
    return (one.hosts, one.weight, one.registered) != (other.hosts, other.weight, other.registered)
