"""The least that a crash costs when it is reported: `COUNT`. One thread, no mailbox, no supervisor."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque

from benchmarks.child import give_sample
from benchmarks.log_file import logging_to_file
from benchmarks.statistics import quantile

logger = logging.getLogger("floor")


class Worker:
    """Fails at every odd number, else notes how long that took."""

    failed_at = 0.0

    def __init__(self, waits_s: list[float]) -> None:
        self.waits_s = waits_s

    def handle(self, number: int) -> None:
        if number % 2:
            Worker.failed_at = time.perf_counter()
            raise RuntimeError(f"crash {number}")
        self.waits_s.append(time.perf_counter() - Worker.failed_at)


def crash(count: int) -> None:
    """Measure so many crashes, each from its raising to the handling of the next message."""
    waits_s: list[float] = []
    worker = Worker(waits_s)
    messages = deque(range(1, 2 * count + 1))
    while messages:
        try:
            worker.handle(messages.popleft())
        except RuntimeError as error:
            logger.error("a worker failed: %s", error, exc_info=error)
            worker = Worker(waits_s)
        else:
            logger.info("a worker was made anew")  # as Covey: once the next message was taken
    give_sample(agent_p50_ms=quantile(waits_s, 0.5) * 1e3, agent_p99_ms=quantile(waits_s, 0.99) * 1e3)


if __name__ == "__main__":
    with logging_to_file():
        crash(int(sys.argv[1]))
