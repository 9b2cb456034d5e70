"""Agents in one process: messages, blocking asks, memory and start, against the peers and a bare loop.

- tell: one message object sent n times from another thread, until the last one was handled. Covey's mailbox
  is bounded (the default, with backpressure), Pykka's queue is not.
- hops: two agents, or a ring of 1,000, tell each other a new message with the hops that are left; one message
  is on its way between the two, 100 in the ring.
- ask: blocking round trips from that thread, one after the other.
- actors: that many idle actors with one attribute, started one by one, none of their refs held; the growth of
  resident memory, divided.

Covey's figures have traces configured and none sampled; "no tracing" is the same without. What observability
costs on a message that it does not record is measured in one process, in which both take turns.
"""

from __future__ import annotations

from benchmarks.child import run_child
from benchmarks.harness import Measure, Options, Row, System, compare
from benchmarks.local_swarm import TRACED, UNTRACED
from benchmarks.peer import Peer, peer_systems

SUMMARY = "tell, hops, blocking ask, memory and start of local agents, against Pykka and others"

MESSAGING = (
    Measure("tells_per_s", "tell from another thread", "messages/s", "higher"),
    Measure("hops_per_s", "hops between two agents", "messages/s", "higher"),
    Measure("ring_hops_per_s", "hops in a ring of 1,000 agents", "messages/s", "higher"),
    Measure("ask_us", "blocking ask, mean", "us", "lower"),
    Measure("ask_p50_us", "blocking ask, median", "us", "lower"),
)
ACTORS = (
    Measure("kib_per_actor", "memory per idle actor", "KiB", "lower"),
    Measure("starts_per_s", "starting actors", "actors/s", "higher"),
)
TRACING = (
    Measure("tell_added_us", "tracing's cost per unsampled tell", "us", "lower", compared=False),
    Measure("hop_added_us", "tracing's cost per unsampled hop", "us", "lower", compared=False),
    Measure("ask_added_us", "tracing's cost per unsampled awaited ask", "us", "lower", compared=False),
)
DEADLINE_S = 120.0

TELLS_AND_HOPS = frozenset({"tells_per_s", "hops_per_s"})
ALL_BUT_RING = TELLS_AND_HOPS | {"ask_us", "ask_p50_us"}
ACTOR_KEYS = frozenset(measure.key for measure in ACTORS)


def run(options: Options) -> list[Row]:
    """Rows of messages, asks, memory and start, for all systems and as ratios."""
    counts = ("20000", "20000", "1000") if options.quick else ("300000", "300000", "5000")
    few = ("500", "200", "200") if options.quick else ("5000", "2000", "1000")
    covey = _system("covey", "benchmarks.local_covey", "messaging", TRACED, *counts)
    untraced = _system("covey, no tracing", "benchmarks.local_covey", "messaging", UNTRACED, *counts)
    pykka = _system("pykka", "benchmarks.local_pykka", "messaging", *counts, gives=ALL_BUT_RING)
    others = [*_floors(counts), *peer_systems(_messaging_peers(few), options)]
    rows = compare(covey, [untraced, pykka, *others], MESSAGING, options.pairs)
    short = ("2000", "2000", "200") if options.quick else ("30000", "30000", "3000")
    rows += compare(_system("covey", "benchmarks.local_tracing", *short), [], TRACING, options.pairs)
    return rows + _actors(options)


def _actors(options: Options) -> list[Row]:
    many, some, few = ("2000", "500", "5") if options.quick else ("20000", "2000", "10")
    light = many if options.quick else "10000"
    covey = _system("covey", "benchmarks.local_covey", "actors", TRACED, many)
    pykka = _system("pykka", "benchmarks.local_pykka", "actors", some)
    peers = peer_systems(_actor_peers(light, few), options)
    return compare(covey, [pykka, *peers], ACTORS, options.pairs)


def _floors(counts: tuple[str, str, str]) -> list[System]:
    ring = TELLS_AND_HOPS | {"ring_hops_per_s"}
    return [
        System(
            "floor: deque loop",
            lambda: run_child("benchmarks.local_floor", "deque", *counts, deadline_s=DEADLINE_S),
            gives=ring,
            note="append, popleft and call in one thread, nothing else",
        ),
        System(
            "floor: protobuf decode",
            lambda: run_child("benchmarks.local_floor", "decode", *counts, deadline_s=DEADLINE_S),
            gives=frozenset({"tells_per_s"}),
            note="an envelope with a payload of 128 bytes and the payload, decoded in a loop",
        ),
        System(
            "floor: two threads",
            lambda: run_child("benchmarks.local_floor", "threads", *counts, deadline_s=DEADLINE_S),
            gives=frozenset({"ask_us", "ask_p50_us"}),
            note="two threads that hand an object over and back by queue.SimpleQueue",
        ),
    ]


def _messaging_peers(counts: tuple[str, str, str]) -> list[Peer]:
    return [
        Peer(
            "autogen",
            "",
            TELLS_AND_HOPS,
            "publish_message on the runtime's own loop: it has no tell from another thread",
            ("messaging", *counts),
        ),
        Peer(
            "xoscar",
            "",
            TELLS_AND_HOPS,
            "ref.method.tell inside the pool's process, on its own loop: it has no tell from another thread",
            ("messaging", *counts),
        ),
        Peer(
            "thespian",
            "simpleSystemBase",
            frozenset({"tells_per_s", "ask_us", "ask_p50_us"}),
            "in the caller's process and thread",
            ("messaging", "simpleSystemBase", *counts),
        ),
        Peer(
            "thespian",
            "multiprocTCPBase",
            ALL_BUT_RING,
            "a process for each actor, messages over TCP",
            ("messaging", "multiprocTCPBase", *counts),
        ),
        Peer("ray", "", ALL_BUT_RING, "a process for each actor", ("messaging", *counts)),
    ]


def _actor_peers(light: str, few: str) -> list[Peer]:
    return [
        Peer("autogen", "", ACTOR_KEYS, "started by the first message to each", ("actors", light)),
        Peer("xoscar", "", ACTOR_KEYS, "", ("actors", light)),
        Peer("thespian", "simpleSystemBase", ACTOR_KEYS, "", ("actors", "simpleSystemBase", light)),
        Peer(
            "thespian",
            "multiprocTCPBase",
            ACTOR_KEYS,
            "a process for each actor: the memory that no other process shares",
            ("actors", "multiprocTCPBase", few),
        ),
        Peer(
            "ray",
            "",
            ACTOR_KEYS,
            "a process for each actor: the memory that no other process shares",
            ("actors", few),
        ),
    ]


def _system(name: str, module: str, *arguments: str, gives: frozenset[str] | None = None) -> System:
    return System(name, lambda: run_child(module, *arguments, deadline_s=DEADLINE_S), gives)
