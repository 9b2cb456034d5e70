"""Tell and ask, replies, deadlines, cancellation and ask cycles."""

from __future__ import annotations

import asyncio
import gc
import threading
from time import monotonic
from typing import Any

import pytest

from covey import (
    Agent,
    AgentDeadError,
    AskCancelledError,
    AskCycleError,
    AskTimeoutError,
    BlockingCallError,
    ConfigurationError,
    Reject,
    Reply,
    Swarm,
    gather,
    handles,
)
from covey.framework.deadlines import LARGE_BYTES
from tests.framework.waiting import eventually


class Echo(Agent):
    @handles
    def echo(self, text: str) -> str:
        return text

    @handles
    def nothing(self, nothing: None) -> None: ...

    @handles
    def fail(self, error: Exception) -> None:
        raise error


class Slow(Agent):
    """Waits for an event that the test sets."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.gate = asyncio.Event()

    @handles
    async def wait(self, text: str) -> str:
        self.log.append("started")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        self.log.append("ended")
        return text


class Stubborn(Slow):
    cancellable = False


def open_gate(swarm: Swarm, agent: Slow) -> None:
    swarm._running.dispatcher.call(agent.gate.set)


def actor_of(swarm: Swarm, ref: Any) -> Any:
    return swarm._running.directory.find(ref._address).actor  # type: ignore[union-attr]


def test_an_answer_comes_back_also_when_it_is_none(swarm: Swarm) -> None:
    echo = swarm.spawn(Echo, "a")
    assert echo.ask("x").get() == "x"
    assert echo.ask(None).get() is None


def test_a_handlers_error_reaches_the_asker_and_ends_an_unsupervised_agent(swarm: Swarm) -> None:
    echo = swarm.spawn(Echo, "a")
    error = KeyError("lost")
    with pytest.raises(KeyError) as caught:
        echo.ask(error).get()
    assert caught.value is error
    eventually(lambda: swarm._running.directory.find(echo._address) is None)
    began = monotonic()
    with pytest.raises(AgentDeadError, match="echo/a"):
        echo.ask("x", timeout=5).get()
    assert monotonic() - began < 1
    assert swarm.dead_letters().counts == {"stopped": 1}


def test_a_reject_answers_the_asker_and_the_agent_lives(swarm: Swarm) -> None:
    echo = swarm.spawn(Echo, "a")
    with pytest.raises(Reject, match="not today"):
        echo.ask(Reject("not today")).get()
    echo.tell(Reject("told"))
    assert echo.ask("x").get() == "x"
    assert swarm.dead_letters().counts == {"rejected": 1}


def test_an_ask_times_out_at_its_deadline_and_the_started_handler_goes_on(swarm: Swarm) -> None:
    log: list[str] = []
    slow = swarm.spawn(Slow, "a", log)
    began = monotonic()
    with pytest.raises(AskTimeoutError, match=r"str to slow/a within 0\.1 s") as caught:
        slow.ask("x", timeout=0.1).get()
    assert 0.099 <= monotonic() - began < 1
    assert isinstance(caught.value, TimeoutError)
    open_gate(swarm, actor_of(swarm, slow))
    eventually(lambda: log == ["started", "ended"])


def test_an_awaited_ask_times_out_too(swarm: Swarm) -> None:
    slow = swarm.spawn(Slow, "a", [])

    async def wait() -> None:
        await slow.ask("x", timeout=0.05)

    with pytest.raises(AskTimeoutError):
        asyncio.run(wait())


def test_work_whose_deadline_has_passed_is_not_started(swarm: Swarm) -> None:
    log: list[str] = []
    slow = swarm.spawn(Slow, "a", log)
    first = slow.ask("first")
    with pytest.raises(AskTimeoutError):
        slow.ask("late", timeout=0.01).get()
    open_gate(swarm, actor_of(swarm, slow))
    assert first.get() == "first"
    eventually(lambda: swarm.dead_letters().counts == {"expired": 1})
    assert log == ["started", "ended"]


@pytest.mark.parametrize(("given", "most"), [(60.0, 2.0), (0.5, 0.5)])
def test_an_inherited_deadline_is_only_shortened(swarm: Swarm, given: float, most: float) -> None:
    seen: list[float | None] = []

    class Inner(Agent):
        @handles
        def look(self, text: str) -> None:
            seen.append(self.deadline)

    class Outer(Agent):
        @handles
        async def pass_on(self, text: str) -> None:
            await self.agent(Inner, "i").ask(text, timeout=given)

    swarm.agent(Outer, "o").ask("x", timeout=2).get()
    swarm.agent(Inner, "i").tell("told")
    eventually(lambda: len(seen) == 2)
    assert seen[0] is not None
    assert most - 0.4 < seen[0] <= most
    assert seen[1] is None


def test_a_task_left_behind_by_a_handler_has_no_deadline_of_its_ask(swarm: Swarm) -> None:
    got: list[Any] = []

    class Starter(Agent):
        def __init__(self) -> None:
            super().__init__()
            self.go = asyncio.Event()

        @handles
        async def start_one(self, text: str) -> None:
            self.task = asyncio.create_task(self.later())

        async def later(self) -> None:
            await self.go.wait()
            got.append(self.deadline)
            got.append(await self.agent(Echo, "e").ask("late"))

    starter = swarm.spawn(Starter, "a")
    starter.ask("x", timeout=0.05).get()
    with pytest.raises(AskTimeoutError):
        swarm.spawn(Slow, "s", []).ask("wait until that deadline is over", timeout=0.06).get()
    swarm._running.dispatcher.call(actor_of(swarm, starter).go.set)
    eventually(lambda: got == [None, "late"])


def test_cancel_reaches_a_running_handler(swarm: Swarm) -> None:
    log: list[str] = []
    slow = swarm.spawn(Slow, "a", log)
    reply = slow.ask("x")
    eventually(lambda: log == ["started"])
    assert reply.cancel()
    assert not reply.cancel()
    eventually(lambda: log == ["started", "cancelled"])
    with pytest.raises(AskCancelledError):
        reply.get()
    assert slow.kind == "slow"


def test_cancelled_work_that_has_not_started_never_does(swarm: Swarm) -> None:
    log: list[str] = []
    slow = swarm.spawn(Slow, "a", log)
    first, second = slow.ask("first"), slow.ask("second")
    second.cancel()
    open_gate(swarm, actor_of(swarm, slow))
    assert first.get() == "first"
    eventually(lambda: swarm.dead_letters().counts == {"expired": 1})
    assert log == ["started", "ended"]


def test_an_agent_that_is_not_cancellable_goes_on(swarm: Swarm) -> None:
    log: list[str] = []
    stubborn = swarm.spawn(Stubborn, "a", log)
    reply = stubborn.ask("x")
    eventually(lambda: log == ["started"])
    reply.cancel()
    open_gate(swarm, actor_of(swarm, stubborn))
    eventually(lambda: log == ["started", "ended"])


def test_a_cancelled_await_cancels_the_handler(swarm: Swarm) -> None:
    log: list[str] = []
    slow = swarm.spawn(Slow, "a", log)

    async def give_up() -> None:
        async def wait() -> None:
            await slow.ask("x")

        task = asyncio.create_task(wait())
        while log != ["started"]:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(give_up(), 5))
    eventually(lambda: log == ["started", "cancelled"])


def test_get_on_the_nodes_own_thread_raises_with_advice(swarm: Swarm) -> None:
    class Blocking(Agent):
        @handles
        async def block(self, text: str) -> str:
            return self.agent(Echo, "e").ask(text).get()

    with pytest.raises(BlockingCallError, match=r"echo/e in an async handler.*dispatcher = \"thread\""):
        swarm.spawn(Blocking, "a").ask("x").get()


def test_a_reply_is_awaited_from_several_foreign_loops_any_number_of_times(swarm: Swarm) -> None:
    slow = swarm.spawn(Slow, "a", [])
    reply = slow.ask("x")
    results: list[list[str]] = []

    async def wait() -> list[str]:
        return [*await asyncio.gather(_await(reply), _await(reply)), await reply]

    threads = [threading.Thread(target=lambda: results.append(asyncio.run(wait()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(reply._waiters or ()) == 6)
    open_gate(swarm, actor_of(swarm, slow))
    for thread in threads:
        thread.join(5)
    assert results == [["x", "x", "x"]] * 3


async def _await(reply: Any) -> Any:
    return await reply


class Chain(Agent):
    """Asks the agents named in the message, one after the other."""

    @handles
    async def pass_on(self, path: list) -> Any:  # type: ignore[type-arg]
        kind, key = path[0]
        rest = path[1:]
        target = self.agent(kind, key)
        return await target.ask(rest or "end", timeout=1)

    @handles
    def end(self, text: str) -> str:
        return text


class Reentrant(Chain):
    reentrant = True
    concurrency = 2


class Threaded(Agent):
    dispatcher = "thread"

    @handles
    def pass_on(self, path: list) -> Any:  # type: ignore[type-arg]
        return self.agent(*path[0]).ask(path[1:], timeout=1).get()


def test_an_ask_cycle_fails_at_once_with_its_path(swarm: Swarm) -> None:
    for cls in (Chain, Reentrant, Threaded):
        swarm.agent(cls, "x")
    a = swarm.spawn(Chain, "a")
    began = monotonic()
    with pytest.raises(AskCycleError) as caught:
        a.ask([("chain", "b"), ("chain", "a")]).get()
    assert caught.value.path == ("chain/a", "chain/b", "chain/a")
    assert monotonic() - began < 0.5


def test_an_agent_that_asks_itself_is_a_cycle(swarm: Swarm) -> None:
    with pytest.raises(AskCycleError, match="chain/a -> chain/a"):
        swarm.agent(Chain, "a").ask([("chain", "a")]).get()


def test_a_cycle_through_a_thread_agent_that_blocks_is_found(swarm: Swarm) -> None:
    swarm.agent(Chain, "b")
    with pytest.raises(AskCycleError, match="threaded/a -> chain/b -> threaded/a"):
        swarm.agent(Threaded, "a").ask([("chain", "b"), ("threaded", "a")]).get()


def test_a_reentrant_agent_with_a_free_slot_may_be_asked_again(swarm: Swarm) -> None:
    swarm.agent(Chain, "b")
    assert swarm.agent(Reentrant, "a").ask([("chain", "b"), ("reentrant", "a")]).get() == "end"


def test_a_tell_clears_the_chain(swarm: Swarm) -> None:
    answers: list[str] = []

    class Teller(Agent):
        @handles
        async def start_it(self, text: str) -> None:
            self.agent(Asker, "b").tell(text)

        @handles
        def number(self, number: int) -> int:
            return number + 1

    class Asker(Agent):
        @handles
        async def ask_back(self, text: str) -> None:
            answers.append(str(await self.agent(Teller, "a").ask(1, timeout=1)))

    swarm.agent(Asker, "b")
    swarm.agent(Teller, "a").ask("go").get()
    eventually(lambda: answers == ["2"])


def test_the_sender_of_a_message_is_known_to_its_handler_and_nobody_outside_is(swarm: Swarm) -> None:
    class Asked(Agent):
        @handles
        def who(self, text: str) -> str:
            return "nobody" if self.sender is None else self.sender.address

    class Asking(Agent):
        @handles
        async def pass_on(self, text: str) -> str:
            return await self.agent(Asked, "b").ask(text)

    asked = swarm.agent(Asked, "b")
    assert swarm.agent(Asking, "a").ask("x").get() == "asking/a"
    assert asked.ask("x").get() == "nobody"


def test_messages_of_one_sender_keep_their_order(swarm: Swarm) -> None:
    class Collector(Agent):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[str, int]] = []

        @handles
        def take(self, item: tuple) -> None:  # type: ignore[type-arg]
            self.seen.append(item)

        @handles
        async def all(self, text: str) -> list[tuple[str, int]]:
            return self.seen

    collector = swarm.spawn(Collector, "a")

    def send(name: str) -> None:
        for number in range(300):
            if number % 7:
                collector.tell((name, number))
            else:
                collector.ask((name, number))

    threads = [threading.Thread(target=send, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    seen = collector.ask("all").get()
    for name in "abc":
        assert [number for sender, number in seen if sender == name] == list(range(300))


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf")])
def test_an_ask_without_a_sensible_deadline_is_refused(swarm: Swarm, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="every ask has a deadline"):
        swarm.spawn(Echo, "a").ask("x", timeout=timeout)


def test_an_ask_after_the_swarm_has_ended_resolves(swarm: Swarm) -> None:
    echo = swarm.spawn(Echo, "a")
    swarm.stop()

    async def wait() -> None:
        await asyncio.wait_for(echo.ask("x"), 2)

    with pytest.raises(AgentDeadError):
        asyncio.run(wait())


def test_asks_of_an_agent_that_is_held_up_resolve_when_the_swarm_stops() -> None:
    release = threading.Event()

    class Held(Agent):
        dispatcher = "thread"

        @handles
        def hold(self, text: str) -> str:
            release.wait(20)
            return text

    with Swarm.local() as swarm:
        held = swarm.spawn(Held, "a")
        running, waiting = held.ask("x", timeout=60), held.ask("y", timeout=60)
        eventually(lambda: len(swarm._running.directory.find(held._address).mail) == 1)  # type: ignore[union-attr]
        swarm.stop(0.1)
        for reply in (running, waiting):
            with pytest.raises(AgentDeadError):
                reply.get(2)
        assert swarm.dead_letters().counts == {"stopped": 1}
        release.set()


def test_a_settled_reply_is_freed_without_a_garbage_collection(swarm: Swarm) -> None:
    ref = swarm.spawn(Echo, "e")
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            ref.ask("x").get()
        eventually(lambda: sum(type(o) is Reply for o in gc.get_objects()) < 20)
    finally:
        gc.enable()


def test_polling_get_leaves_no_waiter_and_says_that_the_ask_goes_on(swarm: Swarm) -> None:
    reply = swarm.spawn(Slow, "s", []).ask("x")
    for _ in range(20):
        with pytest.raises(AskTimeoutError, match="the ask goes on: call get"):
            reply.get(timeout=0.001)
    assert not reply._waiters
    reply.cancel()


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_an_agent_that_waits_for_its_own_end_is_told_so_at_once(swarm: Swarm, dispatcher: Any) -> None:
    class SelfStopping(Agent):
        @handles
        async def stop_and_wait(self, text: str) -> None:
            await self.ref.stop()

    SelfStopping.dispatcher = dispatcher
    began = monotonic()
    with pytest.raises(BlockingCallError, match=r"call self\.stop\(\)"):
        swarm.spawn(SelfStopping, "a").ask("x").get()
    assert monotonic() - began < 1


def test_an_agent_that_asks_to_be_stopped_without_waiting_stops(swarm: Swarm) -> None:
    class Leaving(Agent):
        @handles
        async def leave(self, text: str) -> str:
            self.ref.stop()
            return text

    assert swarm.spawn(Leaving, "a").ask("x").get() == "x"
    eventually(lambda: not swarm._running.directory.cells)


def test_what_many_asks_took_is_given_back_before_their_deadline(swarm: Swarm) -> None:
    ref = swarm.spawn(Echo, "many")
    wheel = swarm._running.dispatcher.wheel
    gather(*(ref.ask("x", timeout=300) for _ in range(5_000))).get(30)
    buckets = list(wheel._buckets.values())
    assert buckets
    assert max(bucket.__sizeof__() for bucket in buckets) <= LARGE_BYTES
