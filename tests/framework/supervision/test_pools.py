"""Pools: supervisors of identical children, which can be resized while they run."""

from __future__ import annotations

from typing import Any

import pytest

from covey import Child, ConfigurationError, Supervisor, Swarm
from covey.framework.supervision.running import RunningSupervisor
from tests.framework.supervision.crew import (
    AsyncWorker,
    ThreadWorker,
    Worker,
    all_up,
    cell_of,
    starts_of,
    states,
)
from tests.framework.waiting import eventually

KINDS = [Worker, ThreadWorker, AsyncWorker]


@pytest.mark.parametrize("cls", KINDS)
def test_a_pool_has_identical_children_and_can_be_resized(swarm: Swarm, events: list[Any], cls: Any) -> None:
    log: list[Any] = []
    pool = swarm.supervise(Supervisor.pool(cls, 3, (log,), name="pool"))
    address = f"{cls.kind}/pool-{{}}".format
    assert list(states(pool)) == [address(1), address(2), address(3)]
    assert pool.start_child().ask(7).get() == 1
    pool.resize(6).get(5)
    all_up(pool)
    assert list(states(pool)) == [address(number) for number in range(1, 7)]
    pool.resize(2).get(5)
    assert list(states(pool)) == [address(1), address(2)]
    assert len(swarm.agents(cls)) == 2
    pool.resize(2).get(5)
    pool.resize(0).get(5)
    assert states(pool) == {}
    pool.resize(1).get(5)
    all_up(pool)
    assert len(states(pool)) == 1
    assert set(starts_of(events).values()) == {1}


def test_a_pool_of_temporary_children_shrinks_as_they_end(swarm: Swarm) -> None:
    pool = swarm.supervise(Supervisor.pool(Worker, 2, name="p", restart="temporary"))
    added = pool.start_child()
    added.ask(1).get()
    added.tell(-1)
    eventually(lambda: cell_of(swarm, added) is None)
    eventually(lambda: list(states(pool)) == ["worker/p-1", "worker/p-2"])
    pool.resize(1).get(5)
    assert list(states(pool)) == ["worker/p-1"]


def test_a_pools_ref_that_was_looked_up_anew_takes_free_numbers(swarm: Swarm) -> None:
    outer = swarm.supervise(Supervisor([Supervisor.pool(Worker, 2, name="p")]))
    outer.supervisor("p").start_child()
    outer.supervisor("p").start_child()
    assert list(states(outer.supervisor("p"))) == [f"worker/p-{number}" for number in range(1, 5)]


def test_a_pools_number_is_not_given_twice_whatever_ref_asks(swarm: Swarm) -> None:
    outer = swarm.supervise(Supervisor([Supervisor.pool(Worker, 2, name="p")]))
    for number in (3, 4, 5):
        pool = outer.supervisor("p")
        pool.start_child().ask(1).get()
        assert list(states(pool))[2:] == [f"worker/p-{number}"]
        pool.terminate_child(f"worker/p-{number}").get(5)
        pool.delete_child(f"worker/p-{number}").get(5)


def test_a_pool_takes_the_next_number_when_somebody_was_faster(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = swarm.supervise(Supervisor.pool(Worker, 2, name="p"))
    unit_of, faster = RunningSupervisor.unit_of, iter([Child(Worker, "p-3")])

    def overtaken(running: RunningSupervisor, child: Any, **options: Any) -> Any:
        for other in faster:
            pool.start_child(other)
        return unit_of(running, child, **options)

    monkeypatch.setattr(RunningSupervisor, "unit_of", overtaken)
    assert pool.start_child() == swarm.agent(Worker, "p-4")
    assert list(states(pool)) == [f"worker/p-{number}" for number in range(1, 5)]


@pytest.mark.parametrize("size", [-1, True, 1.5, "2", None])
def test_a_pools_size_is_a_number_of_children(swarm: Swarm, size: Any) -> None:
    pool = swarm.supervise(Supervisor.pool(Worker, 1))
    with pytest.raises(ConfigurationError, match="number of children"):
        pool.resize(size)
    with pytest.raises(ConfigurationError, match="number of children"):
        Supervisor.pool(Worker, size)


def test_what_is_no_pool_cannot_be_resized(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    for size in (0, 1, 2):
        with pytest.raises(ConfigurationError, match="is no pool"):
            supervisor.resize(size)
