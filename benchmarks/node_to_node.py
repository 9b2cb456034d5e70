"""Typed messages of 128 bytes between two processes, against nats-py and FastStream, on one private server.

From the first send in one process to the last handled in the other. The receiver counts and sees that each
message is the next one: a sample in which one is missing, doubled or out of its place is refused. Beside the
rate stands the processor time of both processes for each message, the server's not included: it wavers less
where other programs run.

The raw side sends one NATS message per message: a protobuf payload in the same envelope, both encoded
and decoded, received by a callback with pending limits above all that is sent. Its publisher yields to its
loop every 100 messages, so that the client writes steadily; nothing is dropped. FastStream does the same with
a pydantic model whose JSON takes 128 bytes, without its access log.
"""

from __future__ import annotations

from benchmarks.child import run_child, serving
from benchmarks.harness import Measure, Options, Row, Sample, System, compare
from benchmarks.peer import Peer, peer_systems

SUMMARY = "128-byte typed messages between two processes, against raw nats-py and FastStream"

MEASURES = (
    Measure("messages_per_s", "tell, first sent to last handled", "messages/s", "higher"),
    Measure("cpu_us", "tell, processor time of both processes", "us", "lower"),
)
KEYS = frozenset(measure.key for measure in MEASURES)
DEADLINE_S = 120.0


def run(options: Options) -> list[Row]:
    """Rows of throughput for all systems, and as ratios."""
    tells, few = ("50000", "5000") if options.quick else ("300000", "30000")
    note = "pydantic models as JSON, one NATS message each"
    with serving("benchmarks.nats_server") as url:
        faststream = Peer("faststream", "", KEYS, note, ("tell", url, few))
        return compare(
            _system("covey", "benchmarks.node_covey", url, tells),
            [
                _system("raw nats-py", "benchmarks.node_raw", url, tells),
                *peer_systems([faststream], options),
            ],
            MEASURES,
            options.pairs,
        )


def _system(name: str, module: str, url: str, tells: str) -> System:
    def sample() -> Sample:
        with serving(module, "receive", url):
            return run_child(module, "send", url, tells, deadline_s=DEADLINE_S)

    return System(name, sample)
