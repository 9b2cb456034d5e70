"""What the facts of a server mean for a swarm, check by check. Pure: no clock, no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from covey.transports.diagnosis.facts import Clock, HeardNode, ServerFacts
from covey.transports.diagnosis.finding import Finding, Verdict
from covey.transports.diagnosis.monitor_rules import monitor_findings
from covey.transports.diagnosis.permission_rules import permission_findings
from covey.transports.diagnosis.sizes import shown_bytes, shown_ms
from covey.transports.diagnosis.versions import OLDEST, TESTED, parsed

__all__ = ["findings_of"]

LEAST_PAYLOAD_BYTES = 64 << 10
MOST_P99_MS = 20.0
"""A node for which nobody listens has 150 ms to reconnect: some round trips, and the server's work."""
MOST_SKEW_S = 0.1
CERTIFICATE_SOON_S = 14 * 86_400.0
MOST_NAMES = 8

Rule = Callable[[ServerFacts], Iterable[Finding]]
OK, WARNING, FAILURE, SKIPPED = Verdict


def findings_of(facts: ServerFacts) -> list[Finding]:
    """All findings, in the order in which one repairs."""
    return [finding for rule in _RULES for finding in rule(facts)]


def _server(facts: ServerFacts) -> Iterable[Finding]:
    cluster = f", cluster {facts.cluster}" if facts.cluster else ""
    name = f", {facts.server_name}" if facts.server_name not in ("", facts.server_id) else ""
    seen = f"nats-server {facts.version or 'of an unknown version'}{name}{cluster}"
    version = parsed(facts.version)
    tested = ".".join(map(str, TESTED))
    if version is None:
        yield Finding("server", WARNING, seen, f"use nats-server {tested}, on which Covey is tested")
    elif version < OLDEST:
        seen += ": without a time to live for each message, which later versions of Covey need for leases"
        yield Finding("server", WARNING, seen, f"upgrade to 2.11 or newer, best to {tested}")
    else:
        yield Finding("server", OK, seen + ("" if version == TESTED else f" (Covey is tested with {tested})"))


def _encryption(facts: ServerFacts) -> Iterable[Finding]:
    connection = facts.connection
    if not connection.tls and connection.is_loopback:
        yield Finding("encryption", OK, f"none, and none is needed on loopback ({connection.address})")
    elif not connection.tls:
        seen = f"none: who is on the way to {connection.address} reads and changes everything"
        fix = "give the server a tls section, and log in with --tls-ca CA.pem (docs/security.md)"
        yield Finding("encryption", WARNING, seen, fix)
    else:
        yield _certificate(connection.tls, connection.certificate_left_s)


