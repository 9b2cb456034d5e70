"""One sample of Pykka's ThreadingActor: `messaging TELLS HOPS ASKS` or `actors COUNT`."""

from __future__ import annotations

import gc
import sys
import threading
import time
from dataclasses import dataclass

import psutil
import pykka

from benchmarks.child import give_sample
from benchmarks.statistics import quantile

HANDLED_WITHIN_S = 60.0
HOPS_SHARE = 10
"""A hop between threads is a switch of threads: a tenth of the hops measures it as well."""


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


class Idle(pykka.ThreadingActor):
    """Has one attribute and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_receive(self, message: object) -> None:
        self.count += 1


class Counter(pykka.ThreadingActor):
    """Sets `done` when `total` ticks were handled; answers questions with their number."""

    def __init__(self, total: int = 0, done: threading.Event | None = None) -> None:
        super().__init__()
        self.left = total
        self.done = done

    def on_receive(self, message: object) -> Answer | None:
        if isinstance(message, Question):
            return Answer(message.number)
        self.left -= 1
        if not self.left and self.done is not None:
            self.done.set()
        return None


class Runner(pykka.ThreadingActor):
    """Passes hops on to the actor that it was told, until none is left; then sets `done`."""

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done
        self.next_one: pykka.ActorRef[Runner] | None = None

    def on_receive(self, message: object) -> None:
        if isinstance(message, pykka.ActorRef):
            self.next_one = message
        elif isinstance(message, Hop) and message.left:
            assert self.next_one is not None
            self.next_one.tell(Hop(message.left - 1))
        else:
            self.done.set()


def messaging(tells: int, hops: int, asks: int) -> None:
    """Measure tells until the last one was handled, hops, then asks one by one, on warm actors."""
    _tell(tells // 10)
    tell_s = _tell(tells)
    hops //= HOPS_SHARE
    _hop(hops // 10)
    hops_s = _hop(hops)
    ref = Counter.start()
    _ask(ref, asks // 10)
    waits_s = _ask(ref, asks)
    give_sample(
        tells_per_s=tells / tell_s,
        hops_per_s=hops / hops_s,
        ask_us=sum(waits_s) / asks * 1e6,
        ask_p50_us=quantile(waits_s, 0.5) * 1e6,
    )
    pykka.ActorRegistry.stop_all()


def actors(count: int) -> None:
    """Measure starting so many actors, and what they occupy."""
    Idle.start().stop()
    gc.collect()
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    started = time.perf_counter()
    for _ in range(count):
        Idle.start()
    start_s = time.perf_counter() - started
    gc.collect()
    grown_bytes = process.memory_info().rss - before_bytes
    give_sample(kib_per_actor=grown_bytes / count / 1024, starts_per_s=count / start_s)
    pykka.ActorRegistry.stop_all()


def _tell(count: int) -> float:
    done = threading.Event()
    ref = Counter.start(count, done)
    tick = Tick(1)
    started = time.perf_counter()
    for _ in range(count):
        ref.tell(tick)
    if not done.wait(HANDLED_WITHIN_S):
        sys.exit(f"{count} ticks were not handled within {HANDLED_WITHIN_S:g} s")
    elapsed_s = time.perf_counter() - started
    ref.stop()
    return elapsed_s


def _hop(count: int) -> float:
    done = threading.Event()
    one, other = Runner.start(done), Runner.start(done)
    one.ask(other)
    other.ask(one)
    done.clear()
    started = time.perf_counter()
    one.tell(Hop(count - 1))
    if not done.wait(HANDLED_WITHIN_S):
        sys.exit(f"{count} hops were not done within {HANDLED_WITHIN_S:g} s")
    elapsed_s = time.perf_counter() - started
    one.stop()
    other.stop()
    return elapsed_s


def _ask(ref: pykka.ActorRef[Counter], count: int) -> list[float]:
    question = Question(7)
    waits_s = []
    for _ in range(count):
        started = time.perf_counter()
        ref.ask(question, timeout=5.0)
        waits_s.append(time.perf_counter() - started)
    return waits_s


if __name__ == "__main__":
    if sys.argv[1] == "messaging":
        messaging(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        actors(int(sys.argv[2]))
