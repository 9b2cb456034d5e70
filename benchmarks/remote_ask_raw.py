"""One sample of asks by nats-py's `Client.request`.

`receive URL`; or `one URL COUNT`, `clock URL COUNT PER_S`, `at-once URL COUNT AT_ONCE` or
`in-flight URL COUNT`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.asking import Ask, ask_at_once, ask_by_the_clock, ask_in_turn
from benchmarks.child import give_sample
from benchmarks.memory import peak_mib
from benchmarks.node_raw import Receiver, connect, reading_envelope, serve
from benchmarks.reading_proto import Reading
from benchmarks.statistics import quantile
from covey.framework.proto.envelope_pb2 import Envelope

SUBJECT, HELD = "benchmarks.raw.echo", "benchmarks.raw.held"
EXPECT, RELEASE = "benchmarks.raw.held.expect", "benchmarks.raw.held.release"
ASK_WITHIN_S = 5.0
HELD_WITHIN_S = 60.0
YIELD_EVERY = 100
WARM_UP = 1_000


class Holder(Receiver):
    """Echoes readings; answers no held one before as many have come as it expects and it may."""

    def __init__(self) -> None:
        super().__init__()
        self.missing = 0
        self.held: list[Any] = []
        self.all_here = asyncio.Event()
        self.releasing: asyncio.Task[None] | None = None

    async def on_message(self, received: Any) -> None:
        subject = received.subject
        if subject == SUBJECT:
            await super().on_message(received)
        elif subject == HELD:
            self.held.append(received)
            if len(self.held) == self.missing:
                self.all_here.set()
        elif subject == EXPECT:
            self.missing, self.held = int(received.data), []
            self.all_here.clear()
            await received.respond(b"")
        elif subject == RELEASE:
            self.releasing = asyncio.create_task(self.release(received))

    async def release(self, received: Any) -> None:
        await self.all_here.wait()
        await received.respond(b"")
        for number, held in enumerate(self.held):
            await held.respond(self.answer(Envelope.FromString(held.data)).SerializeToString())
            if not number % YIELD_EVERY:
                await asyncio.sleep(0)


async def one(connection: Any, count: int) -> None:
    """One ask at a time. Held against Covey's asks from a thread as well."""
    ask = _ask(connection)
    await ask_in_turn(ask, count // 10)
    waits_s = await ask_in_turn(ask, count)
    p50_ms, p99_ms = quantile(waits_s, 0.5) * 1e3, quantile(waits_s, 0.99) * 1e3
    give_sample(coroutine_p50_ms=p50_ms, coroutine_p99_ms=p99_ms, thread_p50_ms=p50_ms, thread_p99_ms=p99_ms)


async def by_the_clock(connection: Any, count: int, per_s: int) -> None:
    ask = _ask(connection)
    await ask_by_the_clock(ask, count // 10, per_s)
    waits_s, late_s = await ask_by_the_clock(ask, count, per_s)
    give_sample(
        p50_ms=quantile(waits_s, 0.5) * 1e3,
        p99_ms=quantile(waits_s, 0.99) * 1e3,
        p999_ms=quantile(waits_s, 0.999) * 1e3,
        late_p99_ms=quantile(late_s, 0.99) * 1e3,
    )


async def at_once(connection: Any, count: int, many: int) -> None:
    ask = _ask(connection)
    await ask_at_once(ask, count // 10, many)
    give_sample(asks_per_s=count / await ask_at_once(ask, count, many))


async def in_flight(connection: Any, count: int) -> None:
    """All asked from the loop, none answered before all are there."""
    await _all_at_once(connection, WARM_UP)
    before = peak_mib()
    took_s = await _all_at_once(connection, count)
    give_sample(all_s=took_s, peak_mib=peak_mib(), grown_mib=peak_mib() - before)


async def _all_at_once(connection: Any, count: int) -> float:
    await connection.request(EXPECT, b"%d" % count, timeout=ASK_WITHIN_S)
    ask = _ask(connection, HELD, HELD_WITHIN_S)
    started = time.perf_counter()
    release = asyncio.create_task(connection.request(RELEASE, b"", timeout=HELD_WITHIN_S))
    await asyncio.gather(*(ask(number) for number in range(count)))
    took_s = time.perf_counter() - started
    await release
    return took_s


def _ask(connection: Any, subject: str = SUBJECT, within_s: float = ASK_WITHIN_S) -> Ask:
    async def ask(number: int) -> None:
        question = reading_envelope(Envelope.ASK, number)
        reply = await connection.request(subject, question.SerializeToString(), timeout=within_s)
        answer = Envelope.FromString(reply.data)
        if Reading.FromString(answer.payload) != Reading.FromString(question.payload):
            raise ValueError(f"ask {number} was answered with {answer.type} {answer.payload!r}")

    return ask


MEASURES: dict[str, Callable[..., Awaitable[None]]] = {
    "one": one,
    "clock": by_the_clock,
    "at-once": at_once,
    "in-flight": in_flight,
}


async def main(what: str, url: str, *counts: int) -> None:
    """Receive, or measure."""
    if what == "receive":
        await serve(url, f"{SUBJECT.rpartition('.')[0]}.>", Holder().on_message)
        return
    connection = await connect(url)
    await MEASURES[what](connection, *counts)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
