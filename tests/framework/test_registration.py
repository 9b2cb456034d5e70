"""This node's registry: what one more address costs, and what the others are told."""

from __future__ import annotations

import tracemalloc

import pytest

from covey import ConfigurationError, Swarm
from covey.framework.cluster.registration import Registration
from covey.framework.cluster.registry import MAX_REGISTERED


@pytest.fixture
def registration(swarm: Swarm) -> Registration:
    return Registration(swarm._running, 1)


def test_an_address_more_or_less_copies_none_of_the_others(registration: Registration) -> None:
    registration.add(f"worker/{number}" for number in range(40_000))
    tracemalloc.start()
    try:
        registration.add(["worker/one-more"])
        registration.remove(["worker/one-more"])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


def test_a_version_is_told_as_it_was_when_it_was_asked_for(registration: Registration) -> None:
    assert (registration.own, registration.version) == (frozenset(), 0)
    assert registration.add(["worker/a", "worker/b", "worker/a"])
    told = registration.own
    assert (told, registration.version) == ({"worker/a", "worker/b"}, 1)
    assert registration.own is told
    assert registration.remove(["worker/a", "worker/x"])
    assert (registration.own, registration.version) == ({"worker/b"}, 2)
    assert told == {"worker/a", "worker/b"}


def test_what_changes_nothing_is_no_new_version(registration: Registration) -> None:
    assert registration.add(["worker/a"])
    assert not registration.add(["worker/a"])
    assert not registration.remove(["worker/b"])
    assert not registration.add([])
    assert registration.version == 1


def test_more_addresses_than_every_node_can_know_are_refused_all_of_them(registration: Registration) -> None:
    registration.add(f"worker/{number}" for number in range(MAX_REGISTERED - 1))
    registration.check(["worker/0", "worker/last"])
    for refuse in (registration.check, registration.add):
        with pytest.raises(ConfigurationError, match=f"{MAX_REGISTERED + 1} supervised agents"):
            refuse(["worker/last", "worker/too-many"])
    assert "worker/last" not in registration
    assert registration.add(["worker/last"])