def _certificate(tls: str, left_s: float | None) -> Finding:
    if left_s is None:
        return Finding("encryption", OK, tls)
    days = int(left_s // 86_400)
    seen = f"{tls}, the server's certificate is valid for {days} {'day' if days == 1 else 'days'} more"
    if left_s < CERTIFICATE_SOON_S:
        fix = "renew it and reload the server: nobody can connect when it is over"
        return Finding("encryption", WARNING, seen, fix)
    return Finding("encryption", OK, seen)


def _login(facts: ServerFacts) -> Iterable[Finding]:
    connection = facts.connection
    if connection.is_login_asked:
        account = f", in the account {connection.account}" if connection.account else ""
        yield Finding("login", OK, f"accepted: {connection.login or 'none was needed'}{account}")
        return
    seen = f"the server asks for none{', and has not looked at ours' if connection.login else ''}"
    if connection.is_loopback:
        yield Finding("login", OK, f"{seen}; none is needed on loopback")
        return
    seen += f": whoever reaches {connection.address} is a member of every swarm there"
    fix = "write keys and permissions with `covey auth init`, and start the server with them"
    yield Finding("login", WARNING, seen, fix)


def _max_payload(facts: ServerFacts) -> Iterable[Finding]:
    limit = facts.max_payload_bytes
    seen = shown_bytes(limit)
    if limit < LEAST_PAYLOAD_BYTES:
        fix = "set max_payload: 1MB on the server, or max_message_bytes= of the nodes, for parts"
        yield Finding("max_payload", WARNING, f"{seen}: nothing larger travels in one piece", fix)
    else:
        yield Finding("max_payload", OK, f"{seen}; what is larger travels in parts with max_message_bytes=")


def _headers(facts: ServerFacts) -> Iterable[Finding]:
    if facts.has_headers:
        yield Finding("headers", OK, "supported")
    else:
        seen = "not supported: nothing says that nobody listens, and no request in JSON is answered"
        fix = "take no_header_support out of the server's configuration; before 2.2 no server has headers"
        yield Finding("headers", FAILURE, seen, fix)


def _no_responders(facts: ServerFacts) -> Iterable[Finding]:
    check = "no responders"
    if facts.tells_no_responders:
        yield Finding(check, OK, "told at once, so a node that is gone is noticed in a moment")
    elif facts.tells_no_responders is None:
        why = "takes headers" if not facts.has_headers else "takes permissions that this user lacks"
        yield Finding(check, SKIPPED, f"not tried: it {why}")
    else:
        seen = "somebody takes even what is for no node, so one that is gone is noticed after 2 s only"
        fix = f"end what listens to everything, such as `nats sub '>'` or a stream on covey.{facts.swarm}.>"
        yield Finding(check, WARNING, seen, fix)


def _latency(facts: ServerFacts) -> Iterable[Finding]:
    trips = facts.round_trips
    what = "requests" if trips.way == "requests" else "pings, which the server answers itself"
    seen = f"p50 {shown_ms(trips.p50_ms)}, p99 {shown_ms(trips.p99_ms)} over {trips.count} {what}"
    if trips.p99_ms > MOST_P99_MS:
        seen += ": a node that reconnects may be taken for gone, for which others wait 150 ms"
        fix = "bring the nodes nearer to the server, and look for load on either machine"
        yield Finding("latency", WARNING, seen, fix)
    else:
        yield Finding("latency", OK, seen)


def _jetstream(facts: ServerFacts) -> Iterable[Finding]:
    found = facts.jetstream
    if found.state == "on":
        kept = f"streams {found.streams}, memory {_share(found.memory_bytes, found.max_memory_bytes)}"
        files = _share(found.storage_bytes, found.max_storage_bytes)
        yield Finding("JetStream", OK, f"on: leases decide who is gone; {kept}, files {files}")
    elif found.state == "off":
        reason = f" ({found.reason})" if found.reason else ""
        seen = f"off{reason}: nodes hold no leases, and nothing is fenced"
        yield Finding("JetStream", WARNING, seen, "on the server: jetstream { store_dir: ... }, or -js")
    else:
        why = "this user may not ask" if found.state == "refused" else "nobody answered"
        yield Finding("JetStream", SKIPPED, f"{why}, and a node need not")


def _clock(facts: ServerFacts) -> Iterable[Finding]:
    clock = facts.clock or (facts.monitor.clock if facts.monitor else None)
    if clock is None:
        seen = "this user may not ask for the server's, and nothing else tells it now"
        fix = (
            "name its monitoring with --monitor http://host:8222, or let the user publish $SYS.REQ.USER.INFO"
        )
        yield Finding("clock", SKIPPED, seen, fix)
    elif abs(clock.ahead_s) - clock.within_s > MOST_SKEW_S:
        seen = f"{_skew(clock)}: asks do not mind, but spans of traces, certificates and JWTs do"
        yield Finding("clock", WARNING, seen, "let NTP (chrony, systemd-timesyncd) set both clocks")
    else:
        yield Finding("clock", OK, _skew(clock))


def _skew(clock: Clock) -> str:
    within = f"within {shown_ms(max(clock.within_s * 1e3, 0.01))}"
    if abs(clock.ahead_s) <= clock.within_s:
        return f"the server's agrees with ours, {within}"
    ahead = f"{shown_ms(abs(clock.ahead_s) * 1e3)} {'ahead of' if clock.ahead_s > 0 else 'behind'} ours"
    return f"the server's is {ahead}, {within}"


def _nodes(facts: ServerFacts) -> Iterable[Finding]:
    if facts.nodes is None:
        yield Finding("nodes", SKIPPED, f"this user may not hear the beacons of swarm {facts.swarm}")
        return
    doubles = [node for node in facts.nodes if len(node.pids) > 1]
    for node in doubles:
        seen = f"{len(node.pids)} processes (pids {', '.join(map(str, node.pids))}) are node {node.name}"
        fix = "stop all but one, or give each a --name of its own: they get each other's messages"
        yield Finding("nodes", FAILURE, seen, fix)
    if not facts.nodes:
        others = f"; heard are the swarms {_listed(facts.swarms)}" if facts.swarms else ""
        fix = f"start one: covey node MODULE --swarm {facts.swarm}"
        yield Finding("nodes", OK, f"none in swarm {facts.swarm}{others}", fix)
    elif not doubles:
        yield Finding("nodes", OK, _heard(facts.nodes, facts.name))


def _heard(nodes: tuple[HeardNode, ...], own_name: str) -> str:
    agents = sum(node.agents for node in nodes)
    seen = f"{_listed([node.name for node in nodes])} with {agents} {'agent' if agents == 1 else 'agents'}"
    if any(node.name == own_name for node in nodes):
        seen += f"; {own_name} is there, so another of that name would be refused"
    return seen


def _monitor(facts: ServerFacts) -> Iterable[Finding]:
    return monitor_findings(facts.monitor, facts.server_id) if facts.monitor else ()


def _permissions(facts: ServerFacts) -> Iterable[Finding]:
    return permission_findings(facts)


def _share(used: int, limit: int | None) -> str:
    return shown_bytes(used) if limit is None else f"{shown_bytes(used)} of {shown_bytes(limit)}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


_RULES: tuple[Rule, ...] = (
    _server,
    _encryption,
    _login,
    _max_payload,
    _headers,
    _no_responders,
    _latency,
    _permissions,
    _jetstream,
    _clock,
    _nodes,
    _monitor,
)
