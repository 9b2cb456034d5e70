"""`self.after`: a message to oneself, later, in order, and not to an instance that is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar

import pytest

from covey import (
    Agent,
    AgentDeadError,
    AgentRef,
    Child,
    ConfigurationError,
    Mailbox,
    Supervisor,
    Swarm,
    handles,
)
from covey.framework.state import STOPPED
from tests.framework.waiting import eventually, held_up


class Later(Agent):
    """Does what it is told, and notes the numbers that come."""

    got: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    @handles(FunctionType)
    def do(self, what: Callable[[Any], Any]) -> Any:
        return what(self)

    @handles
    def note(self, number: int) -> None:
        self.got.append(number)
        assert self.sender == self.ref
        assert self.deadline is None

    @handles
    def fail(self, text: str) -> None:
        raise ValueError(text)


class LaterThread(Later):
    dispatcher = "thread"


CLASSES = [Later, LaterThread]


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Later.got.clear()


def cell_of(swarm: Swarm, ref: AgentRef) -> Any:
    cell = swarm._running.directory.find(ref._address)
    assert cell is not None
    return cell


def told_later(ref: AgentRef, *delays: float) -> None:
    """Let the agent send itself 0, 1, 2, ..., each after its delay."""

    def tell(agent: Later) -> None:
        agent.sent += [agent.after(delay_s, number) for number, delay_s in enumerate(delays)]

    ref.ask(tell).get()


@pytest.mark.parametrize("cls", CLASSES)
def test_messages_come_once_in_the_order_of_their_delays(swarm: Swarm, cls: type[Later]) -> None:
    ref = swarm.spawn(cls, "a")
    told_later(ref, 0.03, 0.01, 0.02, 0, 0.0)
    eventually(lambda: len(Later.got) == 5)
    assert Later.got == [3, 4, 1, 2, 0]
    assert not cell_of(swarm, ref).timers


@pytest.mark.parametrize("cls", CLASSES)
def test_equal_delays_keep_the_order_of_their_calls(swarm: Swarm, cls: type[Later]) -> None:
    told_later(swarm.spawn(cls, "a"), *[0.005] * 200)
    eventually(lambda: len(Later.got) == 200)
    assert Later.got == list(range(200))


def test_a_message_without_delay_comes_behind_the_mail_that_is_there(swarm: Swarm) -> None:
    ref = swarm.spawn(Later, "a")
    with held_up(swarm):
        ref.tell(lambda agent: agent.after(0, 3))
        for number in (0, 1, 2):
            ref.tell(lambda agent, number=number: Later.got.append(number))
    eventually(lambda: Later.got == [0, 1, 2, 3])


@pytest.mark.parametrize("cls", CLASSES)
def test_a_cancelled_message_never_comes(swarm: Swarm, cls: type[Later]) -> None:
    ref = swarm.spawn(cls, "a")

    def tell(agent: Later) -> None:
        agent.after(0, 0).cancel()
        agent.after(0.005, 1).cancel()
        kept = agent.after(0.005, 2)
        agent.sent += [kept, agent.after(0.01, 3)]
        agent.after(3600, 4).cancel()

    ref.ask(tell).get()
    eventually(lambda: len(Later.got) == 2)
    actor = cell_of(swarm, ref).actor
    for timer in actor.sent:
        timer.cancel()  # it was sent: nothing happens
    assert [repr(timer).rpartition(" ")[2] for timer in actor.sent] == ["sent>", "sent>"]
    eventually(lambda: not cell_of(swarm, ref).timers)
    assert Later.got == [2, 3]


def test_a_message_may_be_cancelled_from_another_thread(swarm: Swarm) -> None:
    ref = swarm.spawn(Later, "a")
    timer = ref.ask(lambda agent: agent.after(3600, 1)).get()
    assert len(cell_of(swarm, ref).timers) == 1
    timer.cancel()
    eventually(lambda: not cell_of(swarm, ref).timers)
    assert "cancelled" in repr(timer)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_stop_cancels_what_has_not_come_and_leaves_no_dead_letter(swarm: Swarm, cls: type[Later]) -> None:
    ref = swarm.spawn(cls, "a")
    told_later(ref, 3600, 3600)
    timers = cell_of(swarm, ref).actor.sent
    ref.stop().get()
    assert all("cancelled" in repr(timer) for timer in timers)
    for timer in timers:
        timer._fire()  # as a loop that had it in hand already
    assert Later.got == []
    assert not swarm.dead_letters().counts


@pytest.mark.parametrize("cls", CLASSES)
def test_a_failure_cancels_what_has_not_come_before_the_next_instance(swarm: Swarm, cls: type[Later]) -> None:
    swarm.supervise(Supervisor([Child(cls, "a")]))
    ref = swarm.agent(cls, "a")
    told_later(ref, 3600)
    timers = cell_of(swarm, ref).actor.sent
    with pytest.raises(ValueError, match="now"):
        ref.ask("now").get()
    ref.ask(lambda agent: agent.sent.append(agent.after(0.001, 7))).get()
    eventually(lambda: Later.got == [7])
    assert "cancelled" in repr(timers[0])
    assert not cell_of(swarm, ref).timers


def test_it_finds_room_in_a_full_mailbox(swarm: Swarm) -> None:
    began, filled, gate = threading.Event(), threading.Event(), threading.Event()

    class Full(LaterThread):
        mailbox = Mailbox(capacity=2, overflow="fail")

    ref = swarm.spawn(Full, "a")

    def hold(agent: Later) -> None:
        began.set()
        filled.wait(10)
        agent.sent += [agent.after(0, number) for number in range(3)]
        gate.wait(10)

    ref.tell(hold)
    assert began.wait(5)
    cell = cell_of(swarm, ref)
    for text in ("first", "second"):
        ref.tell(lambda agent, text=text: Later.got.append(text))
    filled.set()
    eventually(lambda: len(cell.mail) == 5)
    gate.set()
    eventually(lambda: len(Later.got) == 5)
    assert Later.got == ["first", "second", 0, 1, 2]
    assert not swarm.dead_letters().counts


def test_a_constructor_and_on_start_may_send_themselves_messages(swarm: Swarm) -> None:
    class Early(Later):
        def __init__(self) -> None:
            super().__init__()
            self.after(0, 0)

        def on_start(self) -> None:
            self.after(0.005, 1)

    swarm.spawn(Early, "a")
    eventually(lambda: Later.got == [0, 1])


def test_a_constructor_that_fails_leaves_no_message_behind(swarm: Swarm) -> None:
    class Broken(Later):
        made: ClassVar[list[Any]] = []

        def __init__(self) -> None:
            super().__init__()
            self.made.append(self.after(3600, 0))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        swarm.spawn(Broken, "a")
    assert "cancelled" in repr(Broken.made[0])


def test_an_agent_that_stops_or_has_stopped_cannot_send_itself_anything(swarm: Swarm) -> None:
    refused: list[str] = []
    actors: list[Later] = []

    class Leaving(Later):
        def on_stop(self) -> None:
            actors.append(self)
            with pytest.raises(AgentDeadError) as caught:
                self.after(0, 1)
            refused.append(str(caught.value))

    ref = swarm.spawn(Leaving, "a")
    cell = cell_of(swarm, ref)
    ref.stop().get()
    assert refused == ["leaving/a cannot answer: it is stopping, and waits for nothing more"]
    assert cell.state == STOPPED
    with pytest.raises(AgentDeadError, match="it is stopped"):
        actors[0].after(0, 1)


@pytest.mark.parametrize("delay_s", [-1, -0.001, float("nan"), float("inf"), 1e9, "1", None, True])
def test_a_delay_that_makes_no_sense_is_refused(swarm: Swarm, delay_s: Any) -> None:
    ref = swarm.spawn(Later, "a")

    def tell(agent: Later) -> str:
        with pytest.raises(ConfigurationError, match="give seconds, 0 or more") as caught:
            agent.after(delay_s, 1)
        return str(caught.value)

    assert repr(delay_s) in ref.ask(tell).get()


def test_any_message_may_be_sent_later_also_one_that_looks_like_mail(swarm: Swarm) -> None:
    class Any_(Agent):
        kind = "any"
        got: ClassVar[list[Any]] = []

        @handles
        def take(self, thing: object) -> None:
            if thing == "go":
                for one in ((1, 2), None, ["x"]):
                    self.after(0, one)
            else:
                self.got.append(thing)

    swarm.spawn(Any_, "a").tell("go")
    eventually(lambda: Any_.got == [(1, 2), None, ["x"]])
