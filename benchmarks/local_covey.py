"""One sample of Covey's local agents: `messaging TELLS ASKS` or `actors COUNT`."""

from __future__ import annotations

import gc
import sys
import threading
import time

import psutil

from benchmarks.child import give_sample
from covey import Agent, Swarm, handles, message

HANDLED_WITHIN_S = 60.0


@message
class Tick:
    number: int


@message
class Question:
    number: int


@message
class Answer:
    number: int


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


def messaging(tells: int, asks: int) -> None:
    """Measure tells until the last one was handled, then asks one by one, on a warm node."""
    with Swarm.local() as swarm:
        _tell(swarm, "warm-up", tells // 10)
        tell_s = _tell(swarm, "measured", tells)
        ref = swarm.spawn(Counter, "asked")
        for number in range(asks // 10):
            ref.ask(Question(number=number), timeout=5.0).get()
        question = Question(number=7)
        started = time.perf_counter()
        for _ in range(asks):
            ref.ask(question, timeout=5.0).get()
        ask_s = time.perf_counter() - started
        give_sample(tells_per_s=tells / tell_s, ask_us=ask_s / asks * 1e6)


def actors(count: int) -> None:
    """Measure starting so many agents, and what they occupy."""
    with Swarm.local() as swarm:
        swarm.spawn(Counter, "warm-up")
        gc.collect()
        process = psutil.Process()
        before_bytes = process.memory_info().rss
        started = time.perf_counter()
        refs = [swarm.spawn(Counter, str(number)) for number in range(count)]
        start_s = time.perf_counter() - started
        gc.collect()
        grown_bytes = process.memory_info().rss - before_bytes
        give_sample(kib_per_actor=grown_bytes / count / 1024, starts_per_s=len(refs) / start_s)


def _tell(swarm: Swarm, key: str, count: int) -> float:
    done = threading.Event()
    ref = swarm.spawn(Counter, key, count, done)
    tick = Tick(number=1)
    started = time.perf_counter()
    for _ in range(count):
        ref.tell(tick)
    if not done.wait(HANDLED_WITHIN_S):
        sys.exit(f"{count} ticks were not handled within {HANDLED_WITHIN_S:g} s")
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1] == "messaging":
        messaging(int(sys.argv[2]), int(sys.argv[3]))
    else:
        actors(int(sys.argv[2]))
