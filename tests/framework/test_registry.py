"""The addresses of supervised agents: told in parts, complete or not at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.registry import (
    MAX_REGISTERED,
    MAX_REGISTERED_IN_ALL,
    PART_OVERHEAD_BYTES,
    STRANGERS_KEPT,
    Registries,
    check_size,
    parts_of,
)
from covey.framework.errors import ConfigurationError, UndecodableError
from covey.framework.proto.envelope_pb2 import Registry
from tests.fuzz.tables import sizes

addresses = st.frozensets(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), max_size=40
)


@given(addresses, st.randoms(use_true_random=False))
def test_a_registry_is_known_once_all_its_parts_are_there_in_any_order(
    told: frozenset[str], order: random.Random
) -> None:
    parts = list(parts_of("a", 7, 1, told, PART_OVERHEAD_BYTES + 100))
    order.shuffle(parts)
    registries = Registries()
    for part in parts[:-1]:
        assert not registries.heard(part)
        assert registries.lacks("a", 7, 1)
        assert registries.addresses("a", 7) == frozenset()
    assert registries.heard(parts[-1])
    assert not registries.lacks("a", 7, 1)
    assert registries.addresses("a", 7) == told


@given(addresses)
def test_every_part_fits_the_limit(told: frozenset[str]) -> None:
    limit = PART_OVERHEAD_BYTES + 200
    parts = list(parts_of("a", 7, 1, told, limit))
    assert all(part.ByteSize() <= limit for part in parts)
    assert sorted(address for part in parts for address in part.addresses) == sorted(told)


def test_a_lost_part_leaves_the_version_before_in_force_until_it_is_told_again() -> None:
    registries = Registries()
    for part in parts_of("a", 7, 1, ["x/1"], 1 << 20):
        registries.heard(part)
    second = list(parts_of("a", 7, 2, [f"x/{'k' * 50}{n}" for n in range(40)], PART_OVERHEAD_BYTES + 500))
    assert len(second) > 2
    for part in second[1:]:
        assert not registries.heard(part)
    assert registries.addresses("a", 7) == {"x/1"}
    assert [registries.heard(part) for part in second].count(True) == 1
    assert len(registries.addresses("a", 7)) == 40


def test_another_incarnation_has_a_registry_of_its_own() -> None:
    registries = Registries()
    for part in parts_of("a", 7, 3, ["x/1"], 1 << 20):
        registries.heard(part)
    assert registries.addresses("a", 8) == frozenset()
    assert not registries.lacks("a", 8, 0)
    assert registries.lacks("a", 8, 1)


def test_a_registry_that_no_node_could_keep_is_refused() -> None:
    check_size(MAX_REGISTERED)
    with pytest.raises(ConfigurationError, match=f"{MAX_REGISTERED + 1} supervised agents on one node"):
        check_size(MAX_REGISTERED + 1)


def part(node: str, number: int = 0, parts: int = 1, version: int = 1, count: int = 1) -> Registry:
    listed = [f"x/{version}-{number}-{each}" for each in range(count)]
    return Registry(node=node, incarnation=7, version=version, part=number, parts=parts, addresses=listed)


def test_a_part_of_very_many_takes_no_more_room_than_it_has() -> None:
    registries = Registries()
    for version in range(1, 500):
        assert not registries.heard(part("a", version % 90_000, MAX_REGISTERED, version))
    for number in range(5_000):
        assert not registries.heard(part("b", number, MAX_REGISTERED))
    assert sizes(registries)["_told.parts"] == 5_000
    assert registries.heard(part("a", 0, 1, 1_000))


def test_registries_of_strangers_do_not_push_out_those_of_members() -> None:
    registries, members = Registries(), {"member"}
    assert registries.heard(part("member"), members.__contains__)
    for number in range(2_000):
        assert registries.heard(part(f"stranger {number}"), members.__contains__)
    assert registries.addresses("member", 7) == {"x/1-0-0"}
    assert not registries.lacks("stranger 1999", 7, 1)
    assert sizes(registries)["_told"] <= 1 + STRANGERS_KEPT


def test_a_node_that_tells_too_many_addresses_is_refused_once_and_others_are_heard() -> None:
    registries = Registries()
    with pytest.raises(UndecodableError, match="node a"):
        registries.heard(part("a", count=MAX_REGISTERED + 1))
    assert registries.addresses("a", 7) == frozenset()
    assert not registries.lacks("a", 7, 1)  # it is not asked for again
    assert registries.heard(part("b"))
    for number in range(2):
        assert not registries.heard(part("c", number, 3, count=MAX_REGISTERED // 2))
    with pytest.raises(UndecodableError):
        registries.heard(part("c", 2, 3, count=MAX_REGISTERED // 2))
    assert registries.heard(part("c", version=2))


def test_all_nodes_together_tell_no_more_than_is_kept() -> None:
    registries = Registries()
    enough = MAX_REGISTERED_IN_ALL // MAX_REGISTERED
    for number in range(enough):
        assert registries.heard(part(f"n{number}", count=MAX_REGISTERED))
    with pytest.raises(UndecodableError):
        registries.heard(part("one more"))
    registries.forget("n0")
    assert registries.heard(part("one more", version=2))
