"""One sample of Pykka's ThreadingActor: `messaging TELLS ASKS` or `actors COUNT`."""

from __future__ import annotations

import gc
import sys
import threading
import time
from dataclasses import dataclass

import psutil
import pykka

from benchmarks.child import give_sample

HANDLED_WITHIN_S = 60.0


@dataclass
class Tick:
    number: int


@dataclass
class Question:
    number: int


class Counter(pykka.ThreadingActor):
    """Sets `done` when `total` ticks were handled; answers questions with their number."""

    def __init__(self, total: int = 0, done: threading.Event | None = None) -> None:
        super().__init__()
        self.left = total
        self.done = done

    def on_receive(self, message: object) -> int | None:
        if isinstance(message, Question):
            return message.number
        self.left -= 1
        if not self.left and self.done is not None:
            self.done.set()
        return None


def messaging(tells: int, asks: int) -> None:
    """Measure tells until the last one was handled, then asks one by one, on a warm actor."""
    _tell(tells // 10)
    tell_s = _tell(tells)
    ref = Counter.start()
    for number in range(asks // 10):
        ref.ask(Question(number))
    question = Question(7)
    started = time.perf_counter()
    for _ in range(asks):
        ref.ask(question, timeout=5.0)
    ask_s = time.perf_counter() - started
    give_sample(tells_per_s=tells / tell_s, ask_us=ask_s / asks * 1e6)
    pykka.ActorRegistry.stop_all()


def actors(count: int) -> None:
    """Measure starting so many actors, and what they occupy."""
    Counter.start().stop()
    gc.collect()
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    started = time.perf_counter()
    refs = [Counter.start() for _ in range(count)]
    start_s = time.perf_counter() - started
    gc.collect()
    grown_bytes = process.memory_info().rss - before_bytes
    give_sample(kib_per_actor=grown_bytes / count / 1024, starts_per_s=len(refs) / start_s)
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


if __name__ == "__main__":
    if sys.argv[1] == "messaging":
        messaging(int(sys.argv[2]), int(sys.argv[3]))
    else:
        actors(int(sys.argv[2]))
