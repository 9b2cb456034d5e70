"""One sample of asks between two Covey nodes.

`receive URL`; or `one URL COUNT`, `clock URL COUNT PER_S`, `at-once URL COUNT AT_ONCE` or
`in-flight URL COUNT`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.ask_covey import Holder, all_at_once
from benchmarks.asking import ask_at_once, ask_by_the_clock, ask_in_turn
from benchmarks.child import announce_ready, give_sample
from benchmarks.memory import peak_mib
from benchmarks.node_covey import SWARM, await_host
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES
from benchmarks.sink import Echo, Reading, Sink
from benchmarks.statistics import quantile
from covey import Agent, AgentRef, Swarm, handles, message

ASK_WITHIN_S = 5.0
MEASURED_WITHIN_S = 120.0
WARM_UP = 1_000


@message
class OneByOne:
    count: int


@message
class ByTheClock:
    count: int
    per_s: int


@message
class AtOnce:
    count: int
    at_once: int


@message
class Seconds:
    all_s: float


@message
class Waits:
    waits_s: list[float]
    late_s: list[float]


class Asker(Agent):
    """Asks the sink of the other node, from within its handlers."""

    @handles
    async def one_by_one(self, order: OneByOne) -> Waits:
        return Waits(waits_s=await ask_in_turn(self.ask, order.count), late_s=[])

    @handles
    async def by_the_clock(self, order: ByTheClock) -> Waits:
        waits_s, late_s = await ask_by_the_clock(self.ask, order.count, order.per_s)
        return Waits(waits_s=waits_s, late_s=late_s)

    @handles
    async def at_once(self, order: AtOnce) -> Seconds:
        return Seconds(all_s=await ask_at_once(self.ask, order.count, order.at_once))

    async def ask(self, number: int) -> None:
        question = reading(number)
        answer = await self.agent(Sink, "a").ask(Echo(reading=question), timeout=ASK_WITHIN_S)
        if answer != question:
            raise ValueError(f"{question} was answered with {answer}")


def reading(number: int) -> Reading:
    """The reading of that number; 0 is the first."""
    return Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)


def receive(url: str) -> None:
    """Host what is asked until standard input closes."""
    with Swarm.connect(url, name=SWARM, hosts=[Sink, Holder]):
        announce_ready()


def one(swarm: Swarm, count: int) -> None:
    """One ask at a time: from an agent's handler, then from this thread."""
    asker = swarm.spawn(Asker, "a")
    for asks in (count // 10, count):
        order = OneByOne(count=asks)
        waits_s: list[float] = asker.ask(order, timeout=MEASURED_WITHIN_S).get().waits_s
    sink = swarm.agent(Sink, "a")
    _ask_from_here(sink, count // 10)
    from_here_s = _ask_from_here(sink, count)
    give_sample(
        coroutine_p50_ms=quantile(waits_s, 0.5) * 1e3,
        coroutine_p99_ms=quantile(waits_s, 0.99) * 1e3,
        thread_p50_ms=quantile(from_here_s, 0.5) * 1e3,
        thread_p99_ms=quantile(from_here_s, 0.99) * 1e3,
    )


def by_the_clock(swarm: Swarm, count: int, per_s: int) -> None:
    asker = swarm.spawn(Asker, "a")
    for asks in (count // 10, count):
        order = ByTheClock(count=asks, per_s=per_s)
        waits: Waits = asker.ask(order, timeout=MEASURED_WITHIN_S).get()
    give_sample(
        p50_ms=quantile(waits.waits_s, 0.5) * 1e3,
        p99_ms=quantile(waits.waits_s, 0.99) * 1e3,
        p999_ms=quantile(waits.waits_s, 0.999) * 1e3,
        late_p99_ms=quantile(waits.late_s, 0.99) * 1e3,
    )


def at_once(swarm: Swarm, count: int, many: int) -> None:
    asker = swarm.spawn(Asker, "a")
    for asks in (count // 10, count):
        order = AtOnce(count=asks, at_once=many)
        took: Seconds = asker.ask(order, timeout=MEASURED_WITHIN_S).get()
    give_sample(asks_per_s=count / took.all_s)


def in_flight(swarm: Swarm, count: int) -> None:
    """All asked from this thread, none answered before all are there."""
    holder = swarm.agent(Holder, "a")
    all_at_once(holder, WARM_UP)
    before = peak_mib()
    took_s, _ = all_at_once(holder, count)
    give_sample(all_s=took_s, peak_mib=peak_mib(), grown_mib=peak_mib() - before)


def _ask_from_here(sink: AgentRef, count: int) -> list[float]:
    waits_s = []
    for number in range(count):
        question = reading(number)
        started = time.perf_counter()
        answer = sink.ask(Echo(reading=question), timeout=ASK_WITHIN_S).get()
        waits_s.append(time.perf_counter() - started)
        if answer != question:
            sys.exit(f"{question} was answered with {answer}")
    return waits_s


MEASURES: dict[str, Callable[..., None]] = {
    "one": one,
    "clock": by_the_clock,
    "at-once": at_once,
    "in-flight": in_flight,
}


def main(what: str, url: str, *counts: int) -> None:
    """Receive, or measure from a node that hosts nothing."""
    if what == "receive":
        receive(url)
        return
    with Swarm.connect(url, name=SWARM, hosts=[]) as swarm:
        await_host(swarm.agent(Sink, "a"))
        MEASURES[what](swarm, *counts)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
