"""A node dies under load without warning: how long until each of its agents answers from another node.

Three nodes host 1,000 placed agents, a fourth asks all of them 1,000 times a second; then one of them gets
SIGKILL, or SIGSTOP, which leaves its connection open. "beacons alone" is Covey on a server without JetStream,
where no lease decides and nothing is fenced.
"""

from __future__ import annotations

from benchmarks.child import run_child, serving
from benchmarks.harness import Measure, Options, Row, Sample, System, compare

SUMMARY = "a node is killed, or stopped, under load: until its agents answer elsewhere"

PER_S = 1_000
DEADLINE_S = 90.0


def run(options: Options) -> list[Row]:
    """Rows for both signals."""
    agents = 200 if options.quick else 1_000
    rows: list[Row] = []
    for how, name in (("kill", "SIGKILL"), ("stop", "SIGSTOP")):
        if options.quick and how == "stop":
            continue
        subject = _system("covey", how, agents)
        rows += compare(
            subject, [_system("beacons alone", how, agents, "plain")], _measures(name), options.pairs
        )
    return rows


def _measures(name: str) -> tuple[Measure, ...]:
    return (
        Measure("noticed_ms", f"{name} to the node being taken for gone", "ms", "lower"),
        Measure("first_ms", f"{name} to the first of its agents answering elsewhere", "ms", "lower"),
        Measure("all_ms", f"{name} to all of its agents having answered elsewhere", "ms", "lower"),
        Measure("lost", f"agents on the node that got {name}", "agents", "higher", compared=False),
        Measure("failed", f"asks that failed around {name}", "asks", "lower", compared=False),
        Measure("asked", f"asks made around {name}", "asks", "higher", compared=False),
    )


def _system(name: str, how: str, agents: int, *server: str) -> System:
    def sample() -> Sample:
        with serving("benchmarks.nats_server", *server) as url:
            return run_child(
                "benchmarks.failover_covey", url, how, str(agents), str(PER_S), deadline_s=DEADLINE_S
            )

    return System(name, sample)
