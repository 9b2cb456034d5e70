"""A supervisor gives up: its own supervisor decides, and the root's failure is the swarm's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from covey import Agent, AgentDeadError, Child, Supervisor, Swarm, SwarmFailedError, handles
from covey.framework.events import AgentEscalated, AgentRestarted, AgentStarted
from tests.framework.supervision.crew import (
    AsyncWorker,
    ThreadWorker,
    Worker,
    all_up,
    count,
    fail,
    starts_of,
    states,
)
from tests.framework.waiting import eventually, held_up

KINDS = [Worker, ThreadWorker, AsyncWorker]


def test_more_failures_than_the_intensity_end_the_swarm_with_its_error() -> None:
    def fail_three_times() -> None:
        with Swarm.local(trace_ratio=0.0) as swarm:
            swarm.supervise(Supervisor([Child(Worker, "a")], intensity=2, backoff=None, name="pool"))
            ref = swarm.agent(Worker, "a")
            for _ in range(3):
                fail(ref)
            with pytest.raises(SwarmFailedError):
                swarm.wait(5)

    sentence = r"pool gave up on worker/a: more than 2 restarts.*bad -1"
    with pytest.raises(SwarmFailedError, match=sentence) as caught:
        fail_three_times()
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_inner_supervisor_that_gives_up_is_started_anew_by_the_outer(
    swarm: Swarm, events: list[Any]
) -> None:
    inner = Supervisor([Child(Worker, "a"), Child(Worker, "b")], intensity=1, backoff=None, name="inner")
    swarm.supervise(Supervisor([inner], intensity=3, name="outer"))
    ref = swarm.agent(Worker, "a")
    for _ in range(2):
        fail(ref)
    eventually(lambda: count(events, AgentEscalated) == 1 and count(events, AgentRestarted) == 3)
    assert {event.cause for event in events if isinstance(event, AgentRestarted)} == {
        "",
        "its supervisor outer/inner restarts",
    }
    assert swarm.agent(Worker, "b").ask(1).get() == 1
    assert ref.ask(1).get() == 1
    assert swarm._running.failure is None


@pytest.mark.parametrize("cls", KINDS)
def test_mail_survives_an_escalation_that_the_parent_resolves(
    swarm: Swarm, events: list[Any], cls: Any
) -> None:
    log: list[Any] = []
    inner = Supervisor([Child(cls, key, (log,)) for key in "ab"], intensity=0, name="inner")
    supervisor = swarm.supervise(Supervisor([inner], backoff=None)).supervisor("inner")
    all_up(supervisor)
    refs = [swarm.agent(cls, key) for key in "ab"]
    with held_up(swarm):
        refs[0].tell(-1)
        asked = [refs[number % 2].ask(number) for number in range(20)]
    assert [reply.get() for reply in asked[::2]] == list(range(1, 11))
    eventually(lambda: len(log) == 20)
    assert [number for number in log if number % 2 == 0] == list(range(0, 20, 2))
    assert [number for number in log if number % 2] == list(range(1, 20, 2))
    assert swarm.dead_letters().counts == {"failed": 1}
    eventually(lambda: starts_of(events) == {f"{cls.kind}/a": 2, f"{cls.kind}/b": 2})


def test_when_the_root_gives_up_all_mail_is_a_dead_letter(events: list[Any]) -> None:
    swarm = Swarm.local(trace_ratio=0.0).start()
    inner = Supervisor([Child(Worker, "a"), Child(Worker, "b")], intensity=0, name="inner")
    swarm.supervise(Supervisor([inner], intensity=0, name="outer"))
    with held_up(swarm):
        swarm.agent(Worker, "a").tell(-1)
        swarm.agent(Worker, "a").tell(1)
    with pytest.raises(SwarmFailedError, match=r"outer gave up on inner: more than 0 restarts"):
        swarm.wait(5)
    eventually(lambda: not swarm._running.directory.cells)
    with pytest.raises(AgentDeadError):
        swarm.agent(Worker, "b").ask(1).get()
    assert swarm.dead_letters().counts["failed"] == 1
    assert swarm.dead_letters().counts["stopped"] >= 1
    swarm.stop()


def test_a_constructor_that_fails_for_ever_escalates() -> None:
    made: list[int] = []

    class Doomed(Agent):
        def __init__(self) -> None:
            super().__init__()
            made.append(1)
            if len(made) > 1:
                raise OSError("no disk")

        @handles
        def fail(self, text: str) -> None:
            raise ValueError(text)

    def run() -> None:
        with Swarm.local(trace_ratio=0.0) as swarm:
            swarm.supervise(Supervisor([Child(Doomed, "a")], intensity=3, backoff=None))
            swarm.agent(Doomed, "a").tell("x")
            swarm.wait(5)

    with pytest.raises(SwarmFailedError, match="OSError: no disk"):
        run()
    assert len(made) == 4


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_a_constructor_that_fails_for_ever_goes_up_the_tree_level_by_level(
    events: list[Any], swarm: Swarm, dispatcher: Any
) -> None:
    class Doomed(Worker):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1
            if 1 < self.made < 10:
                raise OSError("no disk")

    Doomed.dispatcher = dispatcher
    inner = Supervisor([Child(Doomed, "a")], intensity=1, backoff=None, name="inner")
    middle = Supervisor([inner], intensity=1, backoff=None, name="middle")
    swarm.supervise(Supervisor([middle], intensity=4, backoff=None, name="outer"))
    fail(swarm.agent(Doomed, "a"))
    assert swarm.agent(Doomed, "a").ask(1).get() == 1
    escalated = [event.supervisor for event in events if isinstance(event, AgentEscalated)]
    # Instance 1 fails, and the constructor eight times; inner and middle each forgive every other time.
    assert escalated == [
        "outer/middle/inner",
        "outer/middle/inner",
        "outer/middle",
        "outer/middle/inner",
        "outer/middle/inner",
        "outer/middle",
    ]
    assert Doomed.made == 10


def test_a_sibling_of_a_supervisor_that_gives_up_is_restarted_as_the_strategy_says(
    swarm: Swarm, events: list[Any]
) -> None:
    inner = Supervisor([Child(Worker, "b")], intensity=0, name="inner")
    children = [Child(Worker, "a"), inner, Child(Worker, "c")]
    all_up(swarm.supervise(Supervisor(children, "rest_for_one", backoff=None)))
    fail(swarm.agent(Worker, "b"))
    eventually(lambda: starts_of(events) == {"worker/a": 1, "worker/b": 2, "worker/c": 2})
    causes = {event.address: event.cause for event in events if isinstance(event, AgentRestarted)}
    assert causes["worker/c"] == "inner failed"


def test_children_that_fail_together_are_one_failure_of_their_supervisor(
    swarm: Swarm, events: list[Any]
) -> None:
    class Together(Worker):
        async def on_receive(self, gate: asyncio.Event) -> None:  # type: ignore[override]
            begun.append(self.key)
            await gate.wait()
            raise OSError("all at once")

    begun: list[str] = []
    inner = Supervisor([Child(Together, key) for key in "abc"], intensity=0, name="inner")
    swarm.supervise(Supervisor([inner], intensity=1, backoff=None))
    gate = asyncio.Event()
    for key in "abc":
        swarm.agent(Together, key).tell(gate)
    eventually(lambda: len(begun) == 3)
    swarm._running.dispatcher.call(gate.set)
    eventually(lambda: count(events, AgentRestarted) == 3)
    assert [swarm.agent(Together, key).ask(1).get() for key in "abc"] == [1, 1, 1]
    assert count(events, AgentEscalated) == 1
    assert count(events, AgentStarted) == 3
    assert swarm._running.failure is None


def test_a_root_that_gives_up_leaves_the_other_trees_of_the_node_alone(events: list[Any]) -> None:
    swarm = Swarm.local(trace_ratio=0.0).start()
    swarm.supervise(Supervisor([Child(Worker, "a")], intensity=0, name="one"))
    other = swarm.supervise(Supervisor([Child(Worker, "b")], name="two"))
    fail(swarm.agent(Worker, "a"))
    with pytest.raises(SwarmFailedError, match="one gave up"):
        swarm.wait(5)
    assert swarm.agent(Worker, "b").ask(1).get() == 1
    assert states(other) == {"worker/b": "running"}
    swarm.stop()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            Supervisor([Child(Worker, "a")], intensity=0, period_s=2.5, name="pool"),
            "supervisor pool gave up on worker/a: more than 0 restarts within 2.5 s; the last error was "
            "ValueError: bad -1. Mend the cause, or raise the supervisor's intensity",
        ),
        (
            Supervisor([Child(Worker, "a", verdicts={ValueError: "escalate"})]),
            "supervisor supervisor gave up on worker/a: the verdict on its error is to escalate; "
            "the last error was ValueError: bad -1. Mend the cause, or change what the supervisor decides",
        ),
        (
            type("Bad", (Supervisor,), {"decide": lambda self, error: 1 / 0})([Child(Worker, "a")]),
            "supervisor supervisor gave up on worker/a: deciding about it, the supervisor itself has "
            "crashed; the last error was ZeroDivisionError: division by zero. Mend the cause, or change "
            "what the supervisor decides",
        ),
    ],
    ids=["intensity", "verdict", "crash"],
)
def test_the_swarms_error_says_who_gave_up_why_and_what_to_do(spec: Supervisor, sentence: str) -> None:
    swarm = Swarm.local(trace_ratio=0.0).start()
    swarm.supervise(spec)
    fail(swarm.agent(Worker, "a"))
    with pytest.raises(SwarmFailedError) as caught:
        swarm.wait(5)
    assert str(caught.value) == sentence
    swarm.stop()


def test_the_report_of_a_failure_says_who_why_how_often_with_what_and_what_happens(
    swarm: Swarm, caplog: pytest.LogCaptureFixture
) -> None:
    swarm.supervise(Supervisor([Supervisor([Child(Worker, "a")], name="inner")], name="outer"))
    with caplog.at_level(logging.ERROR, "covey.agent"):
        with held_up(swarm):
            swarm.agent(Worker, "a").tell(-1)
            swarm.agent(Worker, "a").tell(1)
        eventually(lambda: "covey.agent" in [record.name for record in caplog.records])
    (record,) = [record for record in caplog.records if record.name == "covey.agent"]
    node = swarm.node_name
    assert record.getMessage() == (
        f"worker/a failed on node {node}: ValueError: bad -1 (message: builtins.int {node}-local-1; "
        "supervisor: outer/inner; restarts so far: 0; waiting: 1); its supervisor decides"
    )
