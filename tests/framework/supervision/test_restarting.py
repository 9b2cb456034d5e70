"""A restart on a real node: what is kept, what is not, and whose children go with it."""

from __future__ import annotations

from typing import Any

import pytest

from covey import Child, Supervisor, Swarm
from covey.framework.events import AgentRestarted, AgentStarted
from tests.framework.supervision.crew import (
    AsyncWorker,
    ThreadWorker,
    Worker,
    cell_of,
    count,
    fail,
    limits,
    states,
)
from tests.framework.waiting import eventually

KINDS = [Worker, ThreadWorker, AsyncWorker]


@pytest.mark.parametrize("cls", KINDS)
def test_a_restart_keeps_the_mailbox_and_its_order(swarm: Swarm, cls: type[Worker]) -> None:
    log: list[Any] = []
    swarm.supervise(Supervisor([Child(cls, "a", (log,))]))
    ref = swarm.agent(cls, "a")
    for number in range(10):
        ref.tell(number)
    failing = ref.ask(-1)
    for number in range(10, 20):
        ref.tell(number)
    with pytest.raises(ValueError, match="bad -1"):
        failing.get()
    assert ref.ask(20).get() == 11
    assert log == list(range(21))
    assert len(swarm.dead_letters()) == 0


def test_a_told_message_that_fails_becomes_a_dead_letter(swarm: Swarm) -> None:
    swarm.supervise(Supervisor([Child(Worker, "a")]))
    ref = swarm.agent(Worker, "a")
    ref.tell(-1)
    ref.ask(1).get()
    assert [(letter.reason, letter.payload) for letter in swarm.dead_letters()] == [("failed", "-1")]


def test_a_transient_child_returns_after_a_failure_but_not_after_a_stop(
    swarm: Swarm, events: list[Any]
) -> None:
    swarm.supervise(Supervisor([Child(Worker, "a", restart="transient")]))
    ref = swarm.agent(Worker, "a")
    ref.tell(-1)
    assert ref.ask(1).get() == 1
    ref.tell("stop")
    eventually(lambda: cell_of(swarm, ref) is None)
    assert count(events, AgentStarted) == 1


def test_a_permanent_child_returns_after_a_stop_too(swarm: Swarm, events: list[Any]) -> None:
    swarm.supervise(Supervisor([Child(Worker, "a")]))
    ref = swarm.agent(Worker, "a")
    ref.tell("stop")
    eventually(lambda: count(events, AgentStarted) == 2)
    assert swarm.agent(Worker, "a").ask(1).get() == 1


def test_a_temporary_child_never_returns_and_its_children_go_with_it(swarm: Swarm) -> None:
    class Parent(Worker):
        def on_start(self) -> None:
            self.spawn(Worker, "child")

    swarm.supervise(Supervisor([Child(Parent, "a", restart="temporary")]))
    ref = swarm.agent(Parent, "a")
    ref.tell(-1)
    eventually(lambda: not swarm._running.directory.cells)


@pytest.mark.parametrize("child", KINDS)
def test_a_restarted_parent_finds_its_childrens_addresses_free(swarm: Swarm, child: Any) -> None:
    class Parent(Worker):
        def on_start(self) -> None:
            self.spawn(child, "child")

    swarm.supervise(Supervisor([Child(Parent, "a")], backoff=None))
    ref = swarm.agent(Parent, "a")
    for _ in range(3):
        ref.tell(-1)
    assert ref.ask(1).get() == 1
    assert sorted(cell.address.key for cell in swarm._running.directory.cells) == ["a", "child"]


def test_a_parent_whose_constructor_fails_at_restart_leaves_no_child_behind(swarm: Swarm) -> None:
    class Parent(Worker):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1
            self.spawn(Worker, "child")
            if self.made == 2:
                raise OSError("no disk")

    swarm.supervise(Supervisor([Child(Parent, "a")], backoff=None))
    ref = swarm.agent(Parent, "a")
    ref.tell(-1)
    assert ref.ask(1).get() == 1
    assert Parent.made == 3
    assert len(swarm._running.directory.cells) == 2


def test_a_child_whose_on_start_fails_is_restarted_by_its_supervisor(swarm: Swarm) -> None:
    starts: list[int] = []

    class Shaky(Worker):
        def on_start(self) -> None:
            starts.append(1)
            if len(starts) < 3:
                raise OSError("not yet")

    swarm.supervise(Supervisor([Child(Shaky, "a")], backoff=None))
    assert swarm.agent(Shaky, "a").ask(1).get() == 1


def test_a_passive_child_that_goes_down_with_its_group_is_not_woken_for_it(
    swarm: Swarm, events: list[Any]
) -> None:
    class Sleeper(Worker):
        idle_after_s = 0.01

    supervisor = swarm.supervise(
        Supervisor([Child(Sleeper, "a"), Child(Worker, "b")], **limits("one_for_all"))
    )
    eventually(lambda: states(supervisor)["sleeper/a"] == "passive")
    fail(swarm.agent(Worker, "b"))
    assert swarm.agent(Worker, "b").ask(1).get() == 1
    assert swarm.agent(Sleeper, "a").ask(1).get() == 1
    assert [event.address for event in events if isinstance(event, AgentRestarted)] == ["worker/b"]


def test_a_restart_of_a_sibling_names_its_cause(swarm: Swarm, events: list[Any]) -> None:
    swarm.supervise(Supervisor([Child(Worker, "a"), Child(Worker, "b")], **limits("one_for_all")))
    fail(swarm.agent(Worker, "b"))
    eventually(lambda: count(events, AgentRestarted) == 2)
    restarted = {event.address: event.cause for event in events if isinstance(event, AgentRestarted)}
    assert restarted == {"worker/a": "worker/b failed", "worker/b": ""}
