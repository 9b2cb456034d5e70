"""One sample of Thespian: `messaging BASE TELLS HOPS ASKS`, `actors BASE COUNT` or `ask BASE COUNT`.

BASE is `simpleSystemBase` (all in the caller's process and thread) or `multiprocTCPBase` (a process for each
actor). Its actors cannot wait for an answer, so asks come from outside.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil
from thespian.actors import Actor, ActorAddress, ActorExitRequest, ActorSystem

WITHIN_S = 60.0
MARK = "COVEY_BENCHMARK_CHILD"
"""Set by the harness for a peer and whatever it starts."""


@dataclass
class Tick:
    number: int


@dataclass
class Report:
    """Asks for an answer once so many ticks were handled."""

    after: int


@dataclass
class Question:
    number: int


@dataclass
class Answer:
    number: int


@dataclass
class Hop:
    left: int
    other: ActorAddress
    asker: ActorAddress


@dataclass
class Run:
    """Starts the hops; the last one is answered to who sent this."""

    hops: int
    other: ActorAddress


class Worker(Actor):
    """Counts ticks, answers questions, passes hops on."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        if isinstance(message, Tick):
            self.count += 1
        elif isinstance(message, Question):
            self.send(sender, Answer(message.number))
        elif isinstance(message, Report):
            self.send(sender, Answer(self.count))
            self.count = 0
        elif isinstance(message, Hop):
            if message.left:
                self.send(sender, Hop(message.left - 1, message.other, message.asker))
            else:
                self.send(message.asker, Answer(0))
        elif isinstance(message, Run):
            self.send(message.other, Hop(message.hops - 1, message.other, sender))


def messaging(system: Any, base: str, tells: int, hops: int, asks: int) -> dict[str, float]:
    one, other = system.createActor(Worker), system.createActor(Worker)
    _tell(system, one, tells // 10)
    figures = {"tells_per_s": tells / _tell(system, one, tells)}
    if base != "simpleSystemBase":  # it hands a message on inside of the sending call
        _hop(system, one, other, hops // 10)
        figures["hops_per_s"] = hops / _hop(system, one, other, hops)
    _ask(system, one, asks // 10)
    waits_s = _ask(system, one, asks)
    figures["ask_us"] = sum(waits_s) / asks * 1e6
    figures["ask_p50_us"] = sorted(waits_s)[asks // 2] * 1e6
    return figures


def actors(system: Any, count: int) -> dict[str, float]:
    _ask(system, system.createActor(Worker), 1)
    gc.collect()
    before_bytes = _memory_bytes()
    started = time.perf_counter()
    workers = [system.createActor(Worker) for _ in range(count)]
    for worker in workers:
        _ask(system, worker, 1)
    start_s = time.perf_counter() - started
    gc.collect()
    grown_bytes = _memory_bytes() - before_bytes
    for worker in workers:
        system.tell(worker, ActorExitRequest())
    return {"kib_per_actor": grown_bytes / count / 1024, "starts_per_s": count / start_s}


def ask(system: Any, count: int) -> dict[str, float]:
    target = system.createActor(Worker)
    _ask(system, target, count // 10)
    ordered = sorted(_ask(system, target, count))
    return {"plain_p50_us": ordered[count // 2] * 1e6, "plain_p99_us": ordered[count * 99 // 100] * 1e6}


def _tell(system: Any, target: Any, count: int) -> float:
    tick = Tick(1)
    started = time.perf_counter()
    for _ in range(count):
        system.tell(target, tick)
    report = system.ask(target, Report(count), WITHIN_S)
    if report is None or report.number != count:
        sys.exit(f"{count} ticks were told, and {report} came back")
    return time.perf_counter() - started


def _hop(system: Any, one: Any, other: Any, count: int) -> float:
    started = time.perf_counter()
    if system.ask(one, Run(count, other), WITHIN_S) is None:
        sys.exit(f"{count} hops were not done within {WITHIN_S:g} s")
    return time.perf_counter() - started


def _ask(system: Any, target: Any, count: int) -> list[float]:
    question = Question(7)
    waits_s = []
    for _ in range(count):
        started = time.perf_counter()
        if system.ask(target, question, WITHIN_S) is None:
            sys.exit(f"no answer within {WITHIN_S:g} s")
        waits_s.append(time.perf_counter() - started)
    return waits_s


def _memory_bytes() -> int:
    """Of this process if all is in it; else what the system's processes do not share with others."""
    processes = [process for process in psutil.process_iter() if _is_own(process)]
    if len(processes) == 1:
        return int(processes[0].memory_info().rss)
    return sum(int(process.memory_full_info().uss) for process in processes)


def _is_own(process: psutil.Process) -> bool:
    """Whether this process started it; Thespian's are nobody's children, but inherit the environment."""
    try:
        return process.environ().get(MARK) == os.environ[MARK]
    except psutil.Error:
        return False


if __name__ == "__main__":
    kind, base, *counts = sys.argv[1:]
    numbers = [int(count) for count in counts]
    thespian = ActorSystem(base, transientUnique=True)
    try:
        if kind == "messaging":
            sample = messaging(thespian, base, *numbers)
        elif kind == "actors":
            sample = actors(thespian, *numbers)
        else:
            sample = ask(thespian, *numbers)
    finally:
        thespian.shutdown()
    print(json.dumps(sample))
