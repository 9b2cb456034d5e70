"""Asks from one process to another, against nats-py and FastStream, on one private server.

- one at a time: 128-byte messages, answered with themselves, from a coroutine of the loop that also serves
  the connection (with Covey: an agent's `async def` handler) and, with Covey, from a thread as well; both are
  held against the peers' coroutine.
- by the clock: 5,000 a second, whether those before are answered or not, from within each system's loop.
  Both nodes and the server share the machine's cores. Latency is counted from the time at which an ask was
  due, so that a hold-up counts for all the asks that it delays.
- 64 in flight: a coroutine for each.
- all in flight: so many asks of one agent that answers none before the last has come; a sample in which one
  answer is missing or is another one's is refused. Memory is the most that the asking process has ever had.

The raw side uses `Client.request` with the same envelopes and payloads.
"""

from __future__ import annotations

from benchmarks.child import run_child, serving
from benchmarks.harness import Measure, Options, Row, Sample, System, compare
from benchmarks.peer import Peer, peer_systems

SUMMARY = "asks between two processes: one at a time, 5,000 a second, and 100,000 in flight"

ONE = (
    Measure("coroutine_p50_ms", "ask from a coroutine, median", "ms", "lower"),
    Measure("coroutine_p99_ms", "ask from a coroutine, 99th percentile", "ms", "lower"),
    Measure("thread_p50_ms", "ask from a thread (peers: a coroutine), median", "ms", "lower"),
    Measure("thread_p99_ms", "ask from a thread (peers: a coroutine), 99th percentile", "ms", "lower"),
)
CLOCK = (
    Measure("p50_ms", "asks by the clock, median", "ms", "lower"),
    Measure("p99_ms", "asks by the clock, 99th percentile", "ms", "lower"),
    Measure("p999_ms", "asks by the clock, 99.9th percentile", "ms", "lower"),
    Measure("late_p99_ms", "asks by the clock, sent late, 99th percentile", "ms", "lower", compared=False),
)
AT_ONCE = (Measure("asks_per_s", "asks, 64 in flight", "asks/s", "higher"),)
DEADLINE_S = 180.0
PER_S = 5_000
IN_FLIGHT = "64"


def run(options: Options) -> list[Row]:
    """Rows of latency and rate for all systems, and of all asks in flight for Covey and nats-py."""
    asks, few, seconds, all_at_once = (
        ("500", "300", 1, "10000") if options.quick else ("10000", "3000", 10, "100000")
    )
    with serving("benchmarks.nats_server") as url:

        def against_raw(measures: tuple[Measure, ...], *arguments: str, peers: list[Peer]) -> list[Row]:
            return compare(
                _system("covey", "benchmarks.remote_ask_covey", url, *arguments),
                [
                    _system("raw nats-py", "benchmarks.remote_ask_raw", url, *arguments),
                    *peer_systems(peers, options),
                ],
                measures,
                options.pairs,
            )

        return [
            *against_raw(ONE, "one", asks, peers=[_faststream(ONE, "ask", url, few)]),
            *against_raw(CLOCK, "clock", str(PER_S * seconds), str(PER_S), peers=[]),
            *against_raw(
                AT_ONCE,
                *("at-once", asks + "0", IN_FLIGHT),
                peers=[_faststream(AT_ONCE, "ask-many", url, few + "0", IN_FLIGHT)],
            ),
            *against_raw(_in_flight(all_at_once), "in-flight", all_at_once, peers=[]),
        ]


def _in_flight(count: str) -> tuple[Measure, ...]:
    name = f"{int(count):,} asks in flight"
    return (
        Measure("all_s", f"{name}, sent and answered", "s", "lower"),
        Measure("peak_mib", f"{name}, most memory of the asking process", "MiB", "lower"),
        Measure("grown_mib", f"{name}, of it above the start", "MiB", "lower", compared=False),
    )


def _faststream(measures: tuple[Measure, ...], *arguments: str) -> Peer:
    keys = frozenset(measure.key for measure in measures)
    return Peer("faststream", "", keys, "broker.request with pydantic models as JSON", arguments)


def _system(name: str, module: str, url: str, *arguments: str) -> System:
    def sample() -> Sample:
        with serving(module, "receive", url):
            return run_child(module, arguments[0], url, *arguments[1:], deadline_s=DEADLINE_S)

    return System(name, sample)
