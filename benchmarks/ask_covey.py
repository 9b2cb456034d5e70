"""One sample of Covey's awaited asks: `ask TRACING COUNT` or `in-flight TRACING COUNT`."""

from __future__ import annotations

import asyncio
import gc
import sys
import time

import psutil

from benchmarks.child import give_sample
from benchmarks.local_swarm import local_swarm
from benchmarks.statistics import quantile
from covey import Agent, AgentRef, Mailbox, Reply, handles, message

__all__ = ["Holder", "all_at_once"]

WITHIN_S = 60.0
MOST_IN_FLIGHT = 200_000
WARM_UPS = 2
MIB = 1024 * 1024


@message
class Question:
    number: int


@message
class Answer:
    number: int


@message
class Measure:
    kind: str
    key: str
    asks: int


@message
class Waits:
    p50_us: float
    p99_us: float


@message
class Expect:
    total: int


@message
class Gather:
    """Asks for an answer once all questions have come."""


@message
class Release:
    """Asks that all questions be answered."""


class PlainAnswerer(Agent):
    @handles
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number)


class AsyncAnswerer(Agent):
    @handles
    async def answer(self, question: Question) -> Answer:
        return Answer(number=question.number)


class Asker(Agent):
    """Asks, one after the other, and measures each."""

    @handles
    async def measure(self, order: Measure) -> Waits:
        target = self.agent(order.kind, order.key)
        question = Question(number=7)
        waits_s = []
        for _ in range(order.asks):
            started = time.perf_counter()
            await target.ask(question, timeout=5.0)
            waits_s.append(time.perf_counter() - started)
        return Waits(p50_us=quantile(waits_s, 0.5) * 1e6, p99_us=quantile(waits_s, 0.99) * 1e6)


class Holder(Agent):
    """Answers no question before as many have come as it expects."""

    mailbox = Mailbox(capacity=MOST_IN_FLIGHT)
    concurrency = MOST_IN_FLIGHT

    def __init__(self) -> None:
        super().__init__()
        self.missing = 0
        self.all_here = asyncio.Event()
        self.may_answer = asyncio.Event()

    @handles
    def expect(self, order: Expect) -> None:
        self.missing = order.total
        self.all_here = asyncio.Event()
        self.may_answer = asyncio.Event()

    @handles
    async def hold(self, question: Question) -> Answer:
        self.missing -= 1
        if not self.missing:
            self.all_here.set()
        await self.may_answer.wait()
        return Answer(number=question.number)

    @handles
    async def gather(self, order: Gather) -> None:
        await self.all_here.wait()

    @handles
    def release(self, order: Release) -> None:
        self.may_answer.set()


def ask(tracing: str, count: int) -> None:
    """Measure asks of a plain and of an async handler, from a handler."""
    with local_swarm(tracing) as swarm:
        swarm.spawn(PlainAnswerer, "a")
        swarm.spawn(AsyncAnswerer, "a")
        asker = swarm.spawn(Asker, "a")
        figures = {}
        for name, kind in (("plain", PlainAnswerer.kind), ("async", AsyncAnswerer.kind)):
            asker.ask(Measure(kind=kind, key="a", asks=count // 10), timeout=WITHIN_S).get()
            waits = asker.ask(Measure(kind=kind, key="a", asks=count), timeout=WITHIN_S).get()
            figures[f"{name}_p50_us"] = waits.p50_us
            figures[f"{name}_p99_us"] = waits.p99_us
        give_sample(**figures)


def in_flight(tracing: str, count: int) -> None:
    """Measure so many asks at once: the time for all, and memory before, at the peak and after."""
    with local_swarm(tracing) as swarm:
        holder = swarm.spawn(Holder, "a")
        for _ in range(WARM_UPS):
            all_at_once(holder, count)
        before = _resident_bytes()
        blocks = sys.getallocatedblocks()
        took_s, peak = all_at_once(holder, count)
        after = _resident_bytes()
        give_sample(
            asks_per_s=count / took_s,
            before_mib=before / MIB,
            peak_mib=peak / MIB,
            after_mib=after / MIB,
            left_mib=(after - before) / MIB,
            left_blocks=sys.getallocatedblocks() - blocks,
        )


def all_at_once(holder: AgentRef, count: int) -> tuple[float, int]:
    """Seconds for all, without the look at memory between, and resident bytes with all of them in flight."""
    holder.ask(Expect(total=count), timeout=WITHIN_S).get()
    started = time.perf_counter()
    replies: list[Reply[Answer]] = [
        holder.ask(Question(number=number), timeout=WITHIN_S) for number in range(count)
    ]
    holder.ask(Gather(), timeout=WITHIN_S).get()
    sent_s = time.perf_counter() - started
    peak = psutil.Process().memory_info().rss
    started = time.perf_counter()
    holder.ask(Release(), timeout=WITHIN_S).get()
    for number, reply in enumerate(replies):
        if reply.get(timeout=WITHIN_S).number != number:
            sys.exit(f"ask {number} got the answer of another one")
    return sent_s + time.perf_counter() - started, peak


def _resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(sys.argv[2], int(sys.argv[3]))
    else:
        in_flight(sys.argv[2], int(sys.argv[3]))
