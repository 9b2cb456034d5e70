"""One sample of what traces that sample nothing add to a message: `TELLS HOPS ASKS`.

Two swarms in one process, one with somewhere to send traces and one without, take turns in short batches:
what a neighbour or the clock of the machine does meets both. Each figure is the median of the batches'
differences, in microseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.ask_covey import Asker, Measure, PlainAnswerer
from benchmarks.child import give_sample
from benchmarks.local_covey import hop, tell
from benchmarks.local_swarm import TRACED, UNTRACED, local_swarm
from benchmarks.statistics import median
from covey import Swarm

BATCHES = 15
WITHIN_S = 60.0


def measure(tells: int, hops: int, asks: int) -> None:
    """Measure tells, hops and awaited asks in both swarms by turns."""

    def tell_us(swarm: Swarm, batch: int) -> float:
        return tell(swarm.spawn, str(batch), tells) / tells * 1e6

    def hop_us(swarm: Swarm, batch: int) -> float:
        return hop(swarm.spawn, 2 * batch, 2, 1, hops) / hops * 1e6

    def ask_us(swarm: Swarm, batch: int) -> float:
        swarm.spawn(PlainAnswerer, str(batch))
        order = Measure(kind=PlainAnswerer.kind, key=str(batch), asks=asks)
        waits = swarm.spawn(Asker, str(batch)).ask(order, timeout=WITHIN_S).get()
        return float(waits.p50_us)

    with local_swarm(TRACED) as traced, local_swarm(UNTRACED) as untraced:
        give_sample(
            tell_added_us=_added(traced, untraced, tell_us),
            hop_added_us=_added(traced, untraced, hop_us),
            ask_added_us=_added(traced, untraced, ask_us),
        )


def _added(traced: Swarm, untraced: Swarm, cost_us: Callable[[Swarm, int], float]) -> float:
    """The median of the differences, after a first batch that warms up; who goes first alternates."""
    differences = []
    for batch in range(BATCHES + 1):
        if batch % 2:
            with_traces = cost_us(traced, batch)
            without = cost_us(untraced, batch)
        else:
            without = cost_us(untraced, batch)
            with_traces = cost_us(traced, batch)
        differences.append(with_traces - without)
    return median(differences[1:])


if __name__ == "__main__":
    measure(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
