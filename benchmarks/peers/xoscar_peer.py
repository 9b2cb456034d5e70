"""One sample of xoscar: `messaging TELLS HOPS ASKS`, `actors COUNT` or `ask COUNT`.

All actors live in one pool without sub-processes, the process's own: refs call them locally.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil
import xoscar

WITHIN_S = 120.0


@dataclass
class Tick:
    number: int


@dataclass
class Hop:
    left: int


class Counter(xoscar.Actor):
    """Sets `done` when `total` ticks were handled; sends them to another one; answers questions."""

    def __init__(self) -> None:
        self.left = 0
        self.done: asyncio.Event | None = None

    def expect(self, total: int, done: asyncio.Event) -> None:
        self.left = total
        self.done = done

    def count(self, tick: Tick) -> None:
        self.left -= 1
        if not self.left and self.done is not None:
            self.done.set()

    async def send(self, target: Any, count: int) -> None:
        tick = Tick(1)
        for _ in range(count):
            await target.count.tell(tick)

    def answer(self, tick: Tick) -> Tick:
        return Tick(tick.number)

    async def answer_async(self, tick: Tick) -> Tick:
        return Tick(tick.number)

    async def ask(self, method: Any, count: int) -> list[float]:
        question = Tick(7)
        waits_s = []
        for _ in range(count):
            started = time.perf_counter()
            await method(question)
            waits_s.append(time.perf_counter() - started)
        return waits_s


class Runner(xoscar.Actor):
    """Passes hops on to the other runner."""

    def __init__(self) -> None:
        self.other: Any = None
        self.done: asyncio.Event | None = None

    def know(self, other: Any, done: asyncio.Event) -> None:
        self.other = other
        self.done = done

    async def hop(self, hop: Hop) -> None:
        if hop.left:
            await self.other.hop.tell(Hop(hop.left - 1))
        elif self.done is not None:
            self.done.set()


async def messaging(address: str, tells: int, hops: int) -> dict[str, float]:
    sender = await xoscar.create_actor(Counter, address=address, uid="sender")
    target = await xoscar.create_actor(Counter, address=address, uid="target")
    one = await xoscar.create_actor(Runner, address=address, uid="one")
    other = await xoscar.create_actor(Runner, address=address, uid="other")
    await _tell(sender, target, tells // 10)
    tell_s = await _tell(sender, target, tells)
    await _hop(one, other, hops // 10)
    hop_s = await _hop(one, other, hops)
    return {"tells_per_s": tells / tell_s, "hops_per_s": hops / hop_s}


async def actors(address: str, count: int) -> dict[str, float]:
    warm = await xoscar.create_actor(Counter, address=address, uid="warm")
    await warm.count(Tick(1))
    gc.collect()
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    started = time.perf_counter()
    for number in range(count):
        await xoscar.create_actor(Counter, address=address, uid=str(number))
    start_s = time.perf_counter() - started
    gc.collect()
    grown_bytes = process.memory_info().rss - before_bytes
    return {"kib_per_actor": grown_bytes / count / 1024, "starts_per_s": count / start_s}


async def ask(address: str, count: int) -> dict[str, float]:
    asker = await xoscar.create_actor(Counter, address=address, uid="asker")
    target = await xoscar.create_actor(Counter, address=address, uid="target")
    figures = {}
    for name, method in (("plain", target.answer), ("async", target.answer_async)):
        await asker.ask(method, count // 10)
        ordered = sorted(await asker.ask(method, count))
        figures[f"{name}_p50_us"] = ordered[count // 2] * 1e6
        figures[f"{name}_p99_us"] = ordered[count * 99 // 100] * 1e6
    return figures


async def _tell(sender: Any, target: Any, count: int) -> float:
    done = asyncio.Event()
    await target.expect(count, done)
    started = time.perf_counter()
    await sender.send(target, count)
    await asyncio.wait_for(done.wait(), WITHIN_S)
    return time.perf_counter() - started


async def _hop(one: Any, other: Any, count: int) -> float:
    done = asyncio.Event()
    await one.know(other, done)
    await other.know(one, done)
    started = time.perf_counter()
    await one.hop.tell(Hop(count - 1))
    await asyncio.wait_for(done.wait(), WITHIN_S)
    return time.perf_counter() - started


async def measure(arguments: list[str]) -> dict[str, float]:
    pool = await xoscar.create_actor_pool(address="127.0.0.1", n_process=0)
    async with pool:
        address = pool.external_address
        if arguments[0] == "messaging":
            return await messaging(address, int(arguments[1]), int(arguments[2]))
        if arguments[0] == "actors":
            return await actors(address, int(arguments[1]))
        return await ask(address, int(arguments[1]))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1:]))))
