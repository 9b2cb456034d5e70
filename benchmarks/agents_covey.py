"""One sample of many live Covey agents: `live TRACING MOST MESSAGES` or `stop TRACING COUNT`."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time

import psutil

from benchmarks.agents import sizes_up_to
from benchmarks.child import give_sample
from benchmarks.local_swarm import local_swarm
from benchmarks.statistics import median
from covey import Agent, AgentRef, Swarm, handles, message

WITHIN_S = 120.0
SPOKEN_TO = 100
BATCHES = 5
AT_A_TIME = 1_000
SEED = 20_231


@message
class Tick:
    number: int


@message
class Expect:
    ticks: int


@message
class Question:
    number: int


@message
class Answer:
    number: int


class Arrivals:
    """Counts agents that have got all their ticks; they note it on one thread, the node's."""

    def __init__(self) -> None:
        self.missing = 0
        self.done = threading.Event()

    def expect(self, agents: int) -> None:
        self.missing = agents
        self.done.clear()

    def note(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.done.set()


ARRIVALS = Arrivals()


class Worker(Agent):
    """Has one attribute; notes the end of its ticks and answers questions."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    @handles
    def expect(self, order: Expect) -> None:
        self.left = order.ticks

    @handles
    def take(self, tick: Tick) -> None:
        self.left -= 1
        if not self.left:
            ARRIVALS.note()

    @handles
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number)


def live(tracing: str, most: int, messages: int) -> None:
    """Grow to so many agents; measure a message at each size, and at the end an answer of each agent."""
    with local_swarm(tracing) as swarm:
        _start(swarm, "warm-up ", 0, SPOKEN_TO)
        _cost_us(_refs(swarm, "warm-up ", SPOKEN_TO), messages)
        for ref in _refs(swarm, "warm-up ", SPOKEN_TO):
            ref.stop().get(timeout=WITHIN_S)
        before_bytes = _resident_bytes()
        figures: dict[str, float] = {}
        alive = 0
        for size in sizes_up_to(most):
            started = time.perf_counter()
            _start(swarm, "", alive, size)
            start_s = time.perf_counter() - started
            figures[f"starts_per_s_{size}"] = (size - alive) / start_s
            alive = size
            figures[f"kib_{size}"] = (_resident_bytes() - before_bytes) / size / 1024
            gc.freeze()
            figures[f"us_{size}"] = _cost_us(_refs(swarm, "", size), messages)
        figures["growth"] = figures[f"us_{most}"] / figures["us_100"]
        figures["answers_s"] = _ask_everybody(swarm, most)
        figures["total_gib"] = psutil.Process().memory_info().rss / 1024**3
        give_sample(**figures)


def stop(tracing: str, count: int) -> None:
    """Start so many agents and stop them one by one."""
    with local_swarm(tracing) as swarm:
        refs = [swarm.spawn(Worker, str(number)) for number in range(count)]
        refs[-1].ask(Question(number=1), timeout=WITHIN_S).get()
        gc.collect()
        gc.freeze()
        started = time.perf_counter()
        for first in range(0, count, AT_A_TIME):
            for reply in [ref.stop() for ref in refs[first : first + AT_A_TIME]]:
                reply.get(timeout=WITHIN_S)
        stop_s = time.perf_counter() - started
        give_sample(stop_s=stop_s, stop_us=stop_s / count * 1e6)


def _start(swarm: Swarm, prefix: str, first: int, end: int) -> None:
    """Start agents until the last one has handled a message."""
    for number in range(first, end):
        ref = swarm.spawn(Worker, f"{prefix}{number}")
    ref.ask(Question(number=1), timeout=WITHIN_S).get()


def _refs(swarm: Swarm, prefix: str, alive: int) -> list[AgentRef]:
    chosen = random.Random(SEED).sample(range(alive), min(alive, SPOKEN_TO))
    return [swarm.agent(Worker, f"{prefix}{number}") for number in chosen]


def _cost_us(refs: list[AgentRef], messages: int) -> float:
    each = messages // len(refs)
    tick = Tick(number=1)
    costs = []
    for _ in range(BATCHES):
        for ref in refs:
            ref.ask(Expect(ticks=each), timeout=WITHIN_S).get()
        ARRIVALS.expect(len(refs))
        started = time.perf_counter()
        for _ in range(each):
            for ref in refs:
                ref.tell(tick)
        if not ARRIVALS.done.wait(WITHIN_S):
            sys.exit(f"{messages} ticks were not handled within {WITHIN_S:g} s")
        costs.append((time.perf_counter() - started) / (each * len(refs)) * 1e6)
    return median(costs)


def _ask_everybody(swarm: Swarm, alive: int) -> float:
    started = time.perf_counter()
    for first in range(0, alive, AT_A_TIME):
        numbers = range(first, min(first + AT_A_TIME, alive))
        replies = [
            swarm.agent(Worker, str(number)).ask(Question(number=number), timeout=WITHIN_S)
            for number in numbers
        ]
        if [reply.get().number for reply in replies] != list(numbers):
            sys.exit("an agent gave the answer of another one")
    return time.perf_counter() - started


def _resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    if sys.argv[1] == "live":
        live(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        stop(sys.argv[2], int(sys.argv[3]))
