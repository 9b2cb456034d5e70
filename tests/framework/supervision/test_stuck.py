"""Stuck, slow, failed: three verdicts. What a stuck handler still does has no effect, and is counted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from covey import Agent, AgentDeadError, AgentStuckError, Child, Mailbox, Supervisor, Swarm, handles
from covey.framework.events import AgentFailed, AgentRestarted, AgentSlow, AgentStopped
from tests.framework.supervision.crew import all_up, cell_of, count, limits, starts_of, states
from tests.framework.waiting import eventually

DEADLINE_S = 0.05


class Probe:
    """What the test and the instances of one agent share."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        """Closed, it holds up the first instance."""
        self.over = threading.Event()
        """Set when the first instance's handler has come to its end."""
        self.instances = 0
        self.heard: list[Any] = []
        self.errors: list[BaseException] = []


class Holds(Agent):
    handler_deadline_s = DEADLINE_S

    def __init__(self, probe: Probe | None = None) -> None:
        super().__init__()
        self.probe = probe or PLACED
        self.probe.instances += 1
        self.instance = self.probe.instances

    @handles
    def note(self, number: int) -> int:
        self.probe.heard.append(number)
        return self.instance

    def send_late(self) -> None:
        """What a fenced handler may try."""
        self.agent(Hears, "h").tell("late")
        for attempt in (
            lambda: self.spawn(Hears, "child"),
            lambda: self.publish("topic", "late"),
            lambda: self.after(0, 1),
            lambda: self.agent(Hears, "h").ask("late", timeout=0.1).get(0),
        ):
            try:
                attempt()
            except AgentDeadError as error:
                self.probe.errors.append(error)


class Coroutine(Holds):
    """Waits where it can be cancelled."""

    @handles
    async def hold(self, text: str) -> str:
        if self.instance == 1:
            await asyncio.sleep(3600)
        return text


class Stubborn(Holds):
    """A coroutine that ignores its cancellation."""

    @handles
    async def hold(self, text: str) -> str:
        if self.instance == 1:
            while not self.probe.gate.is_set():
                try:
                    await asyncio.sleep(0.005)
                except asyncio.CancelledError:
                    continue
            self.send_late()
            self.probe.over.set()
        return text


class Blocking(Holds):
    """A handler that holds its thread."""

    dispatcher = "thread"

    @handles
    def hold(self, text: str) -> str:
        if self.instance == 1:
            self.probe.gate.wait(10)
            self.send_late()
            self.probe.over.set()
        return text


class Hears(Agent):
    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe

    def on_receive(self, message: Any) -> None:
        self.probe.heard.append(message)


PLACED = Probe()
KINDS = [Coroutine, Stubborn, Blocking]
LATE = [Stubborn, Blocking]


@pytest.fixture
def probe(swarm: Swarm) -> Any:
    """Opens its gate at the end, so that no thread outlives the test."""
    probe = Probe()
    yield probe
    probe.gate.set()


@pytest.mark.parametrize("cls", KINDS)
def test_a_stuck_agent_fails_and_a_new_instance_takes_over_with_the_mail(
    swarm: Swarm, events: list[Any], probe: Probe, cls: Any
) -> None:
    supervisor = swarm.supervise(Supervisor([Child(cls, "a", (probe,))], backoff=None))
    ref = swarm.agent(cls, "a")
    held = ref.ask("x")
    for number in range(5):
        ref.tell(number)
    with pytest.raises(AgentStuckError, match=rf"{cls.__name__}.hold has not ended within 0.05 s") as caught:
        held.get()
    assert (caught.value.target, caught.value.deadline_s) == (f"{cls.kind}/a", DEADLINE_S)
    assert ref.ask(5).get() == 2
    assert probe.heard == [0, 1, 2, 3, 4, 5]
    assert starts_of(events) == {f"{cls.kind}/a": 2}
    all_up(supervisor)
    assert supervisor.which_children()[0].last_error.startswith("AgentStuckError")
    assert ref.ask("y").get() == "y"


