"""Children that are added, ended, started again and forgotten while their supervisor runs; pools."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    Child,
    ConfigurationError,
    Supervisor,
    SupervisorRef,
    Swarm,
)
from covey.framework.address import Address
from covey.framework.cluster.registration import TELL_AFTER_S
from covey.framework.events import AgentFailed
from covey.testing import ManualClock
from tests.framework.supervision.crew import (
    AsyncWorker,
    Tagged,
    ThreadWorker,
    Worker,
    all_up,
    count,
    fail,
    limits,
    states,
)
from tests.framework.waiting import eventually, held_up

KINDS = [Worker, ThreadWorker, AsyncWorker]
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]


class Broken(Agent):
    def __init__(self) -> None:
        raise OSError("no disk")


# -- start_child -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", KINDS)
def test_a_child_that_is_added_is_supervised_as_the_others(swarm: Swarm, cls: Any) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")], backoff=None))
    ref = supervisor.start_child(Child(cls, "b"))
    assert ref.ask(1).get() == 1
    fail(ref)
    assert ref.ask(1).get() == 1
    assert list(states(supervisor)) == ["worker/a", f"{cls.kind}/b"]
    assert ref == swarm.agent(cls, "b")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_child_that_is_added_is_the_last_of_its_group(
    swarm: Swarm, events: list[Any], strategy: Any
) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")], **limits(strategy)))
    added = supervisor.start_child(Child(Worker, "b"))
    added.ask(1).get()
    fail(swarm.agent(Worker, "a"))
    assert swarm.agent(Worker, "a").ask(1).get() == 1
    assert added.ask(1).get() == (2 if strategy == "one_for_one" else 1)
    fail(added)
    assert added.ask(1).get() == 1
    assert swarm.agent(Worker, "a").ask(1).get() == (1 if strategy == "one_for_all" else 2)


def test_a_supervisor_can_be_added_with_all_below_it(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    added = supervisor.start_child(Supervisor([Child(Worker, "b"), Child(Worker, "c")], name="inner"))
    assert swarm.agent(Worker, "c").ask(1).get() == 1
    assert (added.name, added.path) == ("inner", "supervisor/inner")
    assert states(added) == {"worker/b": "running", "worker/c": "running"}
    assert supervisor.supervisor("inner").start_child(Child(Worker, "d")).ask(1).get() == 1
    added.stop().get(5)
    assert states(supervisor) == {"worker/a": "running", "inner": "ended"}
    assert [agent.address for agent in swarm.agents()] == ["worker/a"]


@pytest.mark.parametrize(
    "child", [Child(Broken, "b"), Supervisor([Child(Worker, "b"), Child(Broken, "c")], name="inner")]
)
def test_a_child_that_cannot_be_constructed_raises_and_is_not_known(swarm: Swarm, child: Any) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            supervisor.start_child(child)
        assert list(states(supervisor)) == ["worker/a"]
        eventually(lambda: [agent.address for agent in swarm.agents()] == ["worker/a"])


def test_a_child_is_refused_whose_id_or_address_is_taken(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a"), Supervisor([], name="inner")]))
    swarm.spawn(Worker, "free")
    with pytest.raises(AddressInUseError, match="has a child of this id: choose another key"):
        supervisor.start_child(Child(Worker, "a"))
    with pytest.raises(AddressInUseError, match="has a child of this id"):
        supervisor.start_child(Supervisor([], name="inner"))
    with pytest.raises(AddressInUseError, match="worker/free is in use"):
        supervisor.start_child(Child(Worker, "free"))
    with pytest.raises(AddressInUseError, match="worker/a is in use"):
        supervisor.supervisor("inner").start_child(Child(Worker, "a"))
    assert list(states(supervisor)) == ["worker/a", "inner"]
    assert swarm.agent(Worker, "a").ask(1).get() == 1


def test_a_child_that_ended_is_to_be_restarted_or_deleted_first(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    supervisor.terminate_child("worker/a").get(5)
    with pytest.raises(AddressInUseError, match="restart_child or delete_child it"):
        supervisor.start_child(Child(Worker, "a"))


def test_only_children_can_be_added(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([]))
    with pytest.raises(ConfigurationError, match=r"give a Child\(cls, key\)"):
        supervisor.start_child(Worker)
    with pytest.raises(ConfigurationError, match="is no pool"):
        supervisor.start_child()


def test_a_temporary_child_that_was_added_is_forgotten_when_it_has_ended(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    for _ in range(3):
        ref = supervisor.start_child(Child(Worker, "b", restart="temporary"))
        ref.tell(-1)
        eventually(lambda: list(states(supervisor)) == ["worker/a"])


def test_of_temporary_children_that_were_forgotten_only_the_last_addresses_are_remembered(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey.framework.directory.RELEASED_KEPT", 5)
    supervisor = swarm.supervise(Supervisor([]))
    directory = swarm._running.directory
    for number in range(20):
        ended = supervisor.terminate_child(_started(supervisor, f"{number}"))
        ended.get(5)
    with held_up(swarm):  # one that ends before it is registered
        ended = supervisor.terminate_child(_started(supervisor, "early"))
    ended.get(5)
    eventually(lambda: not supervisor.which_children())
    eventually(lambda: not swarm._running.presence.registration.own)
    keys = ["early", *map(str, range(20))]
    eventually(lambda: directory.is_released(Address("worker", "early")))
    remembered = {key for key in keys if directory.is_released(Address("worker", key))}
    assert remembered == {"early", "16", "17", "18", "19"}
    with pytest.raises(AgentDeadError):  # no placed agent answers for it
        swarm.agent(Worker, "19").ask(1).get()


def _started(supervisor: SupervisorRef, key: str) -> str:
    supervisor.start_child(Child(Worker, key, restart="temporary"))
    return f"worker/{key}"


def test_children_that_come_and_go_one_by_one_are_told_of_together(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    clock = ManualClock()
    with Swarm.local(clock=clock, trace_ratio=0.0) as swarm:
        node = swarm._running
        monkeypatch.setattr(
            node, "placement_changed", lambda: told.append(len(node.presence.registration.own))
        )
        supervisor = swarm.supervise(Supervisor([Child(Worker, "stays")]))
        swarm.agent(Worker, "stays")  # from now on the node hosts the kind, which is told at once
        clock.settle()
        told.clear()
        for number in range(50):
            ref = supervisor.start_child(Child(Worker, f"{number}", restart="temporary"))
            assert node.presence.registered_on(Address("worker", f"{number}")) == swarm.node_name
            if number >= 40:
                continue
            ref.tell(-1)
            clock.settle()
            assert node.presence.registered_on(Address("worker", f"{number}")) is None
        clock.settle()
        assert told == []
        clock.advance(TELL_AFTER_S)
        assert told == [11]


@pytest.mark.parametrize("end", ["stop", "give up"])
def test_nothing_can_be_added_to_a_supervisor_that_has_ended(swarm: Swarm, end: str) -> None:
    spec = Supervisor([Child(Worker, "a")], intensity=0, name="inner")
    outer = swarm.supervise(Supervisor([spec], backoff=None))
    inner = outer.supervisor("inner")
    inner.stop().get(5)
    assert not inner.is_running
    for change in (
        lambda: inner.start_child(Child(Worker, "b")),
        lambda: inner.restart_child("worker/a"),
    ):
        with pytest.raises(AgentDeadError, match="the supervisor has ended"):
            change()


# -- terminate, restart, delete --------------------------------------------------------------------


@pytest.mark.parametrize("cls", KINDS)
def test_a_child_that_was_terminated_starts_afresh(swarm: Swarm, events: list[Any], cls: Any) -> None:
    supervisor = swarm.supervise(Supervisor([Child(cls, "a", restart="transient")]))
    child_id = f"{cls.kind}/a"
    for _ in range(5):
        assert swarm.agent(cls, "a").ask(1).get() == 1
        supervisor.terminate_child(child_id).get(5)
        assert states(supervisor) == {child_id: "ended"}
        with pytest.raises(AgentDeadError):
            swarm.agent(cls, "a").ask(1).get()
        assert supervisor.restart_child(child_id).ask(1).get() == 1
        fail(swarm.agent(cls, "a"))


def test_a_supervisor_that_was_terminated_starts_afresh_with_its_children(swarm: Swarm) -> None:
    inner = Supervisor([Child(Worker, "a"), Child(ThreadWorker, "b")], name="inner")
    supervisor = swarm.supervise(Supervisor([inner]))
    for _ in range(10):
        supervisor.terminate_child("inner").get(5)
        assert not swarm.agents()
        again = supervisor.restart_child("inner")
        assert swarm.agent(Worker, "a").ask(1).get() == 1
        assert swarm.agent(ThreadWorker, "b").ask(1).get() == 1
        all_up(again)


@pytest.mark.parametrize("by", ["its user", "its group"])
def test_a_child_that_cannot_be_constructed_stays_ended_until_it_is_started_again(
    swarm: Swarm, by: str
) -> None:
    class Once(Worker):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1
            if self.made == 2:
                raise OSError("no disk")

    supervisor = swarm.supervise(Supervisor([Child(Once, "a"), Child(Worker, "b")], **limits("one_for_all")))
    supervisor.terminate_child("once/a").get(5)
    with pytest.raises(OSError, match="no disk"):
        supervisor.restart_child("once/a")
    eventually(lambda: states(supervisor) == {"once/a": "ended", "worker/b": "running"})
    if by == "its user":
        assert supervisor.restart_child("once/a").ask(1).get() == 1
    else:
        fail(swarm.agent(Worker, "b"))
        assert swarm.agent(Worker, "b").ask(1).get() == 1
    all_up(supervisor)
    assert swarm.agent(Once, "a").ask(1).get() == (2 if by == "its user" else 1)


def test_only_a_child_that_has_ended_can_be_restarted_or_deleted(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    all_up(supervisor)
    with pytest.raises(AddressInUseError, match="the child is running: terminate_child it first"):
        supervisor.restart_child("worker/a")
    with pytest.raises(ConfigurationError, match="terminate_child it before delete_child"):
        supervisor.delete_child("worker/a").get(5)
    assert states(supervisor) == {"worker/a": "running"}


def test_a_child_that_was_deleted_is_not_known_any_more_and_its_address_is_free(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Tagged, "a", ("supervised",))]))
    supervisor.terminate_child("tagged/a").get(5)
    with held_up(swarm):
        deletions = [supervisor.delete_child("tagged/a") for _ in range(2)]
    for deleted in deletions:
        deleted.get(5)
    assert states(supervisor) == {}
    assert swarm.agent(Tagged, "a").ask("x").get() == "placed"
    for change in (supervisor.terminate_child, supervisor.restart_child, supervisor.delete_child):
        with pytest.raises(ConfigurationError, match="has no child 'tagged/a'; it has none"):
            change("tagged/a")


@pytest.mark.parametrize("state", ["backoff", "starting", "waiting"])
def test_a_child_can_be_terminated_whatever_it_does(swarm: Swarm, events: list[Any], state: str) -> None:
    class Waits(Worker):
        async def on_start(self) -> None:  # type: ignore[override]
            await asyncio.to_thread(gate.wait, 5)

    gate = threading.Event()
    children = [Child(Worker, "a"), Child(Waits, "b"), Child(Worker, "c")]
    supervisor = swarm.supervise(Supervisor(children))
    child_id = {"backoff": "worker/a", "starting": "waits/b", "waiting": "worker/c"}[state]
    if state == "backoff":
        for _ in range(2):
            swarm.agent(Worker, "a").tell(-1)
        eventually(lambda: count(events, AgentFailed) == 2)
    ended = supervisor.terminate_child(child_id)
    gate.set()
    ended.get(5)
    eventually(lambda: sorted(states(supervisor).values()) == ["ended", "running", "running"])
    assert states(supervisor)[child_id] == "ended"


def test_terminating_one_child_twice_answers_both(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    for reply in [supervisor.terminate_child("worker/a") for _ in range(3)]:
        reply.get(5)
    supervisor.terminate_child("worker/a").get(5)


# -- lists -----------------------------------------------------------------------------------------


def test_a_list_says_of_each_child_what_it_is_and_how_it_fares(swarm: Swarm) -> None:
    class Sleeper(Worker):
        idle_after_s = 0.01

    children = [
        Child(Worker, "a"),
        Supervisor([Child(Worker, "b")], name="inner"),
        Child(Sleeper, "c", restart="transient"),
    ]
    supervisor = swarm.supervise(Supervisor(children, backoff=None))
    fail(swarm.agent(Worker, "a"))
    assert swarm.agent(Worker, "a").ask(1).get() == 1
    eventually(lambda: states(supervisor)["sleeper/c"] == "passive")
    a, inner, c = supervisor.which_children()
    assert (a.id, a.is_supervisor, a.state, a.restart) == ("worker/a", False, "running", "permanent")
    assert (a.restarts, a.waiting, a.last_error) == (1, 0, "ValueError: bad -1")
    assert (inner.id, inner.is_supervisor, inner.state) == ("inner", True, "running")
    assert (c.state, c.restart, c.restarts, c.last_error) == ("passive", "transient", 0, "")
    assert supervisor.count_children() == (3, 3, 1, 2)
    supervisor.terminate_child("worker/a").get(5)
    assert supervisor.count_children() == (3, 2, 1, 2)


def test_an_unknown_child_is_named_with_those_that_there_are(swarm: Swarm) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Worker, key) for key in "abcdefg"]))
    sentence = "has no child 'worker/x'; it has worker/a, worker/b, worker/c, worker/d, worker/e and 2 more"
    with pytest.raises(ConfigurationError, match=sentence):
        supervisor.terminate_child("worker/x")
    with pytest.raises(ConfigurationError, match="has no child 'worker/a'"):
        supervisor.supervisor("worker/a")


def test_many_threads_change_the_children_of_one_supervisor_at_once(swarm: Swarm) -> None:
    def change(name: str) -> None:
        for number in range(20):
            child = Child(Worker, f"{name}-{number % 3}")
            supervisor.start_child(child).ask(1).get()
            supervisor.terminate_child(child.id).get(5)
            supervisor.restart_child(child.id).ask(1).get()
            supervisor.terminate_child(child.id).get(5)
            supervisor.delete_child(child.id).get(5)
        done.append(name)

    done: list[str] = []
    supervisor = swarm.supervise(Supervisor([Child(Worker, "stays")]))
    threads = [threading.Thread(target=change, args=(name,), daemon=True) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == ["a", "b", "c", "d"]
    assert states(supervisor) == {"worker/stays": "running"}
    assert [agent.address for agent in swarm.agents()] == ["worker/stays"]
