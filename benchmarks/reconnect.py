"""A server that is killed under 1,000 asks a second and comes back: when there are answers again, what fails.

Two processes and a server of their own for each sample. The server gets SIGKILL after a second of asks and is
started again on its port a second later. Its return is the moment at which it greets a client that tries
every millisecond; the service is back with the first answer after it. An ask that never resolves refuses the
sample. nats-py is measured with its own pause between attempts to connect, 2 s, and with one of 50 ms.
"""

from __future__ import annotations

from benchmarks.child import run_child
from benchmarks.harness import Measure, Options, Row, Sample, System, compare

SUMMARY = "1,000 asks a second while the server is killed and comes back"

MEASURES = (
    Measure("back_ms", "server's return to the first answer", "ms", "lower"),
    Measure("failed", "asks that failed, of all that were made", "asks", "lower", compared=False),
    Measure("asked", "asks made", "asks", "higher", compared=False),
)
PER_S = 1_000
AWAY_S = 1.0
DEADLINE_S = 120.0


def run(options: Options) -> list[Row]:
    """Rows for Covey and for nats-py with both pauses; quick: with the shorter one alone."""
    raw = [_system("raw nats-py, 50 ms", "benchmarks.reconnect_raw", "measure", "0.05")]
    if not options.quick:
        raw.append(_system("raw nats-py, as it comes", "benchmarks.reconnect_raw", "measure", "2"))
    return compare(_system("covey", "benchmarks.reconnect_covey"), raw, MEASURES, options.pairs)


def _system(name: str, module: str, *arguments: str) -> System:
    def sample() -> Sample:
        what, after = arguments[:1], arguments[1:]
        return run_child(module, *what, str(PER_S), str(AWAY_S), *after, deadline_s=DEADLINE_S)

    return System(name, sample)