@pytest.mark.parametrize("cls", LATE)
def test_what_a_stuck_handler_still_does_is_discarded_and_counted(
    swarm: Swarm, probe: Probe, cls: Any
) -> None:
    swarm.spawn(Hears, "h", probe)
    swarm.supervise(Supervisor([Child(cls, "a", (probe,))], backoff=None))
    ref = swarm.agent(cls, "a")
    with pytest.raises(AgentStuckError):
        ref.ask("x").get()
    assert ref.ask(1).get() == 2
    probe.gate.set()
    assert probe.over.wait(5)
    assert ref.ask(2).get() == 2
    eventually(lambda: swarm.dead_letters().counts == {"fenced": 5, "late reply": 1})
    assert probe.heard == [1, 2]
    assert len(probe.errors) == 4
    eventually(lambda: swarm._running.fencing.threads == 0)
    assert [agent.address for agent in swarm.agents(cls)] == [f"{cls.kind}/a"]


def hold_again(self: Holds, text: str) -> str:
    """Lets the first instance's handler end while its asker still waits."""
    if self.instance == 1:
        self.probe.gate.wait(10)
        self.probe.over.set()
        return "old"
    self.probe.gate.set()
    assert self.probe.over.wait(5)
    return "new"


async def hold_again_async(self: Holds, text: str) -> str:
    """The same for a coroutine that ignores its cancellation."""
    mine, awaited = (self.probe.over, self.probe.gate)
    if self.instance == 2:
        mine, awaited = awaited, mine
        mine.set()
    while not awaited.is_set():
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            continue
    mine.set()
    return "old" if self.instance == 1 else "new"


@pytest.mark.parametrize(("dispatcher", "hold"), [("loop", hold_again_async), ("thread", hold_again)])
def test_an_ask_that_is_tried_again_is_answered_by_the_new_instance_alone(
    swarm: Swarm, probe: Probe, dispatcher: str, hold: Any
) -> None:
    members = {"dispatcher": dispatcher, "max_retries": 1, "handler_deadline_s": 0.5}
    cls = type("Again", (Holds,), {**members, "hold": handles(str)(hold)})
    swarm.supervise(Supervisor([Child(cls, "a", (probe,))], backoff=None))
    assert swarm.agent(cls, "a").ask("x").get() == "new"
    eventually(lambda: swarm.dead_letters().counts == {"late reply": 1})


def hold_until_told(self: Holds, text: str) -> str:
    self.probe.gate.wait(10)
    return text


async def hold_until_told_async(self: Holds, text: str) -> str:
    while not self.probe.gate.is_set():
        await asyncio.sleep(0.005)
    return text


@pytest.mark.parametrize(
    ("dispatcher", "hold"), [("loop", hold_until_told_async), ("thread", hold_until_told)]
)
def test_a_slow_agent_is_reported_and_not_restarted(
    swarm: Swarm, events: list[Any], probe: Probe, dispatcher: str, hold: Any
) -> None:
    cls = type(
        "Slow", (Holds,), {"dispatcher": dispatcher, "handler_deadline_s": 1.0, "hold": handles(str)(hold)}
    )
    swarm.on_event(lambda event: probe.gate.set() if isinstance(event, AgentSlow) else None)
    swarm.supervise(Supervisor([Child(cls, "a", (probe,))]))
    assert swarm.agent(cls, "a").ask("x").get() == "x"
    (slow,) = [event for event in events if isinstance(event, AgentSlow)]
    assert (slow.address, slow.message_type) == ("slow/a", "builtins.str")
    assert slow.handler.endswith(".hold")
    assert slow.running_s >= 0.5
    assert (count(events, AgentFailed), probe.instances) == (0, 1)


@pytest.mark.parametrize("cls", KINDS)
def test_an_unsupervised_agent_that_is_stuck_stops(
    swarm: Swarm, events: list[Any], probe: Probe, cls: Any
) -> None:
    ref = swarm.spawn(cls, "a", probe)
    held, waiting = ref.ask("x"), ref.ask(1)
    with pytest.raises(AgentStuckError):
        held.get()
    with pytest.raises(AgentDeadError, match="failed with AgentStuckError"):
        waiting.get()
    eventually(lambda: count(events, AgentStopped) == 1)
    assert cell_of(swarm, ref) is None


@pytest.mark.parametrize("cls", KINDS)
def test_a_placed_agent_that_is_stuck_is_replaced(swarm: Swarm, probe: Probe, cls: Any) -> None:
    class Placed(cls):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(probe)

    ref = swarm.agent(Placed, "a")
    with pytest.raises(AgentStuckError):
        ref.ask("x").get()
    assert ref.ask(1).get() == 2


