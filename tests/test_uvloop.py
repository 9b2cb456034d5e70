"""A swarm on uvloop: the same asks, timers and cancellations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from covey import (
    Agent,
    AskCancelledError,
    AskTimeoutError,
    Child,
    ConfigurationError,
    Supervisor,
    Swarm,
    every,
    handles,
)
from tests.framework.waiting import eventually

uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")


class Worker(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.ticks = 0
        self.got: list[int] = []
        self.log: list[str] = []

    @every(0.005)
    def tick(self) -> None:
        self.ticks += 1

    @handles
    def take(self, number: int) -> int:
        self.got.append(number)
        return number

    @handles
    async def wait(self, text: str) -> str:
        self.log.append(type(asyncio.get_running_loop()).__module__)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return text

    @handles
    async def pass_on(self, key: bytes) -> Any:
        return await self.agent(Worker, key.decode()).ask(7)

    @handles
    async def limited(self, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                await self.agent(Worker, "slow").ask("x", timeout=60)
        except TimeoutError:
            return "timed out"
        return "answered"

    @handles
    def later(self, count: list) -> None:  # type: ignore[type-arg]
        for number in count:
            self.after(number / 200, number)

    @handles
    async def leave(self, error: BaseException) -> None:
        raise error


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0, uvloop=True) as running:
        yield running
        running.stop(0.3)


def actor_of(ref: Any) -> Worker:
    actor: Worker = ref._cell.actor
    return actor


def test_tells_and_asks_from_threads_tasks_and_agents(swarm: Swarm) -> None:
    ref = swarm.spawn(Worker, "a")
    threads = [threading.Thread(target=lambda: [ref.tell(n) for n in range(500)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert [ref.ask(n).get() for n in range(100)] == list(range(100))
    for thread in threads:
        thread.join(10)
    assert swarm.spawn(Worker, "b").ask(b"a").get() == 7

    async def outside() -> list[int]:
        return list(await asyncio.gather(*(ref.ask(n) for n in range(50))))

    assert asyncio.run(outside()) == list(range(50))
    eventually(lambda: len(actor_of(ref).got) == 1151)


def test_timers_tick_and_come_in_order(swarm: Swarm) -> None:
    ref = swarm.spawn(Worker, "a")
    ref.ask([5, 1, 3, 0, 2, 4]).get()
    eventually(lambda: len(actor_of(ref).got) == 6)
    assert actor_of(ref).got == list(range(6))
    eventually(lambda: actor_of(ref).ticks >= 3)


def test_deadlines_timeouts_and_cancellation_reach_the_handler(swarm: Swarm) -> None:
    slow, ref = swarm.spawn(Worker, "slow"), swarm.spawn(Worker, "a")
    assert ref.ask(0.01).get() == "timed out"
    eventually(lambda: actor_of(slow).log == ["uvloop", "cancelled"])
    reply = slow.ask("x", timeout=60)
    eventually(lambda: len(actor_of(slow).log) == 3)
    assert reply.cancel()
    eventually(lambda: actor_of(slow).log[-1] == "cancelled")
    with pytest.raises(AskCancelledError):
        reply.get()
    with pytest.raises(AskTimeoutError):
        slow.ask("x", timeout=0.01).get()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_a_handler_that_wants_to_exit_fails_its_agent_only(swarm: Swarm, error: BaseException) -> None:
    other = swarm.spawn(Worker, "other")
    with pytest.raises(type(error)):
        swarm.spawn(Worker, "a").ask(error).get()
    assert other.ask(1).get() == 1


def test_what_was_told_before_the_stop_is_handled() -> None:
    with Swarm.local(trace_ratio=0.0, uvloop=True) as swarm:
        ref = swarm.spawn(Worker, "a")
        actor = actor_of(ref)
        for number in range(1000):
            ref.tell(number)
    assert actor.got == list(range(1000))
    assert not swarm.dead_letters().counts


def test_the_environment_chooses_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_UVLOOP", "1")
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert isinstance(swarm._running.dispatcher.loop, uvloop.Loop)
        assert swarm.spawn(Worker, "a").ask(1).get() == 1


def test_a_clock_and_uvloop_exclude_each_other() -> None:
    from covey.framework.clock import SystemClock

    with pytest.raises(ConfigurationError, match="not both"):
        Swarm.local(uvloop=True, clock=SystemClock())


def test_a_task_that_is_cancelled_before_it_began_leaves_no_slot_taken(swarm: Swarm) -> None:
    class Worker(Agent):
        concurrency = 2

        @handles
        async def work(self, number: int) -> int:
            await asyncio.sleep(0.01)
            return number

        @handles
        def fail(self, text: str) -> None:
            raise ValueError(text)

    class Sender(Agent):
        @handles
        def send(self, number: int) -> None:
            worker.tell(number)
            worker.tell("broken")

    swarm.supervise(Supervisor([Child(Worker, "a")], backoff=None, intensity=100))
    worker = swarm.agent(Worker, "a")
    worker.ask(1).get()
    sender = swarm.spawn(Sender, "a")
    for number in range(3):
        sender.ask(number).get()
        assert worker.ask(number).get() == number
    eventually(lambda: swarm.agents(Worker)[0].handlers == 0)
