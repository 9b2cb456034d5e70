"""Supervisors at work, on a real node."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from covey import (
    Agent,
    AgentDeadError,
    Backoff,
    Child,
    ConfigurationError,
    Supervisor,
    Swarm,
    SwarmFailedError,
    handles,
)
from covey.framework.events import AgentEscalated, AgentRestarted, AgentStarted
from tests.framework.waiting import eventually, held_up


class Worker(Agent):
    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log = [] if log is None else log
        self.count = 0

    @handles
    def work(self, number: int) -> int:
        if number < 0:
            raise ValueError(f"bad {number}")
        self.count += 1
        self.log.append(number)
        return self.count

    @handles
    def stop_yourself(self, text: str) -> None:
        self.stop()


class ThreadWorker(Worker):
    dispatcher = "thread"


class AsyncWorker(Worker):
    @handles
    async def work(self, number: int) -> int:  # type: ignore[override]
        return super().work(number)


@pytest.fixture
def events(swarm: Swarm) -> list[Any]:
    seen: list[Any] = []
    swarm.on_event(seen.append)
    return seen


def count(events: list[Any], kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)


def cell_of(swarm: Swarm, ref: Any) -> Any:
    return swarm._running.directory.find(ref._address, activate=False)


@pytest.mark.parametrize("cls", [Worker, ThreadWorker, AsyncWorker])
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


def test_more_failures_than_the_intensity_end_the_swarm_with_its_error() -> None:
    def fail_three_times() -> None:
        with Swarm.local(trace_ratio=0.0) as swarm:
            swarm.supervise(Supervisor([Child(Worker, "a")], intensity=2, backoff=None, name="pool"))
            ref = swarm.agent(Worker, "a")
            for _ in range(3):
                with pytest.raises(ValueError, match="bad"):
                    ref.ask(-1).get()
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
        with pytest.raises(ValueError, match="bad"):
            ref.ask(-1).get()
    eventually(lambda: count(events, AgentEscalated) == 1 and count(events, AgentRestarted) == 3)
    assert {event.cause for event in events if isinstance(event, AgentRestarted)} == {
        "",
        "its supervisor outer/inner restarts",
    }
    assert swarm.agent(Worker, "b").ask(1).get() == 1
    assert ref.ask(1).get() == 1
    assert swarm._running.failure is None


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


@pytest.mark.parametrize("child", [Worker, ThreadWorker, AsyncWorker])
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


def test_the_first_restart_is_immediate_and_the_next_waits(swarm: Swarm, events: list[Any]) -> None:
    swarm.supervise(Supervisor([Child(Worker, "a")], backoff=Backoff(initial_s=0.1, jitter=0)))
    ref = swarm.agent(Worker, "a")
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            ref.ask(-1).get()
        ref.ask(1).get()
    first, second = (event.down_s for event in events if isinstance(event, AgentRestarted))
    assert first < 0.1 <= second


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

    def fail() -> None:
        with Swarm.local(trace_ratio=0.0) as swarm:
            swarm.supervise(Supervisor([Child(Doomed, "a")], intensity=3, backoff=None))
            swarm.agent(Doomed, "a").tell("x")
            swarm.wait(5)

    with pytest.raises(SwarmFailedError, match="OSError: no disk"):
        fail()
    assert len(made) == 4


def test_a_child_whose_on_start_fails_is_restarted_by_its_supervisor(swarm: Swarm) -> None:
    starts: list[int] = []

    class Shaky(Worker):
        def on_start(self) -> None:
            starts.append(1)
            if len(starts) < 3:
                raise OSError("not yet")

    swarm.supervise(Supervisor([Child(Shaky, "a")], backoff=None))
    assert swarm.agent(Shaky, "a").ask(1).get() == 1


def test_a_child_that_cannot_be_constructed_raises_in_the_caller_and_stops_its_siblings(
    swarm: Swarm,
) -> None:
    class Broken(Agent):
        def __init__(self) -> None:
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        swarm.supervise(Supervisor([Child(Worker, "a"), Child(Broken, "b")]))
    eventually(lambda: not swarm._running.directory.cells)


def test_a_placed_agent_restarts_and_one_that_fails_too_often_is_stopped_alone(
    swarm: Swarm, events: list[Any]
) -> None:
    class Placed(Agent):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1

        @handles
        def work(self, number: int) -> int:
            if number < 0:
                raise ValueError("bad")
            return self.made

    ref = swarm.agent(Placed, "a")
    ref.tell(-1)
    assert ref.ask(1).get() == 2
    swarm._running.directory._placed.backoff = None
    for _ in range(5):
        ref.tell(-1)
    eventually(lambda: count(events, AgentEscalated) == 1, timeout_s=10)
    assert swarm._running.failure is None
    assert ref.ask(1).get() == 7


def test_the_swarm_stops_at_once_while_a_failed_agent_waits_for_its_restart() -> None:
    import time

    with Swarm.local() as swarm:
        swarm.supervise(Supervisor([Child(Worker, "a")], backoff=Backoff(initial_s=60, max_s=60, jitter=0)))
        ref = swarm.agent(Worker, "a")
        ref.tell(-1)
        ref.tell(-1)
        eventually(lambda: swarm.dead_letters().counts == {"failed": 2})
        ref.tell(1)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert swarm.dead_letters().counts == {"failed": 2, "stopped": 1}


def test_children_start_in_order_and_stop_in_reverse(swarm: Swarm) -> None:
    log: list[str] = []

    class Noting(Agent):
        def on_start(self) -> None:
            log.append(f"start {self.key}")

        def on_stop(self) -> None:
            log.append(f"stop {self.key}")

    swarm.supervise(Supervisor([Child(Noting, key) for key in "abc"]))
    eventually(lambda: len(log) == 3)
    swarm.stop()
    assert log == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Supervisor([Child(Worker, "a"), Child(Worker, "a")]), "stands in it twice"),
        (lambda: Supervisor([Worker]), "is no Child"),  # type: ignore[list-item]
        (lambda: Supervisor([], strategy="all"), "choose one of"),  # type: ignore[arg-type]
        (lambda: Supervisor([], intensity=-1), "0 or more"),
        (lambda: Supervisor([], period_s=0), "more than 0"),
        (lambda: Child(int, "a"), "subclass of Agent"),  # type: ignore[arg-type]
        (lambda: Child(Worker, "a", restart="often"), "choose one of"),  # type: ignore[arg-type]
        (lambda: Backoff(initial_s=-1), "needs finite numbers with 0 <= initial_s"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make()


def test_a_child_that_fails_while_its_supervisor_starts_is_restarted(swarm: Swarm) -> None:
    class Quick(Worker):
        def on_start(self) -> None:
            if not self.log:
                self.log.append("failed")
                raise OSError("at once")

    class SlowToMake(Agent):
        def __init__(self, log: list[Any]) -> None:
            super().__init__()
            eventually(lambda: log == ["failed"])

    log: list[Any] = []
    done = threading.Event()
    swarm.on_event(lambda event: done.set() if isinstance(event, AgentRestarted) else None)
    swarm.supervise(Supervisor([Child(Quick, "a", (log,)), Child(SlowToMake, "b", (log,))]))
    assert done.wait(5)
    assert swarm.agent(Quick, "a").ask(1).get() == 1


class Tagged(Agent):
    """Says which constructor argument it was made with; the default is what placement would give."""

    def __init__(self, tag: str = "placed") -> None:
        super().__init__()
        self.tag = tag

    @handles
    def say(self, text: str) -> str:
        return self.tag


def test_mail_that_comes_while_a_stopped_permanent_child_is_replaced_is_handled(swarm: Swarm) -> None:
    class SlowToStop(Tagged):
        async def on_stop(self) -> None:  # type: ignore[override]
            stopping.set()
            await asyncio.to_thread(go_on.wait, 5)

    stopping, go_on = threading.Event(), threading.Event()
    swarm.supervise(Supervisor([Child(SlowToStop, "a", ("supervised",))]))
    ref = swarm.agent(SlowToStop, "a")
    stopped = ref.stop()
    assert stopping.wait(5)
    replies = [swarm.agent(SlowToStop, "a").ask("x") for _ in range(10)]
    go_on.set()
    stopped.get()
    assert {reply.get() for reply in replies} == {"supervised"}
    assert len(swarm.dead_letters()) == 0


def test_several_requests_to_stop_replace_a_permanent_child_once(swarm: Swarm, events: list[Any]) -> None:
    swarm.supervise(Supervisor([Child(Tagged, "a", ("supervised",))], intensity=1))
    ref = swarm.agent(Tagged, "a")
    ref.ask("x").get()
    with held_up(swarm):
        stops = [ref.stop() for _ in range(5)]
    for reply in stops:
        reply.get()
    assert ref.ask("x").get() == "supervised"
    assert count(events, AgentStarted) == 2


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_no_placed_agent_answers_for_a_child_that_ended_for_good(swarm: Swarm, restart: Any) -> None:
    swarm.supervise(Supervisor([Child(Tagged, "a", ("supervised",), restart=restart)]))
    ref = swarm.agent(Tagged, "a")
    ref.stop().get()
    for _ in range(3):
        with pytest.raises(AgentDeadError, match="it has stopped"):
            ref.ask("x").get()
        ref.tell("x")
    assert swarm.dead_letters().counts["stopped"] >= 3
    eventually(lambda: swarm._running.presence.registered_on(ref._address) is None)
    assert swarm.spawn(Tagged, "a", "anew").ask("x").get() == "anew"


@pytest.mark.parametrize("cls", [Worker, ThreadWorker, AsyncWorker])
def test_leaving_the_swarm_lets_supervised_agents_handle_their_mail(cls: type[Worker]) -> None:
    log: list[Any] = []
    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.supervise(Supervisor([Supervisor([Child(cls, "a", (log,))], name="inner")]))
        for number in range(1000):
            swarm.agent(cls, "a").tell(number)
    assert log == list(range(1000))
    assert len(swarm.dead_letters()) == 0


def test_a_child_may_tell_an_earlier_one_while_the_swarm_is_left() -> None:
    class Teller(Agent):
        @handles
        async def work(self, number: int) -> None:
            await asyncio.sleep(0)
            self.agent(Worker, "a").tell(number)

    log: list[Any] = []
    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.supervise(Supervisor([Child(Worker, "a", (log,)), Child(Teller, "b")]))
        for number in range(200):
            swarm.agent(Teller, "b").tell(number)
    assert log == list(range(200))


def test_a_parent_whose_constructor_fails_at_restart_leaves_no_child_behind() -> None:
    class Parent(Worker):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1
            self.spawn(Worker, "child")
            if self.made == 2:
                raise OSError("no disk")

    with Swarm.local(trace_ratio=0.0) as swarm:
        swarm.supervise(Supervisor([Child(Parent, "a")], backoff=None))
        ref = swarm.agent(Parent, "a")
        ref.tell(-1)
        assert ref.ask(1).get() == 1
        assert Parent.made == 3
        assert len(swarm._running.directory.cells) == 2


def test_the_asker_learns_why_a_placed_agent_cannot_be_made(swarm: Swarm) -> None:
    class NoDb(Worker):
        def __init__(self) -> None:
            super().__init__()
            raise RuntimeError("no db")

    swarm._running.directory._placed.backoff = None
    name = swarm.node_name
    sentence = rf"RuntimeError: no db \(message: none; supervisor: placed; failures: 6; restarts: 5\).*{name}"
    with pytest.raises(AgentDeadError, match=sentence) as caught:
        swarm.agent(NoDb, "a").ask(1).get()
    assert isinstance(caught.value.__cause__, RuntimeError)
