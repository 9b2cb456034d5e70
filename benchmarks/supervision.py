"""Supervision: how soon a crashed agent is back, and what supervision costs where nothing crashes.

- crash: one agent is told a message at which it fails, and asked a question right after; from just before the
  failing handler raises until the next instance begins to handle the question, both taken in the handlers. A
  thread that asks lets the node's loop fall asleep each time; an agent of the same node does not.
- restarts: the agents of one supervisor (one_for_one) fail, one after the other, again and again.
- one_for_all: a child of many fails; from just before it raises until the last child is up again. With hooks
  each child has an `on_start` and an `on_stop`, and up is when `on_start` has run.
- cost of a message: a supervised and a spawned agent take turns in one process; the median of 15 pairs, and
  the interval that covers it with at least 95 %.
- idle: processor time of a process whose agents do nothing, its growth in memory, and their start.

No backoff, and an intensity that allows every restart. Both libraries log to a file from INFO on, as services
do: each failure with its traceback, before the restart; that it was restarted, Covey writes down once the
next message was taken. Pykka restarts nothing by itself: an `on_failure` hook tells a monitor thread, which
starts a fresh actor, and callers look its ref up again. Covey's figures have traces configured and none
sampled; failures and restarts are traced all the same.
"""

from __future__ import annotations

from benchmarks.child import run_child
from benchmarks.harness import Measure, Options, Row, System, compare
from benchmarks.local_swarm import TRACED, UNTRACED
from benchmarks.peer import Peer, peer_systems

SUMMARY = "crash to next message, restarts of many, what supervision costs otherwise, against Pykka and Ray"

CRASHES = tuple(
    Measure(f"{who}_{part}_ms", f"crash to next message handled, {asked}, {words}", "ms", "lower")
    for who, asked in (("thread", "asked from a thread"), ("agent", "asked by an agent"))
    for part, words in (("p50", "median"), ("p99", "99th percentile"))
)
BY_THREAD = frozenset({"thread_p50_ms", "thread_p99_ms"})
BY_AGENT = frozenset({"agent_p50_ms", "agent_p99_ms"})
STORM = (Measure("restarts_per_s", "restarts while agents crash in turn", "restarts/s", "higher"),)
COSTS = tuple(
    Measure(f"{what}_{part}", f"supervision's cost per {what}{words}", "%", "lower", compared=False)
    for what in ("tell", "hop")
    for part, words in (("median", ""), ("low", ", interval from"), ("high", ", interval to"))
)
DEADLINE_S = 300.0


def run(options: Options) -> list[Row]:
    """Rows of crashes, storms, one_for_all, cost per message and idle trees."""
    rows = _crashes(options)
    rows += _storm(options)
    rows += _groups(options)
    short = ("2000", "2000") if options.quick else ("100000", "100000")
    rows += compare(_system("covey", "benchmarks.supervision_cost", *short), [], COSTS, options.pairs)
    return rows + _idle(options)


def group_measures(children: int) -> tuple[Measure, ...]:
    """Figures of one_for_all with so many children."""
    return (
        Measure("group_s", f"{children:,} children restarted by one_for_all", "s", "lower", compared=False),
        Measure("group_us", "restart by one_for_all, each child", "us", "lower"),
    )


def _crashes(options: Options) -> list[Row]:
    crashes, few = ("100", "2") if options.quick else ("2000", "10")
    ray = Peer(
        "ray",
        "",
        frozenset({"thread_p50_ms"}),
        "max_restarts=-1, the actor ends its process: from the call that does so until the next is answered",
        ("supervision", few),
    )
    peers = [
        _covey(UNTRACED, "crash", crashes),
        _system("pykka, by hand", "benchmarks.supervision_pykka", "crash", crashes, gives=BY_THREAD),
        System(
            "floor: catch and log",
            lambda: run_child("benchmarks.supervision_floor", crashes, deadline_s=DEADLINE_S),
            gives=BY_AGENT,
            note="a loop that catches, logs the traceback, makes a new object and takes the next message",
        ),
        *peer_systems([ray], options),
    ]
    return compare(_covey(TRACED, "crash", crashes), peers, CRASHES, options.pairs)


def _storm(options: Options) -> list[Row]:
    storm = ("100", "2") if options.quick else ("1000", "10")
    peers = [
        _covey(UNTRACED, "storm", *storm),
        _system("pykka, by hand", "benchmarks.supervision_pykka", "storm", *storm),
    ]
    return compare(_covey(TRACED, "storm", *storm), peers, STORM, options.pairs)


def _groups(options: Options) -> list[Row]:
    children, threads = (500, 50) if options.quick else (10_000, 1_000)
    peers = [
        _covey(UNTRACED, "group", str(children)),
        _system(
            "covey, with hooks", "benchmarks.supervision_covey", "group", TRACED, str(children), "with hooks"
        ),
        _system(
            "pykka, by hand",
            "benchmarks.supervision_pykka",
            "group",
            str(threads),
            gives=frozenset({"group_us"}),
            note=f"of {threads:,}: each has a thread",
        ),
    ]
    return compare(_covey(TRACED, "group", str(children)), peers, group_measures(children), options.pairs)


def _idle(options: Options) -> list[Row]:
    count, idle_s = (2_000, "0.5") if options.quick else (100_000, "10")
    measures = (
        Measure("idle_ms_per_s", f"processor time of {count:,} idle agents", "ms/s", "lower", compared=False),
        Measure("kib_per_agent", "memory per idle agent", "KiB", "lower"),
        Measure("starts_per_s", "starting agents", "agents/s", "higher"),
    )
    spawned = _system("covey, spawned", "benchmarks.supervision_covey", "idle", "spawned", str(count), idle_s)
    empty = _system(
        "covey, no agents",
        "benchmarks.supervision_covey",
        "idle",
        "spawned",
        "0",
        idle_s,
        gives=frozenset({"idle_ms_per_s"}),
    )
    covey = _system("covey", "benchmarks.supervision_covey", "idle", "supervised", str(count), idle_s)
    return compare(covey, [spawned, empty], measures, options.pairs)


def _covey(tracing: str, what: str, *arguments: str) -> System:
    name = "covey" if tracing == TRACED else "covey, no tracing"
    return _system(name, "benchmarks.supervision_covey", what, tracing, *arguments)


def _system(
    name: str, module: str, *arguments: str, gives: frozenset[str] | None = None, note: str = ""
) -> System:
    return System(name, lambda: run_child(module, *arguments, deadline_s=DEADLINE_S), gives, note)
