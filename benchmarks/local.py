"""Agents in one process against Pykka's ThreadingActor.

- tell: one message object sent n times from another thread, until the last one was handled. Covey's mailbox
  is bounded (the default, with backpressure), Pykka's queue is not.
- ask: blocking round trips from that thread, one after the other.
- actors: that many idle actors, started one by one; the growth of resident memory, divided.
"""

from __future__ import annotations

from benchmarks.child import run_child
from benchmarks.harness import Measure, Options, Row, System, compare

SUMMARY = "tell, ask, memory and start of local agents, against Pykka's ThreadingActor"

MESSAGING = (
    Measure("tells_per_s", "tell from another thread", "messages/s", "higher"),
    Measure("ask_us", "blocking ask, mean", "us", "lower"),
)
ACTORS = (
    Measure("kib_per_actor", "memory per idle actor", "KiB", "lower"),
    Measure("starts_per_s", "starting actors", "actors/s", "higher"),
)
DEADLINE_S = 120.0


def run(options: Options) -> list[Row]:
    """Rows of tell, ask, memory and start, for both systems and as ratios."""
    tells, asks, actors = ("20000", "1000", "500") if options.quick else ("200000", "5000", "2000")
    messaging = compare(
        _system("covey", "benchmarks.local_covey", "messaging", tells, asks),
        _system("pykka", "benchmarks.local_pykka", "messaging", tells, asks),
        MESSAGING,
        options.pairs,
    )
    return messaging + compare(
        _system("covey", "benchmarks.local_covey", "actors", actors),
        _system("pykka", "benchmarks.local_pykka", "actors", actors),
        ACTORS,
        options.pairs,
    )


def _system(name: str, module: str, *arguments: str) -> System:
    return System(name, lambda: run_child(module, *arguments, deadline_s=DEADLINE_S))
