"""One sample of many live Pykka actors: `live MOST MESSAGES` or `stop COUNT`."""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass

import pykka

from benchmarks.agents import sizes_up_to
from benchmarks.child import give_sample
from benchmarks.statistics import median

WITHIN_S = 120.0
SPOKEN_TO = 100
BATCHES = 5
SEED = 20_231


@dataclass
class Tick:
    number: int


@dataclass
class Expect:
    ticks: int


class Arrivals:
    """Counts actors that have got all their ticks; each notes it on its own thread."""

    def __init__(self) -> None:
        self.missing = 0
        self.lock = threading.Lock()
        self.done = threading.Event()

    def expect(self, agents: int) -> None:
        self.missing = agents
        self.done.clear()

    def note(self) -> None:
        with self.lock:
            self.missing -= 1
            if not self.missing:
                self.done.set()


ARRIVALS = Arrivals()


class Worker(pykka.ThreadingActor):
    """Has one attribute; notes the end of its ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def on_receive(self, message: object) -> None:
        if isinstance(message, Expect):
            self.left = message.ticks
        else:
            self.left -= 1
            if not self.left:
                ARRIVALS.note()


def live(most: int, messages: int) -> None:
    """Grow to so many actors; measure a message at each size."""
    refs: list[pykka.ActorRef[Worker]] = []
    figures = {}
    for size in sizes_up_to(most):
        refs += [Worker.start() for _ in range(size - len(refs))]
        chosen = random.Random(SEED).sample(refs, min(size, SPOKEN_TO))
        figures[f"us_{size}"] = _cost_us(chosen, messages)
    give_sample(**figures)
    pykka.ActorRegistry.stop_all()


def stop(count: int) -> None:
    """Start so many actors and stop them all."""
    refs = [Worker.start() for _ in range(count)]
    started = time.perf_counter()
    for stopped in [ref.stop(block=False) for ref in refs]:
        stopped.get(timeout=WITHIN_S)
    stop_s = time.perf_counter() - started
    give_sample(stop_s=stop_s, stop_us=stop_s / count * 1e6)


def _cost_us(refs: list[pykka.ActorRef[Worker]], messages: int) -> float:
    each = messages // len(refs)
    tick = Tick(1)
    costs = []
    for _ in range(BATCHES):
        for ref in refs:
            ref.ask(Expect(each), timeout=WITHIN_S)
        ARRIVALS.expect(len(refs))
        started = time.perf_counter()
        for _ in range(each):
            for ref in refs:
                ref.tell(tick)
        if not ARRIVALS.done.wait(WITHIN_S):
            sys.exit(f"{messages} ticks were not handled within {WITHIN_S:g} s")
        costs.append((time.perf_counter() - started) / (each * len(refs)) * 1e6)
    return median(costs)


if __name__ == "__main__":
    if sys.argv[1] == "live":
        live(int(sys.argv[2]), int(sys.argv[3]))
    else:
        stop(int(sys.argv[2]))
