"""What a node tells of its agents: counters, dead letters, and the report of a death."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from covey import Agent, AgentDeadError, AskTimeoutError, Child, Mailbox, Supervisor, Swarm, handles
from covey.framework.dead_letters import DeadLetter
from tests.framework.waiting import eventually, held_up


class Small(Agent):
    mailbox = Mailbox(capacity=2, overflow="drop_newest")

    @handles
    def take(self, number: int) -> int:
        return number


class Doomed(Agent):
    @handles
    def fail(self, text: str) -> None:
        raise ValueError(text)


class Slow(Agent):
    """Answers only when its gate opens, however long its asker waits."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    @handles
    async def answer(self, number: int) -> int:
        while not self.gate.is_set():
            await asyncio.sleep(0.005)
        return number


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0) as running:
        yield running


def test_an_agent_is_listed_with_the_counters_of_its_mailbox(swarm: Swarm) -> None:
    ref = swarm.spawn(Small, "a")
    swarm.spawn(Doomed, "b")
    ref.ask(0).get()
    with held_up(swarm):
        for number in range(5):
            ref.tell(number)
        (info,) = swarm.agents(Small)
    assert (info.address, info.state, info.capacity) == ("small/a", "running", 2)
    assert (info.waiting, info.handled, info.dropped, info.restarts) == (2, 1, 3, 0)
    assert [agent.address for agent in swarm.agents()] == ["small/a", "doomed/b"]


def test_dead_letters_are_told_to_whoever_subscribes_until_they_unsubscribe(swarm: Swarm) -> None:
    heard: list[DeadLetter] = []
    unsubscribe = swarm.dead_letters().subscribe(heard.append)
    ref = swarm.agent(Doomed, "a")
    ref.tell(3.5)
    eventually(lambda: [letter.reason for letter in heard] == ["unhandled"])
    assert (heard[0].target, heard[0].message_type, heard[0].attempts) == ("doomed/a", "builtins.float", 0)
    unsubscribe()
    ref.tell(3.5)
    eventually(lambda: len(swarm.dead_letters()) == 2)
    assert len(heard) == 1


def test_a_listener_that_raises_loses_no_letter(swarm: Swarm) -> None:
    def broken(letter: DeadLetter) -> None:
        raise RuntimeError("broken")

    heard: list[DeadLetter] = []
    swarm.dead_letters().subscribe(broken)
    swarm.dead_letters().subscribe(heard.append)
    swarm.spawn(Doomed, "a").tell(3.5)
    eventually(lambda: len(heard) == 1)
    assert len(swarm.dead_letters()) == 1


def test_the_letter_of_a_failed_message_and_the_report_name_the_same_message(
    swarm: Swarm, caplog: pytest.LogCaptureFixture
) -> None:
    swarm.spawn(Doomed, "a").tell("broken")
    eventually(lambda: len(swarm.dead_letters()) == 1)
    (letter,) = swarm.dead_letters()
    assert (letter.reason, letter.attempts) == ("failed", 1)
    assert letter.message_id
    assert f"(message: builtins.str {letter.message_id}; supervisor: none; restarts so far: 0" in caplog.text


def test_the_error_of_a_dead_agent_says_who_why_how_often_with_what_and_what_to_do(swarm: Swarm) -> None:
    ref = swarm.spawn(Doomed, "a")
    with pytest.raises(ValueError, match="broken"):
        ref.ask("broken").get()
    eventually(lambda: not swarm.agents())
    with pytest.raises(AgentDeadError) as caught:
        ref.ask("again").get()
    error = caught.value
    assert (error.target, error.supervisor, error.restarts) == ("doomed/a", "", 0)
    assert error.last_message.startswith("builtins.str ")
    for part in ("ValueError: broken", "supervisor: none", "spawn it under a Supervisor", swarm.node_name):
        assert part in str(error)


def test_the_error_of_a_dead_child_names_its_supervisor() -> None:
    swarm = Swarm.local(trace_ratio=0.0).start()
    try:
        swarm.supervise(Supervisor([Child(Doomed, "a", restart="temporary"), Child(Small, "b")], name="shop"))
        swarm.agent(Doomed, "a").tell("broken")
        eventually(lambda: len(swarm.agents()) == 1)
        with pytest.raises(AgentDeadError, match="supervisor: shop") as caught:
            swarm.agent(Doomed, "a").ask("again").get()
        assert caught.value.supervisor == "shop"
    finally:
        swarm.stop()


def test_an_answer_that_comes_too_late_is_a_dead_letter(swarm: Swarm) -> None:
    gate = threading.Event()
    ref = swarm.spawn(Slow, "a", gate)
    with pytest.raises(AskTimeoutError):
        ref.ask(7, timeout=0.05).get()
    gate.set()
    eventually(lambda: swarm.dead_letters().counts == {"late reply": 1})
    (letter,) = swarm.dead_letters()
    assert (letter.sender, letter.payload) == ("slow/a", "7")
