"""One sample of two Covey nodes: `receive URL`, or `send URL TELLS ASKS`."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.child import announce_ready, give_sample
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES
from benchmarks.sink import Arrivals, CountArrivals, Echo, Reading, Sink
from benchmarks.statistics import quantile
from covey import NoHostError, Swarm

SWARM = "benchmarks"
DRAINED_WITHIN_S = 60.0
JOINED_WITHIN_S = 10.0


def receive(url: str) -> None:
    """Host the sink until standard input closes."""
    with Swarm.connect(url, name=SWARM, hosts=[Sink]):
        announce_ready()


def send(url: str, tells: int, asks: int) -> None:
    """Measure tells, then asks, from a node that hosts nothing."""
    with Swarm.connect(url, name=SWARM, hosts=[]) as swarm:
        sink = swarm.agent(Sink, "a")
        _await_host(sink)
        _tell(sink, tells // 10)
        started_s = time.monotonic()
        arrivals = _tell(sink, tells)
        rate = tells / (arrivals.last_s - started_s)
        _ask(sink, asks // 10)
        waits_s = _ask(sink, asks)
        give_sample(
            messages_per_s=rate,
            ask_p50_ms=quantile(waits_s, 0.5) * 1000,
            ask_p99_ms=quantile(waits_s, 0.99) * 1000,
        )


def _await_host(sink: Any) -> None:
    deadline = time.monotonic() + JOINED_WITHIN_S
    while True:
        try:
            sink.ask(CountArrivals(), timeout=JOINED_WITHIN_S).get()
        except NoHostError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _tell(sink: Any, count: int) -> Arrivals:
    for number in range(count):
        sink.tell(Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE))
    arrivals: Arrivals = sink.ask(CountArrivals(), timeout=DRAINED_WITHIN_S).get()
    if arrivals.count != count:
        sys.exit(f"{count} messages were sent and {arrivals.count} arrived")
    return arrivals


def _ask(sink: Any, count: int) -> list[float]:
    waits_s = []
    for number in range(count):
        started_s = time.perf_counter()
        reading = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
        sink.ask(Echo(reading=reading), timeout=5.0).get()
        waits_s.append(time.perf_counter() - started_s)
    return waits_s


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2])
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