@pytest.mark.parametrize("cls", [Coroutine, Stubborn])
def test_a_stuck_coroutine_may_be_resumed_with_the_state_of_its_agent(
    swarm: Swarm, events: list[Any], probe: Probe, cls: Any
) -> None:
    swarm.supervise(Supervisor([Child(cls, "a", (probe,), verdicts={AgentStuckError: "resume"})]))
    ref = swarm.agent(cls, "a")
    with pytest.raises(AgentStuckError):
        ref.ask("x").get()
    assert ref.ask(1).get() == 1
    assert count(events, AgentRestarted) == 0


def test_a_stuck_thread_cannot_be_resumed_and_is_replaced(swarm: Swarm, probe: Probe) -> None:
    swarm.supervise(Supervisor([Child(Blocking, "a", (probe,), verdicts={AgentStuckError: "resume"})]))
    ref = swarm.agent(Blocking, "a")
    ref.tell("x")
    assert ref.ask(1).get() == 2


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_a_stuck_on_start_is_one_failure_and_the_next_instance_is_not_disturbed(
    swarm: Swarm, events: list[Any], probe: Probe, dispatcher: Any
) -> None:
    class Starts(Holds):
        async def on_start(self) -> None:  # type: ignore[override]
            if self.instance == 1:
                await asyncio.sleep(3600 if dispatcher == "loop" else 0.3)
            await asyncio.sleep(0.01)

    Starts.dispatcher = dispatcher
    supervisor = swarm.supervise(Supervisor([Child(Starts, "a", (probe,))], backoff=None))
    assert swarm.agent(Starts, "a").ask(1).get() == 2
    all_up(supervisor)
    assert count(events, AgentFailed) == 1
    assert probe.instances == 2


def test_a_stuck_thread_that_is_asked_to_end_does_so_within_its_shutdown_time(
    swarm: Swarm, probe: Probe
) -> None:
    supervisor = swarm.supervise(Supervisor([Child(Blocking, "a", (probe,), shutdown_s=0.3)]))
    ref = swarm.agent(Blocking, "a")
    ref.tell("x")
    eventually(lambda: probe.instances == 1 and swarm.agents(Blocking)[0].waiting == 0)
    supervisor.terminate_child("blocking/a").get(5)
    assert states(supervisor) == {"blocking/a": "ended"}
    assert supervisor.restart_child("blocking/a").ask(1).get() == 2


@pytest.mark.parametrize("cls", KINDS)
def test_a_stuck_handler_that_is_watched_keeps_its_watchers(swarm: Swarm, probe: Probe, cls: Any) -> None:
    supervisor = swarm.supervise(Supervisor([Child(cls, "a", (probe,))], backoff=None))
    ref = swarm.agent(cls, "a")
    watch = ref.watch()
    ref.tell("x")
    assert ref.ask(1).get() == 2
    assert not watch.done()
    supervisor.terminate_child(f"{cls.kind}/a").get(5)
    assert watch.get(5).address == f"{cls.kind}/a"


@pytest.mark.parametrize("cls", KINDS)
def test_senders_that_wait_for_room_are_served_by_the_new_instance(
    swarm: Swarm, probe: Probe, cls: Any
) -> None:
    class Narrow(cls):  # type: ignore[misc]
        mailbox = Mailbox(capacity=1)

    swarm.supervise(Supervisor([Child(Narrow, "a", (probe,))], backoff=None))
    ref = swarm.agent(Narrow, "a")
    ref.tell("x")
    sender = threading.Thread(target=lambda: [ref.tell(number) for number in range(4)], daemon=True)
    sender.start()
    sender.join(5)
    assert ref.ask(4).get() == 2
    assert probe.heard == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_stuck_sibling_is_left_behind_when_its_group_restarts(
    swarm: Swarm, probe: Probe, strategy: Any
) -> None:
    class Patient(Blocking):
        handler_deadline_s = None

    children = [Child(Coroutine, "a", (Probe(),)), Child(Patient, "b", (probe,), shutdown_s=0.05)]
    supervisor = swarm.supervise(Supervisor(children, **limits(strategy)))
    swarm.agent(Patient, "b").tell("x")
    swarm.agent(Patient, "b").tell(7)
    eventually(lambda: swarm.agents(Patient)[0].waiting == 1)
    swarm.agent(Coroutine, "a").tell("x")
    assert swarm.agent(Patient, "b").ask(8).get() == 2
    assert probe.heard == [7, 8]
    all_up(supervisor)
    assert swarm._running.fencing.threads == 1
