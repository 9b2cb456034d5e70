"""What a server's monitoring endpoint says, judged. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from covey.transports.diagnosis.facts import Monitor
from covey.transports.diagnosis.finding import Finding, Verdict
from covey.transports.diagnosis.sizes import shown_bytes

__all__ = ["monitor_findings"]

LEAST_PENDING_BYTES = 64 << 20
"""NATS's default, which the credits between nodes count on."""
MUCH_PENDING = 0.25
NEARLY_FULL = 0.9


def monitor_findings(monitor: Monitor, server_id: str) -> Iterable[Finding]:
    """The findings of a monitoring endpoint; `server_id` is that of the server that we are connected to."""
    if monitor.trouble:
        fix = "start the server with -m 8222 (http: 8222 in its configuration), or name another --monitor"
        yield Finding("monitor", Verdict.FAILURE, f"{monitor.url} cannot be read: {monitor.trouble}", fix)
        return
    if monitor.server_id != server_id:
        seen = f"{monitor.url} is another server than the one that we are connected to; what follows is of it"
        yield Finding("monitor", Verdict.WARNING, seen, "name the one of this server, or both of its cluster")
    yield from (_slow_consumers(monitor), _pending(monitor), _connections(monitor))


def _slow_consumers(monitor: Monitor) -> Finding:
    slow = monitor.slow_consumers
    if not slow:
        return Finding("slow consumers", Verdict.OK, "none since the server started")
    seen = f"{slow} clients were cut off since the server started, because they did not read what came"
    fix = "nodes are told what they may send each other, so look for other clients in the server's log"
    return Finding("slow consumers", Verdict.WARNING, seen, fix)


def _pending(monitor: Monitor) -> Finding:
    limit, most = monitor.max_pending_bytes, monitor.most_pending_bytes
    seen = f"at most {shown_bytes(limit)} for a client"
    if limit < LEAST_PENDING_BYTES:
        fix = f"leave max_pending at {shown_bytes(LEAST_PENDING_BYTES)}: busy nodes are cut off below"
        return Finding("max_pending", Verdict.WARNING, seen, fix)
    if most > MUCH_PENDING * limit:
        seen += f", and {shown_bytes(most)} wait for {monitor.most_pending_client} now"
        fix = "see what keeps it from reading: load on its machine, the network, a handler that blocks"
        return Finding("max_pending", Verdict.WARNING, seen, fix)
    return Finding("max_pending", Verdict.OK, f"{seen}, {shown_bytes(most)} for the busiest now")


def _connections(monitor: Monitor) -> Finding:
    seen = f"{monitor.connections:,} of {monitor.max_connections:,}; {monitor.subscriptions:,} subscriptions"
    if monitor.connections > NEARLY_FULL * monitor.max_connections:
        fix = "raise max_connections in the server's configuration: further nodes and clients are refused"
        return Finding("connections", Verdict.WARNING, seen, fix)
    return Finding("connections", Verdict.OK, seen)
