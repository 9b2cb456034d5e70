"""Typed messages of 128 bytes between two processes, against nats-py used directly, on one private server.

- messages/s: from the first send in one process to the last handled in the other. The receiver counts; a
  sample in which one message is missing is refused.
- ask: round trips one after the other, as a user makes them: from a thread with Covey, from the loop with
  nats-py.

The raw side sends one NATS message per message: a protobuf payload in the same envelope, both encoded
and decoded, received by a callback with pending limits above all that is sent. Its publisher yields to its
loop every 100 messages, so that the client writes steadily; nothing is dropped.
"""

from __future__ import annotations

from benchmarks.child import run_child, serving
from benchmarks.harness import Measure, Options, Row, Sample, System, compare

SUMMARY = "128-byte typed messages between two processes, against raw nats-py one by one"

MEASURES = (
    Measure("messages_per_s", "tell, first sent to last handled", "messages/s", "higher"),
    Measure("ask_p50_ms", "ask, median", "ms", "lower"),
    Measure("ask_p99_ms", "ask, 99th percentile", "ms", "lower"),
)
DEADLINE_S = 120.0


def run(options: Options) -> list[Row]:
    """Rows of throughput and ask latency, for both systems and as ratios."""
    tells, asks = ("20000", "300") if options.quick else ("100000", "2000")
    with serving("benchmarks.nats_server") as url:
        return compare(
            _system("covey", "benchmarks.node_covey", url, tells, asks),
            [_system("raw nats-py", "benchmarks.node_raw", url, tells, asks)],
            MEASURES,
            options.pairs,
        )


def _system(name: str, module: str, url: str, tells: str, asks: str) -> System:
    def sample() -> Sample:
        with serving(module, "receive", url):
            return run_child(module, "send", url, tells, asks, deadline_s=DEADLINE_S)

    return System(name, sample)
