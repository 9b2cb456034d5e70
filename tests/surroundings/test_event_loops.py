"""A swarm beside a running event loop: asked from it, from two at once, cancelled from it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import anyio
import pytest

from covey import Agent, AskCancelledError, Swarm, handles
from covey.framework.reply import Reply

WITHIN_S = 10.0


class Echo(Agent):
    @handles
    def echo(self, text: str) -> str:
        return text

    @handles
    def whose_thread(self, number: int) -> int:
        return threading.get_ident()


class Waiting(Agent):
    """Its handler waits until it is released or cancelled, and says so."""

    begun = threading.Event()
    cancelled = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    concurrency = 2

    @handles
    async def wait(self, text: str) -> str:
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return text

    @handles
    def let_go(self, number: int) -> None:
        self.release.set()


@pytest.fixture(autouse=True)
def fresh_marks() -> None:
    Waiting.begun.clear()
    Waiting.cancelled.clear()


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0) as swarm:
        yield swarm


def test_asks_are_awaited_in_the_loop_that_asyncio_run_started() -> None:
    async def main() -> list[str]:
        async with Swarm.local(trace_ratio=0.0) as swarm:
            return await asyncio.gather(*[swarm.agent(Echo, str(n % 7)).ask(str(n)) for n in range(200)])

    assert asyncio.run(main()) == [str(n) for n in range(200)]


def test_agents_run_on_another_thread_than_the_loop_that_asks() -> None:
    async def main() -> tuple[int, int]:
        async with Swarm.local(trace_ratio=0.0) as swarm:
            return await swarm.agent(Echo, "e").ask(1), threading.get_ident()

    theirs, mine = asyncio.run(main())
    assert theirs != mine


def test_get_in_a_coroutine_holds_up_its_own_loop_but_is_answered(swarm: Swarm) -> None:
    async def main() -> str:
        return str(swarm.agent(Echo, "e").ask("x").get())

    assert asyncio.run(main()) == "x"


def test_loops_of_two_threads_share_one_swarm(swarm: Swarm) -> None:
    both = threading.Barrier(2, timeout=WITHIN_S)
    answers: dict[str, list[str]] = {}

    async def main(name: str) -> None:
        both.wait()  # both loops run before either asks
        asks = [swarm.agent(Echo, "shared").ask(f"{name}{n}") for n in range(200)]
        answers[name] = [await ask for ask in asks]

    in_threads(lambda: asyncio.run(main("a")), lambda: asyncio.run(main("b")))
    assert answers == {name: [f"{name}{n}" for n in range(200)] for name in "ab"}


def test_one_reply_is_awaited_by_two_loops_and_a_thread(swarm: Swarm) -> None:
    ref = swarm.agent(Waiting, "w")
    reply: Reply[str] = ref.ask("once", timeout=WITHIN_S)
    assert Waiting.begun.wait(WITHIN_S)
    answers: list[str] = []
    waiting = threading.Barrier(4, timeout=WITHIN_S)

    async def awaited() -> None:
        waiting.wait()
        answers.append(await reply)

    def got() -> None:
        waiting.wait()
        answers.append(reply.get())

    def released() -> None:
        waiting.wait()
        ref.tell(1)

    in_threads(lambda: asyncio.run(awaited()), lambda: asyncio.run(awaited()), got, released)
    assert answers == ["once"] * 3


def test_asyncio_timeout_around_an_ask_cancels_its_handler(swarm: Swarm) -> None:
    async def main() -> None:
        async with asyncio.timeout(WITHIN_S) as limit:
            asked = asyncio.ensure_future(swarm.agent(Waiting, "w").ask("x", timeout=600))
            await asyncio.to_thread(Waiting.begun.wait, WITHIN_S)
            limit.reschedule(asyncio.get_running_loop().time())
            await asked

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert Waiting.cancelled.wait(WITHIN_S)


def test_a_loop_that_ends_while_it_asks_cancels_the_handler_and_the_swarm_serves_on(swarm: Swarm) -> None:
    kept: list[Reply[str]] = []

    async def main() -> None:
        kept.append(swarm.agent(Waiting, "w").ask("x", timeout=600))
        task = asyncio.ensure_future(kept[0])  # asyncio.run cancels what is left when main ends
        await asyncio.to_thread(Waiting.begun.wait, WITHIN_S)
        assert not task.done()

    asyncio.run(main())
    assert Waiting.cancelled.wait(WITHIN_S)
    with pytest.raises(AskCancelledError):
        kept[0].get()
    assert swarm.agent(Echo, "e").ask("still").get() == "still"


def test_a_cancelled_scope_of_anyio_cancels_the_handler(swarm: Swarm) -> None:
    async def main() -> str:
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await swarm.agent(Waiting, "w").ask("x", timeout=600)

            group.start_soon(ask)
            await anyio.to_thread.run_sync(Waiting.begun.wait, WITHIN_S)
            group.cancel_scope.cancel()
        return str(await swarm.agent(Echo, "e").ask("after"))

    assert anyio.run(main) == "after"
    assert Waiting.cancelled.wait(WITHIN_S)


def in_threads(*functions: object) -> None:
    """Run them at once, each in a thread, to their ends."""
    threads = [threading.Thread(target=function, daemon=True) for function in functions]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)
        assert not thread.is_alive()
