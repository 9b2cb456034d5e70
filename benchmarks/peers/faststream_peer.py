"""One sample of FastStream on NATS: `tell URL COUNT`, `ask URL COUNT` or `ask-many URL COUNT AT_ONCE`.

The receiver is a process of its own, which this one starts and ends. Messages are pydantic models, which is
how FastStream is used; their JSON takes 128 bytes. Its access log is off.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from faststream.nats import NatsBroker
from pydantic import BaseModel

WITHIN_S = 60.0
TELLS, ASKS, COUNTS = "benchmarks.fast.tell", "benchmarks.fast.ask", "benchmarks.fast.count"
FIRST_SEQUENCE = 100_000
NOTE = "x" * 65
YIELD_EVERY = 100
UNLIMITED = {"pending_msgs_limit": 10_000_000, "pending_bytes_limit": 1 << 30}


class Reading(BaseModel):
    series: str
    sequence: int
    value: float
    note: str


class Arrivals(BaseModel):
    count: int
    disorder: int
    last_s: float
    cpu_s: float


class Receiver:
    """Counts readings, which must come in order and without a hole."""

    def __init__(self) -> None:
        self.count = self.disorder = self.total = 0
        self.last_s = 0.0
        self.expected = FIRST_SEQUENCE
        self.all_here = asyncio.Event()

    async def take(self, reading: Reading) -> None:
        if reading.sequence != self.expected:
            self.disorder += 1
        self.expected = reading.sequence + 1
        self.count += 1
        self.last_s = time.monotonic()
        if self.count == self.total:
            self.all_here.set()

    async def echo(self, reading: Reading) -> Reading:
        return reading

    async def report(self, total: int) -> Arrivals:
        """Answer once so many have come: a subscription of its own keeps no order with theirs."""
        self.total = total
        if self.count < total:
            await self.all_here.wait()
        arrivals = Arrivals(
            count=self.count, disorder=self.disorder, last_s=self.last_s, cpu_s=time.process_time()
        )
        self.count = self.disorder = self.total = 0
        self.all_here.clear()
        self.expected = FIRST_SEQUENCE
        return arrivals


def reading_of(number: int) -> Reading:
    return Reading(series="node-7/cpu", sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)


async def receive(url: str) -> None:
    """Serve until standard input closes."""
    broker, receiver = NatsBroker(url, logger=None), Receiver()
    broker.subscriber(TELLS, **UNLIMITED)(receiver.take)
    broker.subscriber(ASKS, **UNLIMITED)(receiver.echo)
    broker.subscriber(COUNTS)(receiver.report)
    async with broker:
        client = await broker.connect()
        await broker.start()
        await client.flush()  # the server has the subscriptions
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def receiving(url: str) -> Iterator[None]:
    """Keep a receiver in a process of its own for the length of the block."""
    command = [sys.executable, __file__, "receive", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not process.stdout.readline():
            sys.exit("the receiver did not start")
        try:
            yield
        finally:
            process.stdin.close()


async def tell(broker: NatsBroker, count: int) -> dict[str, float]:
    before = await _tell(broker, count // 10)
    started_s, cpu_s = time.monotonic(), time.process_time()
    arrivals = await _tell(broker, count)
    cpu_s = time.process_time() - cpu_s + arrivals.cpu_s - before.cpu_s
    return {"messages_per_s": count / (arrivals.last_s - started_s), "cpu_us": cpu_s / count * 1e6}


async def ask(broker: NatsBroker, count: int) -> dict[str, float]:
    await _ask(broker, count // 10)
    ordered = sorted(await _ask(broker, count))
    p50_ms, p99_ms = ordered[count // 2] * 1e3, ordered[count * 99 // 100] * 1e3
    return {
        "coroutine_p50_ms": p50_ms,
        "coroutine_p99_ms": p99_ms,
        "thread_p50_ms": p50_ms,
        "thread_p99_ms": p99_ms,
    }


async def ask_many(broker: NatsBroker, count: int, at_once: int) -> dict[str, float]:
    await _ask(broker, at_once)
    started = time.perf_counter()
    await asyncio.gather(*(_ask(broker, count // at_once) for _ in range(at_once)))
    return {"asks_per_s": count // at_once * at_once / (time.perf_counter() - started)}


async def _tell(broker: NatsBroker, count: int) -> Arrivals:
    for number in range(count):
        await broker.publish(reading_of(number), TELLS)
        if not number % YIELD_EVERY:
            await asyncio.sleep(0)
    reply = await broker.request(count, COUNTS, timeout=WITHIN_S)
    arrivals = Arrivals.model_validate(await reply.decode())
    if arrivals.count != count or arrivals.disorder:
        sys.exit(f"{count} messages were sent, {arrivals.count} arrived, {arrivals.disorder} out of order")
    return arrivals


async def _ask(broker: NatsBroker, count: int) -> list[float]:
    waits_s = []
    for number in range(count):
        reading = reading_of(number)
        started = time.perf_counter()
        reply = await broker.request(reading, ASKS, timeout=5.0)
        answer = Reading.model_validate(await reply.decode())
        waits_s.append(time.perf_counter() - started)
        if answer != reading:
            sys.exit(f"{reading} was answered with {answer}")
    return waits_s


async def measure(what: str, url: str, *counts: int) -> dict[str, float]:
    size = len(reading_of(0).model_dump_json())
    if size != 128:
        sys.exit(f"a reading takes {size} bytes as JSON, not 128")
    measures: dict[str, Any] = {"tell": tell, "ask": ask, "ask-many": ask_many}
    async with NatsBroker(url, logger=None) as broker:
        await broker.start()
        sample: dict[str, float] = await measures[what](broker, *counts)
        return sample


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(sys.argv[2]))
    else:
        with receiving(sys.argv[2]):
            print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))))
