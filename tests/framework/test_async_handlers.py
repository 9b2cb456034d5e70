"""`async def` handlers are real tasks: asyncio's own tools work in them, and cancellation reaches them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any

import pytest

from covey import Agent, AgentDeadError, AskCancelledError, AskTimeoutError, Swarm, handles
from tests.framework.waiting import eventually

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Doer(Agent):
    """Runs the coroutine function that it is sent."""

    @handles(FunctionType)
    async def do(self, what: Callable[[Any], Awaitable[Any]]) -> Any:
        return await what(self)


class DoerThread(Doer):
    dispatcher = "thread"


class Gated(Agent):
    """Answers once its gate is open, and notes how its handlers ended."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.log: list[str] = []

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


CLASSES = [Doer, DoerThread]


def gated(swarm: Swarm) -> tuple[Any, Gated]:
    ref = swarm.spawn(Gated, "gated")
    cell: Any = ref._cell
    return ref, cell.actor


def open_gate(swarm: Swarm, actor: Gated) -> None:
    swarm._running.dispatcher.call(actor.gate.set)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_handler_runs_in_one_task_from_its_first_step_on(swarm: Swarm, cls: type[Doer]) -> None:
    async def look(agent: Doer) -> bool:
        first = asyncio.current_task()
        await asyncio.sleep(0)
        return first is not None and asyncio.current_task() is first and first in asyncio.all_tasks()

    ref = swarm.spawn(cls, "a")
    assert [ref.ask(look).get() for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("cls", CLASSES)
def test_each_handler_has_a_task_of_its_own_also_when_it_never_suspends(
    swarm: Swarm, cls: type[Doer]
) -> None:
    tasks: list[Any] = []

    async def look(agent: Doer) -> int:
        tasks.append(asyncio.current_task())
        return len(tasks)

    ref = swarm.spawn(cls, "a")
    replies = [ref.ask(look) for _ in range(5)]
    assert [reply.get() for reply in replies] == [1, 2, 3, 4, 5]
    assert len(set(map(id, tasks))) == 5
    eventually(lambda: all(task.done() for task in tasks))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("on", ["sleep", "ask"])
def test_a_timeout_inside_a_handler_ends_what_it_waits_for_and_the_handler_goes_on(
    swarm: Swarm, cls: type[Doer], on: str
) -> None:
    target, actor = gated(swarm)

    async def limited(agent: Doer) -> str:
        try:
            async with asyncio.timeout(0.01):
                await (asyncio.sleep(60) if on == "sleep" else target.ask("x", timeout=60))
        except TimeoutError as error:
            task = asyncio.current_task()
            assert task is not None
            assert not task.cancelling()
            await asyncio.sleep(0)
            return "asyncio's" if type(error) is TimeoutError else "the ask's"
        return "none"

    ref = swarm.spawn(cls, "a")
    assert [ref.ask(limited).get() for _ in range(2)] == ["asyncio's"] * 2
    if on == "ask":
        eventually(lambda: actor.log == ["started", "cancelled"] * 2)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_asks_own_deadline_raises_its_own_error_in_the_handler(swarm: Swarm, cls: type[Doer]) -> None:
    target, actor = gated(swarm)

    async def limited(agent: Doer) -> str:
        with pytest.raises(AskTimeoutError):
            await target.ask("x", timeout=0.01)
        return "went on"

    assert swarm.spawn(cls, "a").ask(limited).get() == "went on"
    open_gate(swarm, actor)
    eventually(lambda: actor.log == ["started", "ended"])  # a timeout does not stop a started handler


@pytest.mark.parametrize("cls", CLASSES)
def test_a_cancelled_ask_reaches_the_handler_at_the_end_of_a_chain(swarm: Swarm, cls: type[Doer]) -> None:
    target, actor = gated(swarm)
    ended: list[str] = []

    async def wait(agent: Doer) -> None:
        try:
            await target.ask("x", timeout=60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    ref = swarm.spawn(cls, "a")
    reply = ref.ask(wait, timeout=60)
    eventually(lambda: actor.log == ["started"])
    assert reply.cancel()
    eventually(lambda: actor.log == ["started", "cancelled"])
    eventually(lambda: ended == ["cancelled"])

    async def still_here(agent: Doer) -> str:
        return "here"

    assert ref.ask(still_here).get() == "here"
    with pytest.raises(AskCancelledError):
        reply.get()


@pytest.mark.parametrize("cls", CLASSES)
def test_a_cancelled_handler_that_sleeps_may_clean_up_with_awaits(swarm: Swarm, cls: type[Doer]) -> None:
    began, log = threading.Event(), []

    async def sleep(agent: Doer) -> None:
        try:
            began.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    reply = swarm.spawn(cls, "a").ask(sleep, timeout=60)
    assert began.wait(5)
    reply.cancel()
    eventually(lambda: log == ["cleaned up"])


def test_asyncios_own_tools_take_replies(swarm: Swarm) -> None:
    async def square(agent: Doer) -> int:
        return int(agent.key) ** 2

    async def fail(agent: Doer) -> None:
        raise ValueError(agent.key)

    async def tools(agent: Doer) -> list[Any]:
        def ask(number: int, what: Any = square) -> Any:
            return agent.agent(Doer, str(number)).ask(what)

        got: list[Any] = [await asyncio.gather(*(ask(n) for n in range(20)))]
        got.append(await asyncio.wait_for(ask(3), 5))
        got.append(await asyncio.shield(asyncio.ensure_future(_wait(ask(4)))))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_wait(ask(n))) for n in range(5)]
        got.append([task.result() for task in tasks])
        failed = await asyncio.gather(ask(21, fail), ask(22), return_exceptions=True)
        return [*got, type(failed[0]).__name__, failed[1]]

    squares = [n**2 for n in range(20)]
    assert swarm.spawn(Doer, "100").ask(tools).get() == [squares, 9, 16, squares[:5], "ValueError", 484]


