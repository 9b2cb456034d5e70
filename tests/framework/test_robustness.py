"""What must not spread: a callback that raises, a stale deadline, a strange message, a rush of asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from covey import (
    Agent,
    AgentRef,
    AskTimeoutError,
    Mailbox,
    MailboxFullError,
    Swarm,
    Terminated,
    gather,
    handles,
)
from tests.framework.waiting import eventually, held_up


class Echo(Agent):
    @handles
    def echo(self, number: int) -> int:
        return number


class Polling(Agent):
    """A task of its own asks on and on, whatever messages the agent gets meanwhile."""

    def __init__(self, echo: Any) -> None:
        super().__init__()
        self.echo = echo
        self.answers: list[Any] = []
        self.go_on = asyncio.Event()

    def on_start(self) -> None:
        self.task = asyncio.ensure_future(self.poll())

    async def poll(self) -> None:
        await self.go_on.wait()
        assert self.deadline is None
        self.answers.append(await self.echo.ask(7, timeout=5))

    @handles
    def touch(self, number: int) -> int:
        return number

    @handles
    def release(self, text: str) -> None:
        self.go_on.set()

    @handles
    def told(self, nothing: None) -> list:  # type: ignore[type-arg]
        return list(self.answers)


class Strange:
    """A message that answers no question about itself."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"nobody asks for {name}")


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0) as running:
        yield running


def test_a_task_that_a_hook_left_behind_inherits_no_deadline_of_a_message(swarm: Swarm) -> None:
    ref = swarm.spawn(Polling, "a", swarm.spawn(Echo, "a"))
    with held_up(swarm):
        hopeless = ref.ask(1, timeout=0.0)
    with pytest.raises(AskTimeoutError):
        hopeless.get()
    assert ref.ask(2, timeout=0.5).get() == 2
    ref.tell("go on")
    eventually(lambda: ref.ask(None).get() == [7])


def test_an_idle_agent_keeps_nothing_of_the_message_that_it_has_handled(swarm: Swarm) -> None:
    ref = swarm.spawn(Echo, "a")
    assert ref.ask(1).get() == 1
    cell: Any = ref._cell
    eventually(lambda: cell.envelope is None)


def test_a_callback_that_raises_keeps_no_other_ask_from_resolving(
    swarm: Swarm, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("broken callback")

    ref = swarm.spawn(Echo, "a")
    with held_up(swarm):
        expiring = [ref.ask(number, timeout=0.02) for number in range(5)]
        answered = ref.ask(9, timeout=5)
        for reply in (*expiring, answered):
            reply.add_done_callback(broken)
    assert answered.get() == 9
    for reply in expiring:
        eventually(reply.done)
    assert ref.ask(3).get() == 3
    assert "a callback of a reply raised" in caplog.text


def test_a_message_that_raises_whatever_it_is_asked_is_a_dead_letter(swarm: Swarm) -> None:
    ref = swarm.spawn(Echo, "a")
    ref.tell(Strange())
    assert ref.ask(1).get() == 1
    assert swarm.dead_letters().counts == {"unhandled": 1}


def test_a_hundred_thousand_asks_wait_for_room_in_one_mailbox_and_are_all_answered(swarm: Swarm) -> None:
    ref = swarm.spawn(Echo, "a")
    with held_up(swarm):
        asks = [ref.ask(number, timeout=60) for number in range(100_000)]
    assert gather(*asks).get(60) == list(range(100_000))


class Flooded(Agent):
    mailbox = Mailbox(capacity=3, overflow="drop_oldest")

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    @handles
    def watch(self, ref: AgentRef) -> None:
        ref.watch()
        self.after(0.0, "later")

    @handles
    def take(self, number: int) -> None: ...

    @handles
    def ended(self, terminated: Terminated) -> None:
        self.got.append(terminated.address)

    @handles
    def later(self, text: str) -> None:
        self.got.append(text)

    @handles
    def told(self, nothing: None) -> list:  # type: ignore[type-arg]
        return list(self.got)


def test_a_flood_that_drops_the_oldest_drops_no_terminated_and_no_message_of_after(swarm: Swarm) -> None:
    flooded, mortal = swarm.spawn(Flooded, "a"), swarm.spawn(Echo, "mortal")
    with held_up(swarm):
        flooded.tell(mortal)
    mortal.stop().get()
    with held_up(swarm):
        for number in range(50):
            flooded.tell(number)
    eventually(lambda: sorted(flooded.ask(None).get()) == ["echo/mortal", "later"])


def test_a_tell_that_found_no_room_in_time_says_so_however_often_it_is_awaited(swarm: Swarm) -> None:
    class Full(Agent):
        mailbox = Mailbox(capacity=1)

        @handles
        def take(self, number: int) -> None: ...

    ref = swarm.spawn(Full, "a")

    async def send() -> int:
        refused = 0
        ref.tell(1)
        waiting = ref.tell(2)
        for _ in range(2):
            try:
                await waiting
            except MailboxFullError:
                refused += 1
        return refused

    swarm._running.ask_timeout_s = 0.05
    with held_up(swarm):
        assert asyncio.run(send()) == 2
    assert swarm.dead_letters().counts == {"mailbox full": 1}
