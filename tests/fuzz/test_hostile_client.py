"""A client that may publish everything, on a real server: two nodes go on asking each other all the while.

What it publishes in the name of a node that is in the swarm cannot be read: that a client cannot speak for a
node is a matter of the server's permissions (decision 17).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import nats
import pytest

from covey import NoHostError, Swarm
from covey.framework.events import NodeLeft
from covey.framework.proto.envelope_pb2 import Frame
from covey.transports import EmbeddedServer
from tests.framework.waiting import eventually
from tests.fuzz.agents import Count, Far, Listener, Near
from tests.fuzz.mutation import mutated
from tests.fuzz.samples import SOURCES, STRANGERS, Samples
from tests.fuzz.victim import Log, logged

MESSAGES = 15_000
LARGE_BYTES = 1_000_000
ASKED_AT_LEAST = 50


class Message(NamedTuple):
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None


def messages(random: Random, inboxes: list[str]) -> Iterator[Message]:
    samples = Samples(random, lambda _source: random.getrandbits(64))
    seeds = [samples.envelope() for _ in range(30)]
    while True:
        seeds[random.randrange(len(seeds))] = samples.envelope()
        node, source, stranger = random.choice("ab"), random.choice(SOURCES), random.choice(STRANGERS)
        spoilt = mutated(random, random.choice(seeds), seeds)
        reply = random.choice(
            ("", "_INBOX_x.1", "_INBOX_x.*", "covey.fuzz.node.a.b", "$SYS.REQ.x", "_INBOX_a.u.1")
        )
        headers = random.choice(
            (None, {"Covey-Remaining-Ms": "1"}, {"Covey-Remaining-Ms": "x" * 500}, {"a": "b"})
        )
        yield Message(f"covey.fuzz.node.{node}.{source}", samples.frame(source, [spoilt]), reply)
        yield Message(f"covey.fuzz.node.{node}.{source}", mutated(random, samples.frame(source), seeds))
        yield Message(f"covey.fuzz.node.{node}.{'ba'[node == 'b']}", unreadable(random), reply, headers)
        yield Message(f"covey.fuzz.beacon.{stranger}", mutated(random, samples.beacon(stranger), seeds))
        beacon = samples.beacon(stranger)
        if f"\x0a\x01{node}".encode() not in beacon:  # where its name would stand
            yield Message(f"covey.fuzz.beacon.{node}", beacon)
        yield Message(f"covey.fuzz.agent.near.{random.randrange(8)}", spoilt, reply, headers)
        yield Message(f"covey.fuzz.agent.far.{random.randrange(4)}", spoilt, reply, headers)
        name, body = samples.json()
        yield Message(f"covey.fuzz.json.near.0.{name.replace('..', '.')}", body, reply, headers)
        yield Message("covey.fuzz.topic.news.x", spoilt, reply)
        yield Message(f"{random.choice(inboxes)}.b.{random.randrange(100)}", b"503", reply, headers)
        odd = random.choice(("%zz", "%c3%bc", "*", ">", "%00", "ü", "k" * 300))
        subject = random.choice(("agent.near.{}", "agent.{}.0", "json.{}.0.Count", "node.a.{}", "beacon.{}"))
        yield Message(f"covey.fuzz.{subject.format(odd)}", spoilt, reply)
        if random.random() < 0.01:
            yield Message(f"covey.fuzz.agent.near.{random.randrange(8)}", bytes(LARGE_BYTES), reply)
            yield Message(f"covey.fuzz.node.{node}.{source}", random.randbytes(LARGE_BYTES))


def unreadable(random: Random) -> bytes:
    """No frame that could be of the node in whose name it is published."""
    data = random.randbytes(random.randint(0, 200))
    try:
        frame = Frame.FromString(data)
    except Exception:
        return data
    return b"" if frame.epoch and frame.sequence else data


async def publish(url: str, given: Iterator[Message]) -> int:
    client = await nats.connect(url, allow_reconnect=False)
    sent = 0
    for message in given:
        if sent >= MESSAGES:
            break
        try:
            await client.publish(message.subject, message.data, message.reply, headers=message.headers)
        except nats.errors.Error:
            continue  # nats-py itself refuses the subject
        sent += 1
        if sent % 50 == 0:
            await client.flush(10)
    await client.close()
    return sent


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def test_nodes_go_on_asking_each_other_while_a_client_publishes_garbage_everywhere(log: Log) -> None:
    options = {"trace_ratio": 0.0}
    with (
        EmbeddedServer() as server,
        Swarm.connect(server.url, name="fuzz", node="a", hosts=[Near], **options) as a,
        Swarm.connect(server.url, name="fuzz", node="b", hosts=[Far], **options) as b,
        Swarm.connect(server.url, name="other", node="a", hosts=[Near], **options) as other,
    ):
        a.wait_for_nodes(2, 10.0)
        b.wait_for_nodes(2, 10.0)
        b.spawn(Listener, "0")
        inboxes = [swarm._running.transport._arrivals._inbox for swarm in (a, b)]  # type: ignore[union-attr]
        left: list[NodeLeft] = []
        for swarm in (a, b):
            swarm._running.on_event(left.append, NodeLeft)
        is_over = threading.Event()
        asked = {"a": 0, "b": 0}
        failures: list[BaseException] = []

        def go_on_asking(swarm: Swarm, kind: str) -> None:
            while not is_over.is_set() or asked[swarm.node_name] < ASKED_AT_LEAST:
                asked[swarm.node_name] += 1
                number = asked[swarm.node_name]
                try:
                    answer = swarm.agent(kind, "asked").ask(Count(number=number), timeout=20).get()
                except BaseException as error:
                    failures.append(error)
                    return
                if answer != Count(number=number):
                    failures.append(AssertionError(f"{answer} for {number}"))

        askers = [threading.Thread(target=go_on_asking, args=to) for to in ((a, "far"), (b, "near"))]
        for asker in askers:
            asker.start()
        try:
            sent = asyncio.run(asyncio.wait_for(publish(server.url, messages(Random(5), inboxes)), 60.0))
        finally:
            is_over.set()
            for asker in askers:
                asker.join(60.0)
        assert not failures, failures[0]
        assert min(asked.values()) >= ASKED_AT_LEAST
        assert sent == MESSAGES
        eventually(
            lambda: a._running.open_wire.open_requests == b._running.open_wire.open_requests == 0, 20.0
        )
        assert not [event for event in left if event.node in ("a", "b")]
        assert {"a", "b"} <= {node.name for node in a.nodes()} & {node.name for node in b.nodes()}
        assert len(a.dead_letters()) + len(b.dead_letters()) > MESSAGES / 4
        assert not log.errors, log.errors[0]
        assert not [text for text in log.counts if "slow consumer" in text.lower()]
        assert not log.counts[f"WARNING {LINK}"], "the server has cut a node off"

        assert [node.name for node in other.nodes()] == ["a"]
        assert len(other.dead_letters()) == 0
        assert other.agent("near", "asked").ask(Count(number=1), timeout=10).get() == Count(number=1)
        with pytest.raises(NoHostError):
            other.agent("far", "asked").ask(Count(number=1), timeout=10).get()


LINK = "node %s: link %s: %s"
