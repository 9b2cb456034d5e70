"""One sample of Ray: `messaging TELLS HOPS ASKS`, `actors COUNT`, `ask COUNT` or `supervision CRASHES`.

Each actor is a process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

import psutil

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

WITHIN_S = 60.0
STORE_BYTES = 80 * 1024 * 1024


class CountingWorker:
    """Counts ticks, answers questions, passes hops on."""

    def __init__(self) -> None:
        self.ticks = 0
        self.other: Any = None
        self.arrived = False

    def tick(self, number: int) -> None:
        self.ticks += 1

    def count(self) -> int:
        counted = self.ticks
        self.ticks = 0
        return counted

    def answer(self, number: int) -> int:
        return number

    def know(self, other: Any) -> None:
        self.other = other
        self.arrived = False

    def hop(self, left: int) -> None:
        if left:
            self.other.hop.remote(left - 1)
        else:
            self.arrived = True

    def has_arrived(self) -> bool:
        return self.arrived


class AnsweringWorker:
    """A class of its own: one coroutine makes all methods of an actor run on its loop, in any order."""

    async def answer(self, number: int) -> int:
        return number


class FragileWorker:
    """Ends its process when it is told to."""

    def crash(self) -> None:
        os._exit(1)

    def answer(self, number: int) -> int:
        return number


Worker: Any = ray.remote(num_cpus=0)(CountingWorker)
AsyncWorker: Any = ray.remote(num_cpus=0)(AnsweringWorker)
FragileOne: Any = ray.remote(num_cpus=0, max_restarts=-1)(FragileWorker)


def messaging(tells: int, hops: int, asks: int) -> dict[str, float]:
    one, other = Worker.remote(), Worker.remote()
    ray.get([one.know.remote(other), other.know.remote(one)], timeout=WITHIN_S)
    _tell(one, tells // 10)
    tell_s = _tell(one, tells)
    hops -= hops % 2  # an even number of hops ends at the other one
    _hop(one, other, hops // 10 // 2 * 2)
    hop_s = _hop(one, other, hops)
    _ask(one.answer, asks // 10)
    waits_s = _ask(one.answer, asks)
    return {
        "tells_per_s": tells / tell_s,
        "hops_per_s": hops / hop_s,
        "ask_us": sum(waits_s) / asks * 1e6,
        "ask_p50_us": sorted(waits_s)[asks // 2] * 1e6,
    }


def actors(count: int) -> dict[str, float]:
    warm = Worker.remote()
    _ask(warm.answer, 1)
    before_bytes = _memory_bytes()
    started = time.perf_counter()
    workers = [Worker.remote() for _ in range(count)]
    ray.get([worker.answer.remote(1) for worker in workers], timeout=WITHIN_S)
    start_s = time.perf_counter() - started
    grown_bytes = _memory_bytes() - before_bytes
    return {"kib_per_actor": grown_bytes / count / 1024, "starts_per_s": count / start_s}


def ask(count: int) -> dict[str, float]:
    figures = {}
    for name, worker in (("plain", Worker.remote()), ("async", AsyncWorker.remote())):
        _ask(worker.answer, count // 10)
        ordered = sorted(_ask(worker.answer, count))
        figures[f"{name}_p50_us"] = ordered[count // 2] * 1e6
        figures[f"{name}_p99_us"] = ordered[count * 99 // 100] * 1e6
    return figures


def supervision(crashes: int) -> dict[str, float]:
    worker = FragileOne.remote()
    _ask(worker.answer, 1)
    # Only the question is tried again: a crash that were would end each new process as well.
    answer = worker.answer.options(max_task_retries=-1)
    waits_s = []
    for _ in range(crashes):
        started = time.perf_counter()
        worker.crash.remote()
        ray.get(answer.remote(7), timeout=WITHIN_S)
        waits_s.append(time.perf_counter() - started)
    return {"thread_p50_ms": sorted(waits_s)[crashes // 2] * 1e3}


def _tell(worker: Any, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        worker.tick.remote(1)
    counted = ray.get(worker.count.remote(), timeout=WITHIN_S)
    if counted != count:
        sys.exit(f"{count} ticks were sent, and {counted} were handled")
    return time.perf_counter() - started


def _hop(one: Any, other: Any, count: int) -> float:
    ray.get([one.know.remote(other), other.know.remote(one)], timeout=WITHIN_S)
    started = time.perf_counter()
    one.hop.remote(count - 1)
    deadline = started + WITHIN_S
    while not ray.get(other.has_arrived.remote(), timeout=WITHIN_S):
        if time.perf_counter() > deadline:
            sys.exit(f"{count} hops were not done within {WITHIN_S:g} s")
        time.sleep(0.005)
    return time.perf_counter() - started


def _ask(method: Any, count: int) -> list[float]:
    waits_s = []
    for _ in range(count):
        started = time.perf_counter()
        ray.get(method.remote(7), timeout=WITHIN_S)
        waits_s.append(time.perf_counter() - started)
    return waits_s


def _memory_bytes() -> int:
    """What this process and all that Ray started do not share with others."""
    own = psutil.Process()
    processes = (own, *own.children(recursive=True))
    return sum(int(process.memory_full_info().uss) for process in processes)


def measure(kind: str, counts: list[int]) -> dict[str, float]:
    if kind == "messaging":
        return messaging(*counts)
    if kind == "supervision":
        return supervision(*counts)
    return actors(*counts) if kind == "actors" else ask(*counts)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=folder,
            logging_level="ERROR",
        )
        try:
            sample = measure(sys.argv[1], [int(count) for count in sys.argv[2:]])
        finally:
            ray.shutdown()
    print(json.dumps(sample))