async def _wait(reply: Any) -> Any:
    return await reply


def test_one_reply_is_awaited_by_many_tasks_and_loops_and_threads_at_once(swarm: Swarm) -> None:
    target, actor = gated(swarm)
    reply = target.ask("x", timeout=60)
    got: list[Any] = []

    async def many(agent: Doer) -> list[Any]:
        return [*await asyncio.gather(*(_wait(reply) for _ in range(5))), await reply]

    async def outside() -> None:
        got.append(await asyncio.gather(*(_wait(reply) for _ in range(5))))

    inside = [swarm.spawn(cls, "a").ask(many, timeout=60) for cls in CLASSES]
    threads = [threading.Thread(target=lambda: asyncio.run(outside())) for _ in range(2)]
    threads += [threading.Thread(target=lambda: got.append([reply.get(30)] * 5)) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(reply._waiters or ()) == 5 + 5 + 10 + 2)
    open_gate(swarm, actor)
    for thread in threads:
        thread.join(10)
    assert got == [["x"] * 5] * 4
    assert [one.get() for one in inside] == [["x"] * 6] * 2
    assert asyncio.run(_wait(reply)) == "x"  # and once more, in a new loop, after it was answered


def test_a_reply_cancelled_while_many_wait_ends_for_all_of_them(swarm: Swarm) -> None:
    target, actor = gated(swarm)
    reply = target.ask("x", timeout=60)

    async def wait(agent: Doer) -> str:
        try:
            await reply
        except AskCancelledError:
            return "cancelled"
        return "answered"

    inside = [swarm.spawn(cls, "a").ask(wait, timeout=60) for cls in CLASSES]
    eventually(lambda: isinstance(reply._waiters, list) and len(reply._waiters) == 2)
    assert reply.cancel()
    assert [one.get() for one in inside] == ["cancelled"] * 2
    eventually(lambda: actor.log == ["started", "cancelled"])


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_before_the_first_await_fails_the_agent_once(swarm: Swarm, cls: type[Doer]) -> None:
    def immediately(agent: Doer) -> Any:
        raise KeyError("no coroutine even")

    ref = swarm.spawn(cls, "a")
    cell: Any = ref._cell
    with pytest.raises(KeyError):
        ref.ask(immediately).get()
    eventually(lambda: not swarm._running.directory.cells)
    assert cell.failures == 1
    assert not cell.tasks
    assert cell.running == 0


def test_a_task_left_behind_goes_on_while_the_agent_handles_other_messages(swarm: Swarm) -> None:
    target, actor = gated(swarm)
    got: list[Any] = []

    async def leave(agent: Doer) -> None:
        async def left() -> None:
            got.append(await target.ask("x", timeout=60))
            got.append(agent.sender)
            agent.ref.tell(note)

        got.append(asyncio.create_task(left()))

    async def note(agent: Doer) -> None:
        got.append("noted")

    async def nothing(agent: Doer) -> str:
        return "here"

    ref = swarm.spawn(Doer, "a")
    ref.ask(leave).get()
    assert ref.ask(nothing).get() == "here"
    eventually(lambda: actor.log == ["started"])
    open_gate(swarm, actor)
    eventually(lambda: len(got) == 4)
    assert got[1:] == ["x", None, "noted"]


def test_sender_and_variables_are_the_agents_own_across_every_await(swarm: Swarm) -> None:
    async def inner(agent: Doer) -> str:
        VARIABLE.set(f"inner {agent.key}")
        await asyncio.sleep(0)
        assert agent.sender is not None
        return f"{agent.sender.key} {VARIABLE.get()}"

    async def outer(agent: Doer) -> list[str]:
        VARIABLE.set(f"outer {agent.key}")
        seen = []
        for key in ("x", "y", "x"):
            seen.append(await agent.agent(Doer, key).ask(inner))
            seen.append(f"{agent.sender} {VARIABLE.get()}")
        return seen

    replies = {key: swarm.spawn(Doer, key).ask(outer) for key in "abc"}
    for key, reply in replies.items():
        mine = f"None outer {key}"
        assert reply.get() == [f"{key} inner x", mine, f"{key} inner y", mine, f"{key} inner x", mine]
    assert VARIABLE.get() == "unset"


def test_an_agent_killed_while_it_waits_in_an_ask_ends_and_tells_its_asker(swarm: Swarm) -> None:
    target, actor = gated(swarm)

    async def wait(agent: Doer) -> None:
        await target.ask("x", timeout=60)

    ref = swarm.spawn(Doer, "a")
    reply = ref.ask(wait, timeout=60)
    eventually(lambda: actor.log == ["started"])
    cell: Any = ref._cell
    swarm._running.life.request_kill(cell, "it was killed")
    with pytest.raises(AgentDeadError):
        reply.get(2)
    eventually(lambda: actor.log == ["started", "cancelled"])
    eventually(lambda: not cell.tasks)
