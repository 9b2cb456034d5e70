"""One sample of Pykka's blocking ask, from an actor to an actor: `COUNT`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import pykka

from benchmarks.child import give_sample
from benchmarks.statistics import quantile

WITHIN_S = 60.0


@dataclass
class Question:
    number: int


@dataclass
class Answer:
    number: int


class Answerer(pykka.ThreadingActor):
    def on_receive(self, message: Question) -> Answer:
        return Answer(message.number)


class Asker(pykka.ThreadingActor):
    """Asks, one after the other, and measures each."""

    def __init__(self, target: pykka.ActorRef[Answerer]) -> None:
        super().__init__()
        self.target = target

    def on_receive(self, message: int) -> list[float]:
        question = Question(7)
        waits_s = []
        for _ in range(message):
            started = time.perf_counter()
            self.target.ask(question, timeout=5.0)
            waits_s.append(time.perf_counter() - started)
        return waits_s


def ask(count: int) -> None:
    """Measure asks from an actor's thread."""
    asker = Asker.start(Answerer.start())
    asker.ask(count // 10, timeout=WITHIN_S)
    waits_s: Any = asker.ask(count, timeout=WITHIN_S)
    pykka.ActorRegistry.stop_all()
    give_sample(plain_p50_us=quantile(waits_s, 0.5) * 1e6, plain_p99_us=quantile(waits_s, 0.99) * 1e6)


if __name__ == "__main__":
    ask(int(sys.argv[1]))
