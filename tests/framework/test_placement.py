"""Placement: a pure function of the address and the members."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.placement import PARTITIONS, Member, Placement, fnv1a32, partition_of
from tests.fuzz.tables import sizes

KINDS = ("detector", "monitor")
ADDRESSES = [f"detector/{number}" for number in range(2_000)]
names = st.text(min_size=1, max_size=20)
members = st.lists(
    st.builds(
        Member,
        names,
        st.frozensets(st.sampled_from(KINDS)),
        st.integers(min_value=1, max_value=5),
    ),
    max_size=8,
    unique_by=lambda member: member.name,
)


def nodes(*names: str, weight: int = 1) -> list[Member]:
    return [Member(name, frozenset(KINDS), weight) for name in names]


def owners(placement: Placement) -> dict[str, str | None]:
    return {address: placement.owner("detector", address) for address in ADDRESSES}


def test_the_hash_is_fnv1a32() -> None:
    assert [fnv1a32(data) for data in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]


@given(members, st.randoms(), st.text(min_size=1, max_size=30))
def test_all_nodes_that_see_the_same_members_agree(seen: list[Member], random: object, key: str) -> None:
    shuffled = list(seen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    address = f"detector/{key}"
    owner = Placement.of(seen).owner("detector", address)
    assert Placement.of(shuffled).owner("detector", address) == owner
    hosts = {member.name for member in seen if "detector" in member.hosts}
    assert owner in hosts if hosts else owner is None


@given(st.text(min_size=1, max_size=100))
def test_any_unicode_key_has_a_partition(key: str) -> None:
    assert 0 <= partition_of(f"detector/{key}") < PARTITIONS


def test_a_member_that_joins_takes_only_its_own_share() -> None:
    before, after = owners(Placement.of(nodes(*"abc"))), owners(Placement.of(nodes(*"abcd")))
    moved = [address for address in ADDRESSES if before[address] != after[address]]
    assert {after[address] for address in moved} == {"d"}
    assert len(ADDRESSES) * 0.15 < len(moved) < len(ADDRESSES) * 0.35


def test_a_member_that_leaves_gives_up_only_its_own_share() -> None:
    before, after = owners(Placement.of(nodes(*"abcd"))), owners(Placement.of(nodes(*"acd")))
    assert all(before[address] == "b" for address in ADDRESSES if before[address] != after[address])
    assert "b" not in after.values()


def test_shares_are_even_within_a_bound() -> None:
    shares = Counter(owners(Placement.of(nodes("node-1", "node-2", "node-3", "node-4"))).values())
    assert all(0.6 < share / (len(ADDRESSES) / 4) < 1.5 for share in shares.values()), shares


def test_a_heavier_member_gets_the_larger_share() -> None:
    shares = Counter(owners(Placement.of([*nodes("light"), *nodes("heavy", weight=3)])).values())
    assert 2.0 < shares["heavy"] / shares["light"] < 4.5


def test_a_kind_lives_only_where_it_is_hosted() -> None:
    placement = Placement.of([Member("a", frozenset({"detector"})), Member("b", frozenset({"monitor"}))])
    assert {placement.owner("monitor", f"monitor/{n}") for n in range(50)} == {"b"}
    assert placement.owner("unheard_of", "unheard_of/x") is None
    assert placement.hosted == ("detector", "monitor")


def test_kinds_that_nobody_hosts_are_not_remembered() -> None:
    placement = Placement.of(nodes(*"abcd"))
    assert all(placement.owner(f"made_up_{n}", f"made_up_{n}/x") is None for n in range(5_000))
    assert placement.owner("detector", "detector/1") is not None
    assert sizes(placement)["_owners"] == 1
