"""One sample of bare asyncio in the shape of an ask: `ask COUNT` or `in-flight COUNT`."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.child import give_sample
from benchmarks.statistics import quantile

WITHIN_S = 60.0
WARM_UPS = 2
MIB = 1024 * 1024


@dataclass
class Question:
    number: int


@dataclass
class Answer:
    number: int


class Answerer:
    """A queue that a call of the loop drains; each question's future gets the answer."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.mailbox: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self.tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Question, drain: Callable[[], None]) -> asyncio.Future[Answer]:
        future = self.loop.create_future()
        if not self.mailbox:
            self.loop.call_soon(drain)
        self.mailbox.append((question, future))
        return future

    def drain_plain(self) -> None:
        while self.mailbox:
            question, future = self.mailbox.popleft()
            future.set_result(Answer(question.number))

    def drain_async(self) -> None:
        while self.mailbox:
            self.spawn(self.handle(*self.mailbox.popleft()))

    def spawn(self, handling: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(handling)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def handle(self, question: Question, future: asyncio.Future[Answer]) -> None:
        future.set_result(await self.answer(question))

    async def answer(self, question: Question) -> Answer:
        return Answer(question.number)


class Holder(Answerer):
    """Answers no question before as many have come as it expects."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.missing = total
        self.all_here = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, question: Question) -> Answer:
        self.missing -= 1
        if not self.missing:
            self.all_here.set()
        await self.may_answer.wait()
        return Answer(question.number)


async def ask(count: int) -> None:
    """Measure asks of a plain and of an async function."""
    answerer = Answerer()
    figures = {}
    for name, drain in (("plain", answerer.drain_plain), ("async", answerer.drain_async)):
        await _ask(answerer, drain, count // 10)
        waits_s = await _ask(answerer, drain, count)
        figures[f"{name}_p50_us"] = quantile(waits_s, 0.5) * 1e6
        figures[f"{name}_p99_us"] = quantile(waits_s, 0.99) * 1e6
    give_sample(**figures)


async def in_flight(count: int) -> None:
    """Measure so many asks at once: the time for all, and memory before, at the peak and after."""
    for _ in range(WARM_UPS):
        await _all_at_once(count)
    before = _resident_bytes()
    blocks = sys.getallocatedblocks()
    took_s, peak = await _all_at_once(count)
    after = _resident_bytes()
    give_sample(
        asks_per_s=count / took_s,
        before_mib=before / MIB,
        peak_mib=peak / MIB,
        after_mib=after / MIB,
        left_mib=(after - before) / MIB,
        left_blocks=sys.getallocatedblocks() - blocks,
    )


async def _ask(answerer: Answerer, drain: Callable[[], None], count: int) -> list[float]:
    question = Question(7)
    waits_s = []
    for _ in range(count):
        started = time.perf_counter()
        await answerer.ask(question, drain)
        waits_s.append(time.perf_counter() - started)
    return waits_s


async def _all_at_once(count: int) -> tuple[float, int]:
    holder = Holder(count)
    started = time.perf_counter()
    futures = [holder.ask(Question(number), holder.drain_async) for number in range(count)]
    await asyncio.wait_for(holder.all_here.wait(), WITHIN_S)
    sent_s = time.perf_counter() - started
    peak = int(psutil.Process().memory_info().rss)
    started = time.perf_counter()
    holder.may_answer.set()
    for number, future in enumerate(futures):
        if (await future).number != number:
            sys.exit(f"ask {number} got the answer of another one")
    return sent_s + time.perf_counter() - started, peak


def _resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    asyncio.run(ask(int(sys.argv[2])) if sys.argv[1] == "ask" else in_flight(int(sys.argv[2])))
