"""What a message costs among 1, 10, ... 1,000,000 live agents, and what a million agents cost.

- cost per message: one message object told from another thread, round robin to at most 100 of the live
  agents, chosen at random by a fixed seed, until the last one was handled; the median of five batches. From
  100 agents on only idle ones are added.
- memory: growth of resident memory, divided; no refs are held but those of the 100.
- answers: each live agent is asked once from another thread, 1,000 asks on their way at a time.
- stopping: `ref.stop()` for each, 1,000 on their way at a time, until all have stopped.

One process grows from 1 agent to the most and is measured on its way. After each bulk of starts it calls
`gc.freeze()`, as everybody should who starts so many: else each full garbage collection walks all of them.
Pykka has a thread for each actor and goes up to 5,000.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.agents_plot import Point, draw
from benchmarks.child import run_child
from benchmarks.harness import BenchmarkError, Measure, Options, Row, System, compare
from benchmarks.local_swarm import TRACED

SUMMARY = "cost per message among 1 to 1,000,000 agents; memory, start and stop of so many"

SIZES = (1, 10, 100, 1_000, 5_000, 10_000, 100_000, 1_000_000)
PYKKA_MOST = 5_000
QUICK_MOST, QUICK_PYKKA_MOST = 10_000, 1_000
DEADLINE_S = 900.0


def run(options: Options) -> list[Row]:
    """Rows of cost per message, memory, start, answers and stop, for Covey and Pykka."""
    most = QUICK_MOST if options.quick else SIZES[-1]
    pykka_most = QUICK_PYKKA_MOST if options.quick else PYKKA_MOST
    messages = "2000" if options.quick else "20000"
    living = _living_measures(most)
    rows = compare(
        _system("covey", "benchmarks.agents_covey", "live", TRACED, most, messages),
        [
            _system(
                "pykka",
                "benchmarks.agents_pykka",
                "live",
                pykka_most,
                messages,
                gives=frozenset(f"us_{size}" for size in sizes_up_to(pykka_most)),
            )
        ],
        living,
        options.pairs,
    )
    stops = (1_000, 10_000) if options.quick else (1_000, 5_000, 10_000, 100_000, 1_000_000)
    for count in stops:
        peers = []
        if count <= pykka_most:
            peers.append(_system("pykka", "benchmarks.agents_pykka", "stop", count))
        covey = _system("covey", "benchmarks.agents_covey", "stop", TRACED, count)
        rows += compare(covey, peers, _stop_measures(count), options.pairs)
    return rows


def plot(rows: list[Row], path: Path) -> None:
    """Draw cost per message against the number of live agents as SVG and PNG.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    by_metric = {_cost_metric(size): size for size in SIZES}
    curves: dict[str, list[Point]] = {"covey": [], "pykka": []}
    for row in rows:
        size = by_metric.get(row.metric)
        if size is None or row.unit != "us" or row.value is None or row.low is None or row.high is None:
            continue
        curves[row.system].append(Point(size, row.value, row.low, row.high))
    if not curves["covey"]:
        raise BenchmarkError("there is no cost per message to draw")
    draw(curves["covey"], curves["pykka"], path)


def sizes_up_to(most: int) -> tuple[int, ...]:
    """The numbers of live agents at which a message is measured."""
    return tuple(size for size in SIZES if size <= most)


def _living_measures(most: int) -> list[Measure]:
    measures = [Measure(f"us_{size}", _cost_metric(size), "us", "lower") for size in sizes_up_to(most)]
    measures.append(
        Measure("growth", f"cost among {most:,} agents / among 100", "ratio", "lower", compared=False)
    )
    for size in sizes_up_to(most):
        if size >= 10_000:
            memory = f"memory per idle agent, of {size:,}"
            measures.append(Measure(f"kib_{size}", memory, "KiB", "lower", compared=False))
            starts = f"starting agents, up to {size:,}"
            measures.append(Measure(f"starts_per_s_{size}", starts, "agents/s", "higher", compared=False))
    measures += [
        Measure("answers_s", f"{most:,} agents answer one message each", "s", "lower", compared=False),
        Measure("total_gib", f"memory of the process with {most:,} agents", "GiB", "lower", compared=False),
    ]
    return measures


def _stop_measures(count: int) -> list[Measure]:
    return [
        Measure("stop_s", f"stopping {count:,} agents", "s", "lower"),
        Measure("stop_us", f"stopping {count:,} agents, each", "us", "lower"),
    ]


def _cost_metric(size: int) -> str:
    return f"cost per message among {size:,} live agents"


def _system(name: str, module: str, *arguments: str | int, gives: frozenset[str] | None = None) -> System:
    texts = [str(argument) for argument in arguments]
    return System(name, lambda: run_child(module, *texts, deadline_s=DEADLINE_S), gives)
