"""Shares: every member owns what its weight makes of all partitions, and no more move than must."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.shares import assign, quotas

NAMES = ("a", "b", "c", "d", "e", "f", "node-7", "ü")
names = st.sampled_from(NAMES)
weights = st.dictionaries(names, st.integers(1, 9), min_size=1)
equals = st.sets(names, min_size=2, max_size=7)
anybody = st.one_of(st.none(), names, st.sampled_from(["gone", "", "A"]))
owners = st.lists(anybody, max_size=70)
counts = st.integers(1, 256)


def shares(weights: dict[str, int], partitions: int) -> dict[str, Fraction]:
    total = sum(weights.values())
    return {name: Fraction(partitions * weight, total) for name, weight in weights.items()}


def moved(before: list[str | None], after: list[str | None]) -> list[int]:
    return [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]


@given(weights, owners)
def test_every_share_is_the_floor_or_the_ceiling_of_its_weights(
    weights: dict[str, int], owners: list[str | None]
) -> None:
    held = Counter(assign(weights, owners))
    assert set(held) <= set(weights)
    for name, share in shares(weights, len(owners)).items():
        assert floor(share) <= held[name] <= ceil(share)


@given(weights, owners)
def test_quotas_are_what_is_assigned(weights: dict[str, int], owners: list[str | None]) -> None:
    wanted = quotas(weights, Counter(owner for owner in owners if owner in weights), len(owners))
    held = Counter(assign(weights, owners))
    assert wanted == {name: held[name] for name in weights}


@given(weights, owners)
def test_a_partition_of_an_owner_within_its_quota_stays(
    weights: dict[str, int], owners: list[str | None]
) -> None:
    held = Counter(owner for owner in owners if owner in weights)
    wanted = quotas(weights, held, len(owners))
    after = assign(weights, owners)
    for at in moved(owners, after):
        owner = owners[at]
        assert owner not in weights or held[owner] > wanted[owner]


@given(weights, owners)
def test_no_other_quotas_within_the_bounds_would_move_fewer(
    weights: dict[str, int], owners: list[str | None]
) -> None:
    """What has no living owner moves, and what is over a floor but for the ones more that may be kept."""
    held = Counter(owner for owner in owners if owner in weights)
    by_share = shares(weights, len(owners))
    extras = len(owners) - sum(floor(share) for share in by_share.values())
    over = sum(max(0, held[name] - floor(share)) for name, share in by_share.items())
    could_keep_one = sum(held[name] > floor(share) != share for name, share in by_share.items())
    orphans = len(owners) - sum(held.values())
    assert len(moved(owners, assign(weights, owners))) == orphans + over - min(extras, could_keep_one)


@given(weights, owners, st.randoms())
def test_the_order_of_the_members_does_not_matter(
    weights: dict[str, int], owners: list[str | None], random: st.DrawFn
) -> None:
    shuffled = list(weights.items())
    random.shuffle(shuffled)
    assert assign(dict(shuffled), owners) == assign(weights, owners)


@given(weights, owners)
def test_what_is_assigned_stays_assigned(weights: dict[str, int], owners: list[str | None]) -> None:
    once = assign(weights, owners)
    assert assign(weights, once) == once


@given(equals, counts, st.data())
def test_when_one_of_equals_dies_only_its_partitions_move(
    members: set[str], partitions: int, data: st.DataObject
) -> None:
    before = assign(dict.fromkeys(members, 1), [None] * partitions)
    dead = data.draw(st.sampled_from(sorted(members)))
    after = assign(dict.fromkeys(members - {dead}, 1), before)
    assert {before[at] for at in moved(before, after)} <= {dead}


@given(equals, counts)
def test_a_newcomer_among_equals_takes_at_most_the_ceiling_of_its_share_and_nobody_else_takes_any(
    members: set[str], partitions: int
) -> None:
    before = assign(dict.fromkeys(members, 2), [None] * partitions)
    after = assign(dict.fromkeys({*members, "new"}, 2), before)
    takers = Counter(after[at] for at in moved(before, after))
    assert set(takers) <= {"new"}
    assert takers["new"] <= ceil(Fraction(partitions, len(members) + 1))


@given(weights, st.integers(1, 9), counts)
def test_others_take_some_beside_a_newcomer_only_if_it_has_the_ceiling_of_its_share(
    weights: dict[str, int], weight: int, partitions: int
) -> None:
    """With unequal weights the larger shares may shrink by so much that it cannot take all that moves."""
    after_weights = {**weights, "new": weight}
    share = shares(after_weights, partitions)["new"]
    before = assign(weights, [None] * partitions)
    after = assign(after_weights, before)
    takers = Counter(after[at] for at in moved(before, after))
    assert takers["new"] <= ceil(share)
    if set(takers) - {"new"} and share >= 1:  # with less than one it is one of several that may get none
        assert takers["new"] == ceil(share)


def test_of_uneven_shares_that_shrink_the_newcomer_takes_what_moves() -> None:
    weights = {"large": 105, "larger": 105, "small": 5, "smaller": 5}
    before: list[str | None] = ["large"] * 11 + ["larger"] * 11
    assert assign(weights, before) == before
    after = assign({**weights, "new": 40}, before)
    assert {after[at] for at in moved(before, after)} == {"new"}


@given(weights, st.dictionaries(st.sampled_from(["idle", "leaving"]), st.integers(-5, 0)), owners)
def test_a_member_without_weight_owns_nothing(
    weights: dict[str, int], idle: dict[str, int], owners: list[str | None]
) -> None:
    owners += [*idle]
    assert assign({**weights, **idle}, owners) == assign(weights, owners)


@given(owners)
def test_without_members_nothing_has_an_owner(owners: list[str | None]) -> None:
    assert assign({}, owners) == assign({"idle": 0}, owners) == [None] * len(owners)


def test_what_a_dead_node_had_is_spread_over_all_others() -> None:
    members = [f"node-{number}" for number in range(8)]
    before = assign(dict.fromkeys(members, 1), [None] * 256)
    after = assign(dict.fromkeys(members[1:], 1), before)
    takers = Counter(after[at] for at in moved(before, after))
    assert set(takers) == set(members[1:])
    assert set(takers.values()) <= {4, 5}
