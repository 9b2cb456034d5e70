"""Whatever bytes come in from outside: nothing raises, hangs or grows, and each input is accounted for.

`COVEY_FUZZ_INPUTS` makes it longer, `COVEY_FUZZ_SEED` another one; a failure names the batch, and the same
seed shows it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from random import Random

import pytest

from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope
from tests.fuzz.agents import Tree
from tests.fuzz.mutation import mutated
from tests.fuzz.samples import SOURCES, STRANGERS, Samples
from tests.fuzz.tables import caches, grown
from tests.fuzz.victim import Input, Victim, victim
from tests.soak.census import take_census

INPUTS = int(os.environ.get("COVEY_FUZZ_INPUTS", "200000"))
SEED = int(os.environ.get("COVEY_FUZZ_SEED", "5"))
BATCH = 500
WARM_UP = 20_000
"""Inputs after which every path was taken that makes something once, such as a codec."""
MIB = 1 << 20


@pytest.mark.timeout(120 + INPUTS // 1000)
def test_hostile_bytes_are_each_accounted_for_and_leave_the_node_as_it_was() -> None:
    with victim() as it:
        samples = Samples(Random(SEED), it.epoch_of)
        fuzz(it, samples, Random(SEED), WARM_UP)
        before = take_census(0.0, 0, 0)
        with it.nothing_is_touched():
            fuzz(it, samples, Random(SEED + 1), max(INPUTS, 2 * WARM_UP))
        after = take_census(0.0, 0, 0)

        assert it.inputs >= INPUTS
        assert it.slowest_s < 5.0
        # Of what is sent to strangers, who confirm nothing, some is kept: 4,096 frames for each of them.
        assert after.rss_bytes - before.rss_bytes < 64 * MIB
        assert after.blocks - before.blocks < 400_000
        assert after.threads <= before.threads
        assert not grown(it.node), "tables that grow with what strangers send"
        assert all(cache.cache_info().maxsize for cache in caches())
        assert it.log.counts.total() < it.inputs / 20, it.log.counts.most_common(5)
        it.pass_time(30.0)
        it.still_serves()
        it.check()
        assert [node.name for node in it.a.nodes()] == ["a", "b"]


def fuzz(it: Victim, samples: Samples, random: Random, until: int) -> None:
    """Inputs in batches, until there were so many; after each batch everything is looked at."""
    number = 0
    while it.inputs < until:
        number += 1
        if number % 150 == 1:
            batch = list(large_inputs(it, samples, random))
        elif number % 10 == 1:
            batch = list(cut_inputs(it, samples, random))
        else:
            batch = list(spoilt_inputs(it, samples, random))
        it.run(batch)
        try:
            it.check()
        except AssertionError as error:
            error.add_note(f"batch {number} of seed {SEED}, after {it.inputs} inputs")
            raise
        it.pass_time(0.6)


def spoilt_inputs(it: Victim, samples: Samples, random: Random) -> Iterator[Input]:
    """Of every sort: as they are made, mutated as a whole, or in one of their parts."""
    envelopes = [samples.envelope() for _ in range(20)]
    beacons = [samples.beacon(random.choice(STRANGERS)) for _ in range(10)]
    publications = [samples.publication() for _ in range(10)]
    bodies = [samples.json() for _ in range(10)]
    frames = [samples.frame(random.choice(SOURCES)) for _ in range(5)]
    everything = [*envelopes, *beacons, *publications, *frames, *(body for _name, body in bodies)]

    def spoilt(data: bytes, odds: float = 1.0) -> bytes:
        return mutated(random, data, everything) if random.random() < odds else data

    for _ in range(BATCH):
        pick = random.random()
        source, stranger = random.choice(SOURCES), random.choice(STRANGERS)
        waits = random.random() < 0.8
        if pick < 0.10:
            yield it.frame(source, samples.frame(source))
        elif pick < 0.35:
            yield it.frame(source, samples.frame(source, [spoilt(random.choice(envelopes))]))
        elif pick < 0.50:
            yield it.frame(source, spoilt(samples.frame(source)))
        elif pick < 0.54:
            yield it.frame(source, random.randbytes(random.randint(0, 200)))
        elif pick < 0.55:
            for chunk in samples.chunks(source, random.choice(envelopes)):
                if random.random() < 0.9:
                    yield it.frame(source, spoilt(chunk, 0.1))
        elif pick < 0.70:
            yield it.beacon(stranger, spoilt(random.choice(beacons), 0.7))
        elif pick < 0.80:
            yield it.publication(random.choice(TOPICS), spoilt(random.choice(publications), 0.7))
        elif pick < 0.88:
            yield it.request(samples.address(), spoilt(random.choice(envelopes), 0.7), None, waits=waits)
        elif pick < 0.97:
            name, body = random.choice(bodies)
            yield it.request(samples.address(), spoilt(body, 0.7), name, waits=waits)
        elif pick < 0.98:
            yield it.replay(spoilt_end(random, random.choice(it.frames_of_b)))
        else:
            # Not of a frame that was sent: that would be the server's word.
            yield it.undelivered(random.choice((*SOURCES, "", "x" * 300)), 1 << random.randint(40, 99))


TOPICS = ("news.x", "news.*", "news.>", "news." + "ü" * 120, "news.\x00", "news. ")


def spoilt_end(random: Random, data: bytes) -> bytes:
    return data if random.random() < 0.5 else data[: random.randrange(len(data))]


def cut_inputs(it: Victim, samples: Samples, random: Random) -> Iterator[Input]:
    """Valid ones, cut at every length."""
    source, stranger = random.choice(SOURCES), random.choice(STRANGERS)
    frame, beacon = samples.frame(source), samples.beacon(stranger)
    envelope, (name, body) = samples.envelope(), samples.json()
    for end in range(len(frame)):
        yield it.frame(source, frame[:end])
    for end in range(len(beacon)):
        yield it.beacon(stranger, beacon[:end])
    for end in range(len(envelope)):
        yield it.publication("news.x", envelope[:end])
        yield it.request("near/0", envelope[:end], None, waits=True)
    for end in range(min(len(body), 300)):
        yield it.request("near/0", body[:end], name, waits=True)


def large_inputs(it: Victim, samples: Samples, random: Random) -> Iterator[Input]:
    """Of 8 MiB, and nested without end."""
    source, stranger = random.choice(SOURCES), random.choice(STRANGERS)
    name, payload = codec.encode(Tree(label="", data=bytes(8 * MIB)))
    large = Envelope(type=name, target="near/0", payload=payload).SerializeToString()
    deep = nested(5_000)
    sunk = Envelope(type=name, target="near/0", payload=deep).SerializeToString()
    garbage = random.randbytes(8 * MIB)
    for data in (garbage, bytes(8 * MIB), samples.frame(source, [large]), samples.frame(source, [sunk])):
        yield it.frame(source, data)
    for data in (garbage, large, sunk):
        yield it.beacon(stranger, data)
        yield it.publication("news.x", data)
        yield it.request("near/0", data, None, waits=True)
    wide = json.dumps({"label": "x" * (8 * MIB)}).encode()
    many = json.dumps({"numbers": ["1"] * 200_000}).encode()
    for body in (*DEEP_JSON, wide, many, garbage[:MIB]):
        for kind in ("Tree", "google.protobuf.Struct", "google.protobuf.Value"):
            yield it.request("near/0", body, kind, waits=True)


DEEP_JSON = (
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"children":[' * 100_000 + b"]}" * 100_000,
    b'{"children":[' * 60 + b"{}" + b"]}" * 60,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
)


def nested(depth: int) -> bytes:
    """A tree with one child that has one child."""
    payload = b""
    for _ in range(depth):
        size, length = len(payload), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        length.append(size)
        payload = b"\x42" + bytes(length) + payload
    return payload
