"""Awaited asks between two agents, and 100,000 asks in flight at once.

- asks: an agent asks another one from an `async def` handler, one after the other, and measures each; the
  other one answers from a plain or from an `async def` handler.
- in flight: so many asks of one agent that answers none before the last has come; then all are answered and
  checked. Memory is resident memory, of the third time: two warm up the allocator. Resident memory is what
  the allocator has not given back; the blocks that Python still holds say whether anything was kept.

The floor is bare asyncio in the same shape: a future for each ask, a queue drained by a call of the loop,
and for `async def` a task for each.
"""

from __future__ import annotations

from benchmarks.child import run_child
from benchmarks.harness import Measure, Options, Row, System, compare
from benchmarks.local_swarm import TRACED, UNTRACED
from benchmarks.peer import Peer, peer_systems

SUMMARY = "awaited asks from agent to agent, and 100,000 in flight at once"

ASKS = (
    Measure("plain_p50_us", "ask of a plain handler, median", "us", "lower"),
    Measure("plain_p99_us", "ask of a plain handler, 99th percentile", "us", "lower"),
    Measure("async_p50_us", "ask of an async handler, median", "us", "lower"),
    Measure("async_p99_us", "ask of an async handler, 99th percentile", "us", "lower"),
)
IN_FLIGHT = (
    Measure("asks_per_s", "asks in flight, all sent and answered", "asks/s", "higher"),
    Measure("before_mib", "memory before", "MiB", "lower", compared=False),
    Measure("peak_mib", "memory with all in flight", "MiB", "lower", compared=False),
    Measure("after_mib", "memory after", "MiB", "lower", compared=False),
    Measure("left_mib", "memory after, less before", "MiB", "lower", compared=False),
    Measure("left_blocks", "blocks of memory that Python still holds", "blocks", "lower", compared=False),
)
DEADLINE_S = 180.0

PLAIN = frozenset({"plain_p50_us", "plain_p99_us"})
ASYNC = frozenset({"async_p50_us", "async_p99_us"})


def run(options: Options) -> list[Row]:
    """Rows of ask latency for all systems, and of asks in flight for Covey and the floor."""
    asks, few, in_flight = ("2000", "300", "10000") if options.quick else ("50000", "2000", "100000")
    rows = compare(
        _system("covey", "benchmarks.ask_covey", "ask", TRACED, asks),
        [
            _system("covey, no tracing", "benchmarks.ask_covey", "ask", UNTRACED, asks),
            _system("floor: bare asyncio", "benchmarks.ask_floor", "ask", asks),
            System(
                "pykka",
                lambda: run_child("benchmarks.ask_pykka", few, deadline_s=DEADLINE_S),
                gives=PLAIN,
                note="a blocking ask from an actor's thread",
            ),
            *peer_systems(_peers(few), options),
        ],
        ASKS,
        options.pairs,
    )
    return rows + compare(
        _system("covey", "benchmarks.ask_covey", "in-flight", TRACED, in_flight),
        [_system("floor: bare asyncio", "benchmarks.ask_floor", "in-flight", in_flight)],
        IN_FLIGHT,
        options.pairs,
    )


def _peers(asks: str) -> list[Peer]:
    process = "from outside, to an actor in a process of its own"
    return [
        Peer("autogen", "", ASYNC, "send_message from agent to agent", ("ask", asks)),
        Peer("xoscar", "", PLAIN | ASYNC, "awaited ref.method(), both actors in one pool", ("ask", asks)),
        Peer(
            "thespian",
            "simpleSystemBase",
            PLAIN,
            "ask from outside (its actors cannot wait), in the caller's process and thread",
            ("ask", "simpleSystemBase", asks),
        ),
        Peer(
            "thespian",
            "multiprocTCPBase",
            PLAIN,
            f"ask {process} (its actors cannot wait)",
            ("ask", "multiprocTCPBase", asks),
        ),
        Peer("ray", "", PLAIN | ASYNC, f"ray.get {process}", ("ask", asks)),
    ]


def _system(name: str, module: str, *arguments: str) -> System:
    return System(name, lambda: run_child(module, *arguments, deadline_s=DEADLINE_S))
