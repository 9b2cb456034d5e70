"""Going down: the last first, each within its time, whatever hangs; and what happens meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from covey import Agent, Backoff, Child, Supervisor, Swarm
from covey.framework.events import AgentEscalated, AgentFailed, AgentRestarted, AgentStarted, AgentStopped
from tests.framework.supervision.crew import (
    AsyncWorker,
    ThreadWorker,
    Worker,
    all_up,
    count,
    fail,
    limits,
    nested,
    starts_of,
    states,
)
from tests.framework.waiting import eventually

KINDS = [Worker, ThreadWorker, AsyncWorker]


class Noting(Agent):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.append(f"start {self.key}")

    def on_stop(self) -> None:
        self.log.append(f"stop {self.key}")


class AsyncNoting(Noting):
    async def on_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.log.append(f"stop {self.key}")


class ThreadNoting(Noting):
    dispatcher = "thread"


class Hanging(Worker):
    """Its first instance does not stop by itself."""

    async def on_stop(self) -> None:  # type: ignore[override]
        self.log.append("hangs")
        if self.log.count("hangs") == 1:
            await asyncio.sleep(3600)


class ThreadHanging(Worker):
    """Holds its thread in `on_stop`, for a while that no test waits for."""

    dispatcher = "thread"

    def on_stop(self) -> None:
        self.log.append("hangs")
        if self.log.count("hangs") == 1:
            threading.Event().wait(0.5)


@pytest.mark.parametrize("cls", [Noting, AsyncNoting, ThreadNoting])
@pytest.mark.parametrize("leave", ["stop the swarm", "stop the supervisor"])
def test_children_start_in_order_and_stop_in_reverse(swarm: Swarm, cls: type[Noting], leave: str) -> None:
    log: list[str] = []
    inner = Supervisor([Child(cls, key, (log,)) for key in "bc"], name="inner")
    supervisor = swarm.supervise(Supervisor([Child(cls, "a", (log,)), inner, Child(cls, "d", (log,))]))
    eventually(lambda: len(log) == 4)
    if leave == "stop the swarm":
        swarm.stop()
    else:
        supervisor.stop().get(5)
    assert log == [*(f"start {key}" for key in "abcd"), *(f"stop {key}" for key in "dcba")]


@pytest.mark.parametrize("cls", [Hanging, ThreadHanging])
def test_a_child_that_does_not_stop_in_its_time_is_killed(swarm: Swarm, events: list[Any], cls: Any) -> None:
    log: list[Any] = []
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a"), Child(cls, "b", (log,), shutdown_s=0.03)]))
    all_up(supervisor)
    supervisor.stop().get(5)
    assert log == ["hangs"]
    assert not swarm._running.directory.cells
    assert swarm._running.failure is None


@pytest.mark.parametrize("cls", [Hanging, ThreadHanging])
def test_a_child_with_no_time_to_stop_is_killed_at_once(swarm: Swarm, cls: Any) -> None:
    log: list[Any] = []
    supervisor = swarm.supervise(Supervisor([Child(cls, "a", (log,), shutdown_s=0)]))
    all_up(supervisor)
    supervisor.terminate_child(f"{cls.kind}/a").get(5)
    assert states(supervisor) == {f"{cls.kind}/a": "ended"}
    assert "hangs" not in log or cls is ThreadHanging


@pytest.mark.parametrize("shutdown_s", [0, 0.03])
@pytest.mark.parametrize("cls", [Hanging, ThreadHanging])
def test_a_child_that_hangs_while_its_group_restarts_is_replaced_and_lives(
    swarm: Swarm, events: list[Any], cls: Any, shutdown_s: float
) -> None:
    log: list[Any] = []
    children = [Child(cls, "a", (log,), shutdown_s=shutdown_s), Child(Worker, "b")]
    supervisor = swarm.supervise(Supervisor(children, **limits("one_for_all")))
    all_up(supervisor)
    fail(swarm.agent(Worker, "b"))
    eventually(lambda: count(events, AgentRestarted) == 2)
    # What the first instance's hook still does must not end the second one.
    for number in range(20):
        assert swarm.agent(cls, "a").ask(number).get(5) == number + 1
    assert states(supervisor) == {f"{cls.kind}/a": "running", "worker/b": "running"}
    assert starts_of(events) == {f"{cls.kind}/a": 2, "worker/b": 2}


def test_an_on_start_that_is_cut_off_is_no_failure_of_the_next_instance(
    swarm: Swarm, events: list[Any]
) -> None:
    class Hangs(Worker):
        async def on_start(self) -> None:  # type: ignore[override]
            self.log.append("start")
            await asyncio.sleep(3600 if self.log.count("start") == 1 else 0.01)

    log: list[Any] = []
    children = [Child(Worker, "a"), Child(Hangs, "b", (log,), shutdown_s=0.03)]
    swarm.supervise(Supervisor(children, **limits("one_for_all")))
    eventually(lambda: log == ["start"])
    fail(swarm.agent(Worker, "a"))
    assert swarm.agent(Hangs, "b").ask(1).get() == 1
    assert log == ["start", "start", 1]
    assert [event.address for event in events if isinstance(event, AgentFailed)] == ["worker/a"]


@pytest.mark.parametrize("shutdown_s", [5.0, 0.03, 0])
def test_a_failed_parent_that_waits_for_its_children_goes_down_with_its_group(
    swarm: Swarm, events: list[Any], shutdown_s: float
) -> None:
    class Slow(Worker):
        dispatcher = "thread"

        def on_stop(self) -> None:
            go_on.wait(5)

    class Parent(Worker):
        def on_start(self) -> None:
            self.log.append("start")
            self.spawn(Slow, f"{len(self.log)}")

    go_on = threading.Event()
    log: list[Any] = []
    children = [Child(Parent, "a", (log,), shutdown_s=shutdown_s), Child(Worker, "b")]
    inner = Supervisor(children, intensity=2, backoff=None, name="inner")
    supervisor = swarm.supervise(Supervisor([inner], backoff=None)).supervisor("inner")
    all_up(supervisor)
    fail(swarm.agent(Parent, "a"))  # its restart waits for its child
    fail(swarm.agent(Worker, "b"))
    fail(swarm.agent(Worker, "b"))
    eventually(lambda: count(events, AgentEscalated) == 1)
    go_on.set()
    assert swarm.agent(Parent, "a").ask(1).get() == 1
    all_up(supervisor)
    assert log == ["start", "start", 1]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_restart_does_not_wait_for_the_on_failure_of_a_sibling(
    swarm: Swarm, events: list[Any], strategy: Any
) -> None:
    class Slow(Worker):
        async def on_failure(self, *args: Any) -> None:  # type: ignore[override]
            began.set()
            await asyncio.to_thread(go_on.wait, 5)
            ended.set()

    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    supervisor = swarm.supervise(Supervisor([Child(Worker, "a"), Child(Slow, "b")], **limits(strategy)))
    all_up(supervisor)
    swarm.agent(Slow, "b").tell(-1)
    assert began.wait(5)
    fail(swarm.agent(Worker, "a"))
    assert swarm.agent(Worker, "a").ask(1).get() == 1
    go_on.set()
    assert ended.wait(5)
    assert [swarm.agent(Slow, "b").ask(number).get() for number in range(5)] == [1, 2, 3, 4, 5]
    assert starts_of(events) == {"worker/a": 2, "slow/b": 2}


@pytest.mark.parametrize("cls", KINDS)
def test_a_child_that_raises_in_on_stop_ends_and_its_siblings_after_it(swarm: Swarm, cls: Any) -> None:
    class Raising(cls):  # type: ignore[misc]
        def on_stop(self) -> None:
            log.append(self.key)
            raise OSError("no disk")

    log: list[str] = []
    supervisor = swarm.supervise(Supervisor([Child(Raising, key) for key in "abc"]))
    all_up(supervisor)
    supervisor.stop().get(5)
    assert log == ["c", "b", "a"]
    assert swarm._running.failure is None


@pytest.mark.parametrize("cls", [Worker, ThreadWorker])
def test_a_child_that_fails_while_it_stops_is_not_restarted(
    swarm: Swarm, events: list[Any], cls: Any
) -> None:
    class Failing(cls):  # type: ignore[misc]
        async def on_receive(self, message: Any) -> None:  # type: ignore[override]
            began.set()
            await asyncio.to_thread(go_on.wait, 5)
            raise OSError("no disk")

    began, go_on = threading.Event(), threading.Event()
    supervisor = swarm.supervise(Supervisor([Child(Failing, "a")]))
    swarm.agent(Failing, "a").tell(1.5)
    assert began.wait(5)
    stopped = supervisor.stop()
    eventually(lambda: states(supervisor) == {"failing/a": "ending"})
    go_on.set()
    stopped.get(5)
    assert count(events, AgentFailed) == 1
    assert starts_of(events) == {"failing/a": 1}
    assert not swarm._running.directory.cells


def test_a_stop_during_backoff_ends_the_child_with_its_mail_as_dead_letters(swarm: Swarm) -> None:
    spec = Supervisor([Child(Worker, "a")], backoff=Backoff(initial_s=60, max_s=60, jitter=0))
    supervisor = swarm.supervise(spec)
    ref = swarm.agent(Worker, "a")
    for _ in range(2):
        fail(ref)
    eventually(lambda: states(supervisor) == {"worker/a": "backoff"})
    ref.tell(1)
    supervisor.stop().get(5)
    assert swarm.dead_letters().counts == {"stopped": 1}
    assert not swarm._running.directory.cells


def test_the_swarm_stops_at_once_while_a_failed_agent_waits_for_its_restart() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.supervise(Supervisor([Child(Worker, "a")], backoff=Backoff(initial_s=60, max_s=60, jitter=0)))
        ref = swarm.agent(Worker, "a")
        ref.tell(-1)
        ref.tell(-1)
        eventually(lambda: swarm.dead_letters().counts == {"failed": 2})
        ref.tell(1)
    assert swarm.dead_letters().counts == {"failed": 2, "stopped": 1}


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_the_swarm_stops_in_the_midst_of_a_restart(strategy: Any) -> None:
    class SlowToStart(Worker):
        async def on_start(self) -> None:  # type: ignore[override]
            self.log.append("start")
            if self.log.count("start") > 1:
                restarting.set()
                await asyncio.to_thread(go_on.wait, 5)

    restarting, go_on = threading.Event(), threading.Event()
    log: list[Any] = []
    seen: list[Any] = []
    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.on_event(seen.append)
        children = [Child(SlowToStart, "a", (log,)), Child(Worker, "b")]
        all_up(swarm.supervise(Supervisor(children, **limits(strategy))))
        swarm.agent(SlowToStart, "a").tell(-1)
        assert restarting.wait(5)
        threading.Timer(0.05, go_on.set).start()
    assert not swarm._running.directory.cells
    assert {event.address for event in seen if isinstance(event, AgentStopped)} >= {"slow_to_start/a"}


@pytest.mark.parametrize("cls", KINDS)
def test_leaving_the_swarm_lets_supervised_agents_handle_their_mail(cls: type[Worker]) -> None:
    log: list[Any] = []
    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.supervise(Supervisor([Supervisor([Child(cls, "a", (log,))], name="inner")]))
        for number in range(1000):
            swarm.agent(cls, "a").tell(number)
    assert log == list(range(1000))
    assert len(swarm.dead_letters()) == 0


def test_a_child_may_tell_an_earlier_one_while_the_swarm_is_left() -> None:
    class Teller(AsyncWorker):
        async def on_receive(self, message: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            self.agent(Worker, "a").tell(int(message))

    log: list[Any] = []
    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.supervise(Supervisor([Child(Worker, "a", (log,)), Child(Teller, "b")]))
        for number in range(200):
            swarm.agent(Teller, "b").tell(float(number))
    assert log == list(range(200))


def test_supervisors_of_supervisors_start_restart_and_stop_at_depth_50(
    swarm: Swarm, events: list[Any]
) -> None:
    supervisor = swarm.supervise(nested(50, Child(Worker, "a"), intensity=1, backoff=None))
    ref = swarm.agent(Worker, "a")
    for _ in range(7):
        fail(ref)
        assert ref.ask(1).get() == 1
    # Each allows one restart, so every second failure below it is one of its own: 7 // 2 + 7 // 4.
    assert count(events, AgentEscalated) == 4
    supervisor.stop().get(5)
    assert not swarm._running.directory.cells
    assert count(events, AgentStarted) == 1
