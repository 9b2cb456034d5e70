"""The futures of Pykka's refs and proxies: threads wait for them, coroutines await them."""

from __future__ import annotations

import asyncio
import queue
import traceback
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from covey import Agent, AskTimeoutError, BlockingCallError
from covey.framework.pykka_future import AgentFuture

DEADLINE_S = 10


class Answering(Agent):
    def answer(self, value: Any) -> Any:
        return value

    def fail(self) -> None:
        raise ValueError("as asked")


class Asking(Agent):
    """On the loop, as `Answering`: a blocking wait would never end."""

    def __init__(self, other: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self._other = other.proxy()

    async def await_other(self) -> list[Any]:
        first = await self._other.answer(1)
        return [first, *await self._other.answer(2).join(self._other.answer(3))]

    def block_on_other(self) -> Any:
        return self._other.answer(1).get()

    def look_at_other(self) -> Any:
        return self._other.answer(1).get(timeout=0)

    def wait_for_the_stop_of_other(self) -> Any:
        return self._other.actor_ref.stop()

    def wait_on_the_flag_of_other(self) -> Any:
        return self._other.actor_ref.actor_stopped.wait()


class Alone(Agent):
    dispatcher = "thread"

    def stop_and_wait(self) -> Any:
        return self.actor_ref.stop()


@pytest.fixture
def other() -> Any:
    ref = Answering.start()
    yield ref
    ref.stop()


@pytest.fixture
def asking(other: Any) -> Any:
    ref = Asking.start(other)
    yield ref.proxy()
    ref.stop()


def awaited_before_it_is_set(make: Callable[[AgentFuture[Any]], Any], value: Any) -> Any:
    """The result of an `await` that begins first, in the same loop that sets the value then."""

    async def both() -> Any:
        future: AgentFuture[Any] = AgentFuture()
        waiting = asyncio.create_task(wait_for(make(future)))
        await asyncio.sleep(0)
        assert not waiting.done()
        future.set(value)
        return await asyncio.wait_for(waiting, DEADLINE_S)

    async def wait_for(future: Any) -> Any:
        return await future

    return asyncio.run(both())


def test_awaiting_a_future_does_not_block_the_loop_that_sets_it() -> None:
    assert awaited_before_it_is_set(lambda future: future, 5) == 5


def test_awaiting_what_was_made_of_a_future_does_not_block_the_loop_either() -> None:
    assert awaited_before_it_is_set(lambda f: f.map(lambda value: value + 1), 5) == 6
    assert awaited_before_it_is_set(lambda f: f.filter(lambda item: item > 1), [1, 2]) == [2]
    assert awaited_before_it_is_set(lambda f: f.reduce(lambda x, y: x + y, 10), [1, 2]) == 13
    assert awaited_before_it_is_set(lambda f: f.join(f.map(lambda value: -value)), 5) == [5, -5]


def test_awaiting_a_future_with_a_hook_of_the_users_own_runs_the_hook_beside_the_loop() -> None:
    def hooked(future: AgentFuture[Any]) -> AgentFuture[Any]:
        outer: AgentFuture[Any] = AgentFuture()
        outer.set_get_hook(lambda timeout: [future.get(timeout=timeout)])
        return outer

    assert awaited_before_it_is_set(hooked, 5) == [5]


def test_a_join_with_a_future_of_a_threading_actor_can_be_awaited() -> None:
    threads: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
    threads.set(7)
    assert awaited_before_it_is_set(lambda future: future.join(threads), 5) == [5, 7]


def test_an_error_comes_out_of_an_await_as_out_of_get() -> None:
    async def awaited(future: Any) -> None:
        await future

    future: AgentFuture[Any] = AgentFuture()
    future.set_exception((ValueError, None, None))
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        asyncio.run(awaited(future))
    with pytest.raises(ValueError):  # noqa: PT011
        asyncio.run(awaited(future.map(str)))


def test_a_cancelled_await_leaves_the_future_to_others() -> None:
    async def cancel() -> Any:
        future: AgentFuture[Any] = AgentFuture()
        given_up = asyncio.ensure_future(future)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        future.set(5)
        return await future

    assert asyncio.run(cancel()) == 5


def test_each_get_raises_the_error_with_the_traceback_that_it_was_set_with() -> None:
    future: AgentFuture[Any] = AgentFuture()
    try:
        raise ValueError("once")
    except ValueError:
        future.set_exception()
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="once") as raised:
            future.get()
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(lengths) == 1


def test_a_value_a_second_one_and_a_hook_exclude_each_other() -> None:
    future: AgentFuture[Any] = AgentFuture()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set_exception((ValueError, ValueError(), None))
    assert future.get() == 1


def test_a_timeout_names_the_agent_and_is_pykkas() -> None:
    class Holding(Agent):
        dispatcher = "thread"

        def on_receive(self, gate: Any) -> None:
            gate.get(timeout=DEADLINE_S)

    gate: AgentFuture[None] = AgentFuture()
    ref = Holding.start()
    held = ref.ask(gate, block=False)
    try:
        with pytest.raises(pykka.Timeout, match="no reply from holding/"):
            held.get(timeout=0.001)
        with pytest.raises(AskTimeoutError, match="holding/"):
            held.get(timeout=0)
    finally:
        gate.set(None)
    assert held.get(timeout=DEADLINE_S) is None
    assert ref.stop()


def test_an_agent_on_the_loop_awaits_the_proxy_of_another_on_the_same_loop(asking: Any) -> None:
    assert asking.await_other().get(timeout=DEADLINE_S) == [1, 2, 3]


def test_blocking_the_loop_of_a_node_raises_with_advice_instead_of_a_deadlock(
    asking: Any, other: Any
) -> None:
    with pytest.raises(BlockingCallError, match="await"):
        asking.block_on_other().get(timeout=DEADLINE_S)
    with pytest.raises(AskTimeoutError):
        asking.look_at_other().get(timeout=DEADLINE_S)
    with pytest.raises(BlockingCallError, match=r"await actor_ref\.stop\(block=False\)"):
        asking.wait_on_the_flag_of_other().get(timeout=DEADLINE_S)
    assert other.is_alive()
    with pytest.raises(BlockingCallError, match="await"):
        asking.wait_for_the_stop_of_other().get(timeout=DEADLINE_S)
    assert other.actor_stopped.wait(DEADLINE_S)


def test_an_agent_that_waits_for_its_own_stop_is_told_so() -> None:
    ref = Alone.start()
    with pytest.raises(BlockingCallError, match=r"waits for its own answer.*self\.stop\(\)"):
        ref.proxy().stop_and_wait().get(timeout=DEADLINE_S)
    assert ref.actor_stopped.wait(DEADLINE_S)


def test_a_stop_can_be_awaited(other: Any) -> None:
    async def stop_twice() -> tuple[bool, bool]:
        first = await asyncio.wait_for(asyncio.ensure_future(other.stop(block=False)), DEADLINE_S)
        return first, await other.stop(block=False)

    assert asyncio.run(stop_twice()) == (True, False)
