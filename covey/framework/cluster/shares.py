"""Which node is to own which partition: a pure function of the members and of the current owners.

- Every share is the floor or the ceiling of what the member's weight makes of all partitions.
- A partition stays where it is unless its owner is gone or has more than its share: no more move than must.
- The same arguments give the same answer on every node.

Who gets a partition that has no owner is decided by rendezvous hashing (Thaler and Ravishankar 1998) among
the members that lack some, so that what a dead node had is spread over all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from covey.framework.cluster.placement import fnv1a32, mix

__all__ = ["assign", "quotas"]


def assign(weights: Mapping[str, int], owners: Sequence[str | None]) -> list[str | None]:
    """The owner of each partition, given the current ones; None for all when there is no member.

    `weights` are those of the members that may own any, by name; those of 0 or less own none.
    """
    members = {name: weight for name, weight in sorted(weights.items()) if weight > 0}
    if not members:
        return [None] * len(owners)
    assigned: list[str | None] = [owner if owner in members else None for owner in owners]
    held = dict.fromkeys(members, 0)
    for owner in assigned:
        if owner is not None:
            held[owner] += 1
    room = quotas(members, held, len(owners))
    for name, count in held.items():
        room[name] -= count
    for partition, owner in enumerate(assigned):
        if owner is not None and room[owner] < 0:  # which of its partitions go is as good as any
            room[owner] += 1
            assigned[partition] = None
    short = {name for name, lacks in room.items() if lacks > 0}
    for partition, owner in enumerate(assigned):
        if owner is None:
            taker = max(short, key=lambda name: (_score(name, partition), name))
            assigned[partition] = taker
            room[taker] -= 1
            if not room[taker]:
                short.remove(taker)
    return assigned


def quotas(weights: Mapping[str, int], held: Mapping[str, int], partitions: int) -> dict[str, int]:
    """How many each member is to own: the floor of its share, and one more where that leaves some over.

    Who holds more than its floor keeps the one more before others get it; then those that have to get some
    anyway, so that a newcomer takes what moves; then the larger remainder wins.
    """
    total = sum(weights.values())
    shares = {name: Fraction(partitions * weight, total) for name, weight in weights.items()}
    given = {name: int(share) for name, share in shares.items()}
    left = partitions - sum(given.values())
    first = sorted(
        (name for name, share in shares.items() if share != given[name]),
        key=lambda name: (_claim(held.get(name, 0), given[name]), given[name] - shares[name], name),
    )
    for name in first[:left]:
        given[name] += 1
    return given


def _claim(held: int, floor: int) -> int:
    return 0 if held > floor else 1 if held < floor else 2


def _score(name: str, partition: int) -> int:
    return mix(fnv1a32(f"{name}#{partition}".encode()))
