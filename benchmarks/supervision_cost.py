"""One sample of what supervision costs a message at which nothing fails: `TELLS HOPS`.

A supervised and a spawned agent of one swarm take turns in short batches: what a neighbour or the clock of
the machine does meets both. Each figure is of the batches' ratios, as the percentage that the supervised one
took longer: their median, and the ends of the interval that covers it with at least 95 %.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.child import give_sample
from benchmarks.local_covey import hop, tell
from benchmarks.local_swarm import TRACED, local_swarm
from benchmarks.statistics import median, median_interval
from covey import AgentRef, Child, Supervisor
from covey.framework.supervision.supervisor_ref import SupervisorRef

PAIRS = 15
RUNNERS = 2

Spawn = Callable[..., AgentRef]


def measure(tells: int, hops: int) -> None:
    """Measure tells and hops of supervised and of spawned agents by turns."""

    def tell_s(spawn: Spawn, key: int) -> float:
        return tell(spawn, str(key), tells)

    def hop_s(spawn: Spawn, key: int) -> float:
        return hop(spawn, key * RUNNERS, RUNNERS, 1, hops)

    with local_swarm(TRACED) as swarm:
        supervised = partial(_start, swarm.supervise(Supervisor([])))
        give_sample(
            **_added("tell", supervised, swarm.spawn, tell_s), **_added("hop", supervised, swarm.spawn, hop_s)
        )


def _start(supervisor: SupervisorRef, cls: Any, key: str, *args: Any) -> Any:
    return supervisor.start_child(Child(cls, key, args))


def _added(
    name: str, supervised: Spawn, spawned: Spawn, seconds: Callable[[Spawn, int], float]
) -> dict[str, float]:
    """Of the pairs after a first one that warms up; who goes first alternates."""
    added = []
    for pair in range(PAIRS + 1):
        if pair % 2:
            with_supervisor = seconds(supervised, 2 * pair)
            without = seconds(spawned, 2 * pair + 1)
        else:
            without = seconds(spawned, 2 * pair + 1)
            with_supervisor = seconds(supervised, 2 * pair)
        added.append((with_supervisor / without - 1) * 100)
    interval = median_interval(added[1:])
    return {
        f"{name}_median": median(added[1:]),
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


if __name__ == "__main__":
    measure(int(sys.argv[1]), int(sys.argv[2]))
