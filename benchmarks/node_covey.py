"""One sample of two Covey nodes: `receive URL`, or `send URL TELLS`."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.child import announce_ready, give_sample
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES
from benchmarks.sink import Arrivals, CountArrivals, Reading, Sink
from covey import NoHostError, Swarm

__all__ = ["SWARM", "await_host"]

SWARM = "benchmarks"
DRAINED_WITHIN_S = 60.0
JOINED_WITHIN_S = 10.0


def receive(url: str) -> None:
    """Host the sink until standard input closes."""
    with Swarm.connect(url, name=SWARM, hosts=[Sink]):
        announce_ready()


def send(url: str, tells: int) -> None:
    """Measure tells, from a thread of a node that hosts nothing."""
    with Swarm.connect(url, name=SWARM, hosts=[]) as swarm:
        sink = swarm.agent(Sink, "a")
        await_host(sink)
        before = _tell(sink, tells // 10)
        started_s, cpu_s = time.monotonic(), time.process_time()
        arrivals = _tell(sink, tells)
        cpu_s = time.process_time() - cpu_s + arrivals.cpu_s - before.cpu_s
        give_sample(messages_per_s=tells / (arrivals.last_s - started_s), cpu_us=cpu_s / tells * 1e6)


def await_host(sink: Any) -> None:
    """Return once a node that hosts sinks has been heard of.

    Raises:
        NoHostError: none was within 10 s.
    """
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
    if arrivals.disorder:
        sys.exit(f"{arrivals.disorder} of {count} messages were not the next one when they arrived")
    return arrivals


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2])
    else:
        send(sys.argv[2], int(sys.argv[3]))
