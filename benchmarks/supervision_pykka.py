"""One sample of Pykka restarted by hand: `crash COUNT`, `storm ACTORS ROUNDS` or `group ACTORS`."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pykka

from benchmarks.child import give_sample
from benchmarks.log_file import logging_to_file
from benchmarks.statistics import median, quantile

WITHIN_S = 120.0
GROUP_RESTARTS = 3


@dataclass
class Crash:
    number: int


@dataclass
class Question:
    number: int


class Ward:
    """Restarts actors: those that fail say so, a thread starts fresh ones, callers look them up again."""

    def __init__(self, actors: int, *, all_for_one: bool = False) -> None:
        self.failed_at = 0.0
        self.waits_s: list[float] = []
        self.restarts = 0
        self._all_for_one = all_for_one
        self._failed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._refs = {number: Fragile.start(self, number) for number in range(actors)}
        threading.Thread(target=self._watch, daemon=True).start()

    def failed(self, number: int) -> None:
        """An actor has failed; on its own thread."""
        self._failed.put(number)

    def tell(self, number: int, message: object) -> None:
        """Tell whoever bears this number now."""
        self._send(number, lambda ref: ref.tell(message))

    def ask(self, number: int, message: object) -> Any:
        """Ask whoever bears this number now, and the next one where that has died."""
        return self._send(number, lambda ref: ref.ask(message, timeout=5.0))

    def wait_for_restarts(self, restarts: int) -> float:
        """Wait until there were so many; returns when that was seen."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.restarts >= restarts, WITHIN_S):
                sys.exit(f"{self.restarts} of {restarts} actors were restarted within {WITHIN_S:g} s")
            return time.perf_counter()

    def _send(self, number: int, send: Callable[[pykka.ActorRef[Fragile]], Any]) -> Any:
        while True:
            ref = self._refs[number]
            try:
                return send(ref)
            except pykka.ActorDeadError:
                self._wait_for_another(number, ref)

    def _wait_for_another(self, number: int, dead: pykka.ActorRef[Fragile]) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._refs[number] is not dead, WITHIN_S):
                sys.exit(f"actor {number} was not restarted within {WITHIN_S:g} s")

    def _watch(self) -> None:
        while True:
            number = self._failed.get()
            numbers = [number]
            if self._all_for_one:
                numbers = list(self._refs)
                others = [ref for other, ref in self._refs.items() if other != number]
                for stopped in [ref.stop(block=False) for ref in others]:
                    stopped.get(timeout=WITHIN_S)
            for number in numbers:
                fresh = Fragile.start(self, number)
                with self._changed:
                    self._refs[number] = fresh
                    self.restarts += 1
                    self._changed.notify_all()


class Fragile(pykka.ThreadingActor):
    """Fails when it is told to; the next one notes how long that took when it is asked."""

    def __init__(self, ward: Ward, number: int) -> None:
        super().__init__()
        self.ward = ward
        self.number = number

    def on_receive(self, message: object) -> int | None:
        if isinstance(message, Question):
            self.ward.waits_s.append(time.perf_counter() - self.ward.failed_at)
            return message.number
        self.ward.failed_at = time.perf_counter()
        raise RuntimeError(f"crash of {message}")

    def on_failure(self, *details: object) -> None:
        self.ward.failed(self.number)


def crash(count: int) -> None:
    """Measure so many crashes of one actor, each from its raising to the handling of the next message."""
    ward = Ward(1)
    warm_up = count // 10
    for number in range(warm_up + count):
        ward.tell(0, Crash(number))
        ward.ask(0, Question(number))
    waits_s = ward.waits_s[warm_up:]
    give_sample(thread_p50_ms=quantile(waits_s, 0.5) * 1e3, thread_p99_ms=quantile(waits_s, 0.99) * 1e3)


def storm(actors: int, rounds: int) -> None:
    """Measure restarts a second while all actors fail one after the other, in rounds."""
    ward = Ward(actors)
    started = done = time.perf_counter()
    for number in range(rounds):
        for actor in range(actors):
            ward.tell(actor, Crash(number))
        done = ward.wait_for_restarts((number + 1) * actors)
    give_sample(restarts_per_s=actors * rounds / (done - started))


def group(actors: int) -> None:
    """Measure how long it takes until all actors are there again after the failure of one."""
    ward = Ward(actors, all_for_one=True)
    waits_s = []
    for number in range(GROUP_RESTARTS):
        ward.tell(actors // 2, Crash(number))
        done = ward.wait_for_restarts((number + 1) * actors)
        waits_s.append(done - ward.failed_at)
    give_sample(group_us=median(waits_s) / actors * 1e6)


if __name__ == "__main__":
    with logging_to_file():
        if sys.argv[1] == "crash":
            crash(int(sys.argv[2]))
        elif sys.argv[1] == "storm":
            storm(int(sys.argv[2]), int(sys.argv[3]))
        else:
            group(int(sys.argv[2]))
        pykka.ActorRegistry.stop_all()
