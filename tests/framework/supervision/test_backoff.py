"""Waiting before a restart, on a clock that the test moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from covey import AgentDeadError, Backoff, Child, Mailbox, MailboxFullError, Supervisor, Swarm
from covey.framework.events import AgentRestarted
from covey.testing import ManualClock
from tests.framework.supervision.crew import AsyncWorker, ThreadWorker, Worker, states
from tests.framework.waiting import eventually

BACKOFF = Backoff(initial_s=1.0, factor=2.0, max_s=5.0, jitter=0, reset_s=30.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def swarm(clock: ManualClock) -> Iterator[Swarm]:
    with Swarm.local(clock=clock, trace_ratio=0.0) as running:
        yield running


@pytest.fixture
def restarted(swarm: Swarm, clock: ManualClock) -> list[tuple[str, float]]:
    """Which agents were restarted, and when."""
    seen: list[tuple[str, float]] = []

    def note(event: Any) -> None:
        if isinstance(event, AgentRestarted):
            seen.append((event.address, clock.monotonic()))

    swarm.on_event(note)
    return seen


def supervise(swarm: Swarm, *children: Child, **more: Any) -> Any:
    options = {"intensity": 100, "backoff": BACKOFF, **more}
    return swarm.supervise(Supervisor(children, **options))


@pytest.mark.parametrize("cls", [Worker, AsyncWorker, ThreadWorker])
def test_the_first_restart_is_immediate_and_each_further_wait_longer_up_to_the_limit(
    swarm: Swarm, clock: ManualClock, restarted: list[Any], cls: Any
) -> None:
    supervise(swarm, Child(cls, "a"))
    waits = []
    for number in range(1, 7):
        swarm.agent(cls, "a").tell(-1)
        began = clock.monotonic()
        assert clock.advance_until(lambda number=number: len(restarted) == number, within_s=60)
        waits.append(clock.monotonic() - began)
    assert waits == pytest.approx([0, 1, 2, 4, 5, 5])


def test_after_a_quiet_time_the_next_restart_is_immediate_again(
    swarm: Swarm, clock: ManualClock, restarted: list[Any]
) -> None:
    supervise(swarm, Child(Worker, "a"))
    ref = swarm.agent(Worker, "a")
    for quiet_s in (0.0, 29.0, 30.0):
        clock.advance(quiet_s)
        ref.tell(-1)
        clock.settle()
    # The second in a row has to wait, the third comes after reset_s.
    assert [at for _, at in restarted] == pytest.approx([0, 30, 59])


def test_jitter_adds_at_most_its_share(swarm: Swarm, clock: ManualClock, restarted: list[Any]) -> None:
    backoff = Backoff(initial_s=10.0, factor=1.0, jitter=0.5)
    supervise(swarm, *(Child(Worker, f"{number}") for number in range(20)), backoff=backoff)
    for number in range(20):
        swarm.agent(Worker, f"{number}").tell(-1)
        swarm.agent(Worker, f"{number}").tell(-1)
    clock.settle()
    assert len(restarted) == 20
    clock.advance(9.9)
    assert len(restarted) == 20
    assert clock.advance_until(lambda: len(restarted) == 40, within_s=5.2)
    later = [at for _, at in restarted[20:]]
    assert 10 <= min(later) < max(later) <= 15.01


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_that_restarts_together_waits_together(
    swarm: Swarm, clock: ManualClock, restarted: list[Any], strategy: Any
) -> None:
    supervisor = supervise(swarm, Child(Worker, "a"), Child(Worker, "b"), strategy=strategy)
    swarm.agent(Worker, "a").tell(-1)
    clock.settle()
    swarm.agent(Worker, "b").tell(-1)
    swarm.agent(Worker, "b").tell(7)
    clock.advance(0.5)
    assert states(supervisor)["worker/b"] == "halted"
    clock.advance(0.5)
    again = ["worker/a", "worker/b"] if strategy == "one_for_all" else ["worker/b"]
    assert restarted == [("worker/a", 0), ("worker/b", 0), *((address, 1.0) for address in again)]
    assert swarm.agent(Worker, "b").ask(8).get() == 2


def test_a_child_that_is_added_to_a_supervisor_in_backoff_starts_with_it(
    swarm: Swarm, clock: ManualClock
) -> None:
    outer = supervise(swarm, Supervisor([Child(Worker, "a"), Child(Worker, "b")], intensity=0, name="inner"))
    for _ in range(2):  # the second restart in a row has to wait
        swarm.agent(Worker, "a").tell(-1)
        clock.settle()
    assert states(outer) == {"inner": "backoff"}
    inner = outer.supervisor("inner")
    inner.terminate_child("worker/b").get(5)
    added = [inner.start_child(Child(Worker, "c")), inner.restart_child("worker/b")]
    clock.settle()
    assert states(inner) == {"worker/a": "halted", "worker/b": "waiting", "worker/c": "waiting"}
    clock.advance(1.0)
    assert [ref.ask(1).get() for ref in added] == [1, 1]
    assert set(states(inner).values()) == {"running"}


def test_a_child_that_is_added_to_a_supervisor_in_backoff_ends_with_it(
    swarm: Swarm, clock: ManualClock
) -> None:
    outer = supervise(swarm, Supervisor([Child(Worker, "a")], intensity=0, name="inner"))
    for _ in range(2):
        swarm.agent(Worker, "a").tell(-1)
        clock.settle()
    inner = outer.supervisor("inner")
    inner.start_child(Child(Worker, "b"))
    outer.stop().get(5)
    assert states(inner) == {"worker/a": "ended", "worker/b": "ended"}
    assert not swarm.agents()
    with pytest.raises(AgentDeadError, match="the supervisor has ended"):
        inner.start_child(Child(Worker, "c"))


def test_children_of_a_one_for_one_supervisor_wait_each_for_itself(
    swarm: Swarm, clock: ManualClock, restarted: list[Any]
) -> None:
    supervisor = supervise(swarm, Child(Worker, "a"), Child(Worker, "b"))
    for _ in range(2):
        swarm.agent(Worker, "a").tell(-1)
    clock.settle()
    assert states(supervisor) == {"worker/a": "backoff", "worker/b": "running"}
    swarm.agent(Worker, "b").tell(-1)
    clock.settle()
    assert restarted == [("worker/a", 0), ("worker/b", 0)]
    assert swarm.agent(Worker, "b").ask(1).get() == 1


def test_no_thread_and_no_task_waits(swarm: Swarm, clock: ManualClock) -> None:
    supervise(swarm, *(Child(Worker, f"{number}") for number in range(50)))
    before = threading.active_count()
    for number in range(50):
        swarm.agent(Worker, f"{number}").tell(-1)
        swarm.agent(Worker, f"{number}").tell(-1)
    clock.settle()
    assert {agent.state for agent in swarm.agents(Worker)} == {"restarting"}
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("overflow", "handled", "letters"),
    [
        ("drop_oldest", [3, 4, 5], {"failed": 2, "dropped": 3}),
        ("drop_newest", [0, 1, 2], {"failed": 2, "dropped": 3}),
        ("fail", [0, 1, 2], {"failed": 2, "mailbox full": 3}),
    ],
)
def test_a_mailbox_fills_to_its_bound_while_its_agent_waits(
    swarm: Swarm, clock: ManualClock, overflow: Any, handled: list[int], letters: dict[str, int]
) -> None:
    class Narrow(Worker):
        mailbox = Mailbox(capacity=3, overflow=overflow)

    log: list[Any] = []
    supervise(swarm, Child(Narrow, "a", (log,)))
    ref = swarm.agent(Narrow, "a")
    for _ in range(2):
        ref.tell(-1)
        clock.settle()
    refused = 0
    for number in range(6):
        try:
            ref.tell(number)
        except MailboxFullError:
            refused += 1
    assert refused == (3 if overflow == "fail" else 0)
    assert swarm.agents(Narrow)[0].waiting == 3
    clock.advance(1.0)
    assert log == handled
    assert swarm.dead_letters().counts == letters


def test_under_backpressure_senders_wait_until_the_agent_is_back(swarm: Swarm, clock: ManualClock) -> None:
    class Narrow(Worker):
        mailbox = Mailbox(capacity=2)

    log: list[Any] = []
    supervise(swarm, Child(Narrow, "a", (log,)))
    ref = swarm.agent(Narrow, "a")
    for _ in range(2):
        ref.tell(-1)
        clock.settle()
    sender = threading.Thread(target=lambda: [ref.tell(number) for number in range(5)], daemon=True)
    sender.start()
    eventually(lambda: swarm.agents(Narrow)[0].senders_waiting == 1)
    clock.advance(1.0)
    eventually(lambda: log == [0, 1, 2, 3, 4])
    sender.join(5)
    assert not sender.is_alive()
    assert swarm.dead_letters().counts == {"failed": 2}


def test_the_last_restarts_count_against_the_intensity_for_their_period(
    swarm: Swarm, clock: ManualClock, restarted: list[Any]
) -> None:
    inner = Supervisor([Child(Worker, "a")], intensity=2, period_s=10.0, backoff=None, name="inner")
    swarm.supervise(Supervisor([inner], backoff=None))
    ref = swarm.agent(Worker, "a")
    escalated: list[Any] = []
    swarm.on_event(lambda event: escalated.append(event) if "Escalated" in type(event).__name__ else None)
    for after_s in (0.0, 5.0, 5.0, 5.0):  # never three within 10 s
        clock.advance(after_s)
        ref.tell(-1)
        clock.settle()
    assert escalated == []
    clock.advance(4.0)
    ref.tell(-1)
    clock.settle()
    assert len(escalated) == 1
    assert swarm._running.failure is None
