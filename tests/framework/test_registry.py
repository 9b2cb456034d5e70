"""The addresses of supervised agents: told in parts, complete or not at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.registry import (
    MAX_REGISTERED,
    PART_OVERHEAD_BYTES,
    Registries,
    check_size,
    parts_of,
)
from covey.framework.errors import ConfigurationError

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
