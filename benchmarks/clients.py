"""One node asked by 2,000 plain NATS clients at once, each with a connection of its own.

The clients know nothing of Covey: they speak NATS and protobuf, as clients in any language do. They live in
one process, which shares the machine's cores with the server and the node; so does the raw side, a nats-py
client that answers from a callback. Latency is measured twice: with each client asking again as soon as it
has its answer, when most of it is waiting in line behind the others; and with one ask a second of each
client, counted from the time at which it was due.

What the node costs the server is the number of its subscriptions, which the server counts. It must not grow
with the number of agents. What a client costs it is memory, as the server itself says.
"""

from __future__ import annotations

import json
from urllib.request import urlopen

from benchmarks.child import run_child, serving
from benchmarks.harness import BenchmarkError, Measure, Options, Row, Sample, System, compare
from benchmarks.node_covey import SWARM

SUMMARY = "2,000 plain NATS clients ask one node, and what its agents cost the server"

ANSWERS = (
    Measure("clients", "clients connected at once", "clients", "higher", compared=False),
    Measure("requests_per_s", "requests, all clients at once", "requests/s", "higher"),
    Measure("busy_p50_ms", "latency at that rate, median", "ms", "lower"),
    Measure("busy_p99_ms", "latency at that rate, 99th percentile", "ms", "lower"),
    Measure("calm_p50_ms", "latency at one a second of each client, median", "ms", "lower"),
    Measure("calm_p99_ms", "latency at one a second of each client, 99th percentile", "ms", "lower"),
)
SERVER = Measure("server_kib", "memory of the server for each client", "KiB", "lower")
CLIENTS = "benchmarks.plain_clients"
RAW_PREFIX = "raw.benchmarks.agent.desk"
DEADLINE_S = 120.0
READY_WITHIN_S = 60.0


def run(options: Options) -> list[Row]:
    """Rows of rate and latency for Covey and nats-py, and of Covey's subscriptions."""
    clients, each, seconds, agents = (200, 10, 1, 5_000) if options.quick else (2_000, 20, 5, 100_000)
    asked = (str(each), str(seconds))
    measures = (
        *ANSWERS,
        _subscriptions("few", clients),
        _subscriptions("many", agents),
    )
    with serving("benchmarks.nats_server", "monitored") as urls:
        url, monitor = urls.split()

        def covey() -> Sample:
            with serving("benchmarks.clients_covey", url, str(clients)) as node:
                answered = _answers(
                    url, clients, f"covey.{SWARM}.agent.desk", "benchmarks.sink.Reading", *asked
                )
                few = _subscriptions_of(node, monitor)
            with serving("benchmarks.clients_covey", url, str(agents), ready_within_s=READY_WITHIN_S) as node:
                return {**answered, "few": few, "many": _subscriptions_of(node, monitor)}

        def raw() -> Sample:
            with serving("benchmarks.node_raw", "receive", url, f"{RAW_PREFIX}.*"):
                return _answers(url, clients, RAW_PREFIX, "covey.benchmarks.raw.Reading", *asked)

        given = frozenset(measure.key for measure in ANSWERS)
        rows = compare(
            System("covey", covey), [System("raw nats-py", raw, gives=given)], measures, options.pairs
        )
    return rows + compare(_server(clients), [], (SERVER,), options.pairs)


def _subscriptions(key: str, agents: int) -> Measure:
    name = f"subscriptions of a node with {agents:,} agents, as the server counts them"
    return Measure(key, name, "subscriptions", "lower", compared=False)


def _answers(url: str, clients: int, *arguments: str) -> dict[str, float]:
    return run_child(CLIENTS, "ask", url, str(clients), *arguments, deadline_s=DEADLINE_S)


def _server(clients: int) -> System:
    """The server alone, with so many clients that do nothing."""

    def sample() -> Sample:
        with serving("benchmarks.nats_server", "monitored") as urls:
            url, monitor = urls.split()
            return run_child(CLIENTS, "idle", url, str(clients), monitor, deadline_s=DEADLINE_S)

    return System("nats-server", sample)


def _subscriptions_of(node: str, monitor: str) -> float:
    """How many the server keeps for the connections of that name."""
    with urlopen(f"{monitor}/connz?limit=100000", timeout=10) as answer:
        connections = json.load(answer)["connections"]
    counts = [connection["subscriptions"] for connection in connections if connection.get("name") == node]
    if not counts:
        raise BenchmarkError(f"the server knows no connection of node {node}")
    return float(sum(counts))
