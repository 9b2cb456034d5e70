"""One sample of AutoGen-core: `messaging TELLS HOPS ASKS`, `actors COUNT` or `ask COUNT`.

On its SingleThreadedAgentRuntime. A message without an answer is published to a topic of which the target is
the only subscriber; one with an answer is sent by `send_message`, from an agent to an agent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import dataclass

import psutil
from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)

WITHIN_S = 120.0


@dataclass
class Tick:
    number: int


@dataclass
class Hop:
    left: int


@dataclass
class Question:
    number: int


@dataclass
class Answer:
    number: int


@dataclass
class Go:
    asks: int


@dataclass
class Waits:
    waits_s: list[float]


class Counter(RoutedAgent):
    """Sets `done` when `total` ticks were handled."""

    def __init__(self, total: int, done: asyncio.Event) -> None:
        super().__init__("counter")
        self.left = total
        self.done = done

    @message_handler
    async def count(self, message: Tick, ctx: MessageContext) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


class Runner(RoutedAgent):
    """Passes hops on to the other runner's topic."""

    def __init__(self, other: str, done: asyncio.Event) -> None:
        super().__init__("runner")
        self.other = TopicId(other, "hops")
        self.done = done

    @message_handler
    async def hop(self, message: Hop, ctx: MessageContext) -> None:
        if message.left:
            await self.publish_message(Hop(message.left - 1), self.other)
        else:
            self.done.set()


class Idle(RoutedAgent):
    """Has one attribute and does nothing."""

    def __init__(self) -> None:
        super().__init__("idle")
        self.count = 0

    @message_handler
    async def take(self, message: Tick, ctx: MessageContext) -> None:
        self.count += 1


class Answerer(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("answerer")

    @message_handler
    async def answer(self, message: Question, ctx: MessageContext) -> Answer:
        return Answer(message.number)


class Asker(RoutedAgent):
    """Asks the answerer, one after the other."""

    def __init__(self) -> None:
        super().__init__("asker")

    @message_handler
    async def go(self, message: Go, ctx: MessageContext) -> Waits:
        target = AgentId("answerer", "a")
        question = Question(7)
        waits_s = []
        for _ in range(message.asks):
            started = time.perf_counter()
            await self.send_message(question, target)
            waits_s.append(time.perf_counter() - started)
        return Waits(waits_s)


async def messaging(tells: int, hops: int) -> dict[str, float]:
    runtime = SingleThreadedAgentRuntime()
    runtime.start()
    await _tell(runtime, "warm", tells // 10)
    tell_s = await _tell(runtime, "measured", tells)
    await _hop(runtime, "warm_one", "warm_other", hops // 10)
    hop_s = await _hop(runtime, "one", "other", hops)
    await runtime.stop()
    await runtime.close()
    return {"tells_per_s": tells / tell_s, "hops_per_s": hops / hop_s}


async def actors(count: int) -> dict[str, float]:
    runtime = SingleThreadedAgentRuntime()
    runtime.start()
    await Idle.register(runtime, "idle", Idle)
    await runtime.send_message(Tick(1), AgentId("idle", "warm"))
    gc.collect()
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    started = time.perf_counter()
    for number in range(count):
        await runtime.send_message(Tick(1), AgentId("idle", str(number)))
    start_s = time.perf_counter() - started
    gc.collect()
    grown_bytes = process.memory_info().rss - before_bytes
    await runtime.stop()
    await runtime.close()
    return {"kib_per_actor": grown_bytes / count / 1024, "starts_per_s": count / start_s}


async def ask(count: int) -> dict[str, float]:
    runtime = SingleThreadedAgentRuntime()
    runtime.start()
    await Answerer.register(runtime, "answerer", Answerer)
    await Asker.register(runtime, "asker", Asker)
    asker = AgentId("asker", "a")
    await runtime.send_message(Go(count // 10), asker)
    waits: Waits = await runtime.send_message(Go(count), asker)
    await runtime.stop()
    await runtime.close()
    ordered = sorted(waits.waits_s)
    return {"async_p50_us": ordered[count // 2] * 1e6, "async_p99_us": ordered[count * 99 // 100] * 1e6}


async def _tell(runtime: SingleThreadedAgentRuntime, kind: str, count: int) -> float:
    done = asyncio.Event()
    await Counter.register(runtime, kind, lambda: Counter(count, done))
    await runtime.add_subscription(TypeSubscription(kind, kind))
    topic, tick = TopicId(kind, "ticks"), Tick(1)
    started = time.perf_counter()
    for _ in range(count):
        await runtime.publish_message(tick, topic)
    await asyncio.wait_for(done.wait(), WITHIN_S)
    return time.perf_counter() - started


async def _hop(runtime: SingleThreadedAgentRuntime, one: str, other: str, count: int) -> float:
    done = asyncio.Event()
    await Runner.register(runtime, one, lambda: Runner(other, done))
    await Runner.register(runtime, other, lambda: Runner(one, done))
    for kind in (one, other):
        await runtime.add_subscription(TypeSubscription(kind, kind))
    started = time.perf_counter()
    await runtime.publish_message(Hop(count - 1), TopicId(one, "hops"))
    await asyncio.wait_for(done.wait(), WITHIN_S)
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1] == "messaging":
        sample = asyncio.run(messaging(int(sys.argv[2]), int(sys.argv[3])))
    elif sys.argv[1] == "actors":
        sample = asyncio.run(actors(int(sys.argv[2])))
    else:
        sample = asyncio.run(ask(int(sys.argv[2])))
    print(json.dumps(sample))
