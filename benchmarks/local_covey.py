"""One sample of Covey's local agents: `messaging TRACING TELLS HOPS ASKS` or `actors TRACING COUNT`."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable

import psutil

from benchmarks.child import give_sample
from benchmarks.local_swarm import local_swarm
from benchmarks.statistics import quantile
from covey import Agent, AgentRef, handles, message

HANDLED_WITHIN_S = 60.0
RING = 1000
IN_THE_RING = 100


@message
class Tick:
    number: int


@message
class Hop:
    left: int


@message
class Question:
    number: int


@message
class Answer:
    number: int


class Idle(Agent):
    """Has one attribute and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @handles
    def take(self, tick: Tick) -> None:
        self.count += 1


class Counter(Agent):
    """Sets `done` when `total` ticks were handled; answers questions with their number."""

    def __init__(self, total: int = 0, done: threading.Event | None = None) -> None:
        super().__init__()
        self.left = total
        self.done = done

    @handles
    def count(self, tick: Tick) -> None:
        self.left -= 1
        if not self.left and self.done is not None:
            self.done.set()

    @handles
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number)


class Runner(Agent):
    """Passes hops on to `next_one` until none is left; the last of all sets `done`."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self.arrivals = arrivals
        self.next_one: AgentRef | None = None

    @handles
    def know(self, number: Answer) -> None:
        self.next_one = self.agent(Runner, str(number.number))

    @handles
    def hop(self, hop: Hop) -> None:
        if hop.left:
            assert self.next_one is not None
            self.next_one.tell(Hop(left=hop.left - 1))
        else:
            self.arrivals.note()


class Arrivals:
    """Sets `done` when so many hops have come to their end; they all end on one thread."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self.done = threading.Event()

    def note(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


def messaging(tracing: str, tells: int, hops: int, asks: int) -> None:
    """Measure tells until the last one was handled, hops, then asks one by one, on a warm node."""
    with local_swarm(tracing) as swarm:
        tell(swarm.spawn, "warm-up", tells // 10)
        tell_s = tell(swarm.spawn, "measured", tells)
        hop(swarm.spawn, 0, 2, 1, hops // 10)
        hops_s = hop(swarm.spawn, 2, 2, 1, hops)
        ring_s = hop(swarm.spawn, 4, RING, IN_THE_RING, hops)
        ref = swarm.spawn(Counter, "asked")
        _ask(ref, asks // 10)
        waits_s = _ask(ref, asks)
        give_sample(
            tells_per_s=tells / tell_s,
            hops_per_s=hops / hops_s,
            ring_hops_per_s=hops / ring_s,
            ask_us=sum(waits_s) / asks * 1e6,
            ask_p50_us=quantile(waits_s, 0.5) * 1e6,
        )


def actors(tracing: str, count: int) -> None:
    """Measure starting so many agents, and what they occupy."""
    with local_swarm(tracing) as swarm:
        swarm.spawn(Idle, "warm-up").ask(Tick(number=1), timeout=5.0).get()
        gc.collect()
        process = psutil.Process()
        before_bytes = process.memory_info().rss
        started = time.perf_counter()
        for number in range(count):
            ref = swarm.spawn(Idle, str(number))
        ref.ask(Tick(number=1), timeout=HANDLED_WITHIN_S).get()
        start_s = time.perf_counter() - started
        gc.collect()
        grown_bytes = process.memory_info().rss - before_bytes
        give_sample(kib_per_actor=grown_bytes / count / 1024, starts_per_s=count / start_s)


def tell(spawn: Callable[..., AgentRef], key: str, count: int) -> float:
    """Seconds for so many tells to one agent, until the last one was handled."""
    done = threading.Event()
    ref = spawn(Counter, key, count, done)
    tick = Tick(number=1)
    started = time.perf_counter()
    for _ in range(count):
        ref.tell(tick)
    if not done.wait(HANDLED_WITHIN_S):
        sys.exit(f"{count} ticks were not handled within {HANDLED_WITHIN_S:g} s")
    return time.perf_counter() - started


def hop(spawn: Callable[..., AgentRef], first: int, agents: int, messages: int, count: int) -> float:
    """Seconds for `count` hops in all, shared by so many messages in a ring of so many agents."""
    arrivals = Arrivals(messages)
    refs = [spawn(Runner, str(first + number), arrivals) for number in range(agents)]
    for number, ref in enumerate(refs):
        ref.ask(Answer(number=first + (number + 1) % agents), timeout=5.0).get()
    step = agents // messages
    started = time.perf_counter()
    for number in range(messages):
        refs[number * step].tell(Hop(left=count // messages - 1))
    if not arrivals.done.wait(HANDLED_WITHIN_S):
        sys.exit(f"{count} hops were not done within {HANDLED_WITHIN_S:g} s")
    return time.perf_counter() - started


def _ask(ref: AgentRef, count: int) -> list[float]:
    question = Question(number=7)
    waits_s = []
    for _ in range(count):
        started = time.perf_counter()
        ref.ask(question, timeout=5.0).get()
        waits_s.append(time.perf_counter() - started)
    return waits_s


if __name__ == "__main__":
    if sys.argv[1] == "messaging":
        messaging(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    else:
        actors(sys.argv[2], int(sys.argv[3]))
