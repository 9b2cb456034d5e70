"""`gather`: many replies as one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from covey import Agent, AskCancelledError, ConfigurationError, Reply, Swarm, gather, handles
from tests.framework.waiting import eventually


class Echo(Agent):
    @handles
    def echo(self, number: int) -> int:
        return number

    @handles
    def fail(self, text: str) -> None:
        raise ValueError(text)


class Held(Agent):
    """Answers once its gate is open."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate
        self.cancelled = threading.Event()

    @handles
    async def wait(self, number: int) -> int:
        try:
            while not self.gate.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return number


class Asker(Agent):
    @handles
    async def ask_all(self, refs: list) -> list[int]:  # type: ignore[type-arg]
        return await gather(*(ref.ask(number) for number, ref in enumerate(refs)))


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0) as running:
        yield running


def test_the_answers_come_in_the_order_of_the_asks(swarm: Swarm) -> None:
    gate = threading.Event()
    held, quick = swarm.spawn(Held, "a", gate), swarm.spawn(Echo, "a")
    gathered = gather(held.ask(1), quick.ask(2), quick.ask(3))
    quick.ask(0).get()
    assert not gathered.done()
    gate.set()
    assert gathered.get(5) == [1, 2, 3]


def test_an_agent_awaits_a_thousand_others_at_once(swarm: Swarm) -> None:
    refs = [swarm.spawn(Echo, str(number)) for number in range(1000)]
    assert swarm.spawn(Asker, "a").ask(refs).get() == list(range(1000))


def test_the_first_error_fails_it_at_once_and_the_others_go_on(swarm: Swarm) -> None:
    gate = threading.Event()
    held, quick = swarm.spawn(Held, "a", gate).ask(1), swarm.spawn(Echo, "a")
    gathered = gather(held, quick.ask("broken"))
    with pytest.raises(ValueError, match="broken"):
        gathered.get(5)
    assert not held.done()
    gate.set()
    assert held.get(5) == 1


def test_errors_stand_among_the_answers_if_asked_for(swarm: Swarm) -> None:
    answers = gather(
        swarm.spawn(Echo, "a").ask(1), swarm.spawn(Echo, "b").ask("broken"), return_errors=True
    ).get(5)
    assert answers[0] == 1
    assert isinstance(answers[1], ValueError)


def test_to_cancel_it_cancels_what_is_pending(swarm: Swarm) -> None:
    ref = swarm.spawn(Held, "a", threading.Event())
    held = ref.ask(1)
    gathered = gather(held, swarm.spawn(Echo, "a").ask(2))
    eventually(lambda: swarm.agents(Held)[0].handlers == 1)
    assert gathered.cancel()
    with pytest.raises(AskCancelledError):
        held.get(5)
    actor: Any = ref._cell.actor  # type: ignore[union-attr]
    assert actor.cancelled.wait(5)


def test_nothing_to_wait_for_is_answered_at_once() -> None:
    assert gather().get(0) == []


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give replies, such as"):
        gather(Reply(), 7)  # type: ignore[call-overload]
