"""Frames, beacons, publications and requests with every field set at will: Hypothesis looks for odd ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import (
    Beacon,
    Envelope,
    Frame,
    Hello,
    Range,
    Registry,
    RegistryRequest,
    Schema,
    Schemas,
)
from tests.fuzz.agents import Count, Tree
from tests.fuzz.samples import FAR, NEAR, NOWHERE, NUMBERS, SOURCES, STRANGERS, TYPES
from tests.fuzz.victim import Victim, victim

EXAMPLES = 250

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300)
addresses = st.one_of(st.sampled_from(NEAR), st.sampled_from(FAR), st.sampled_from(NOWHERE), texts)
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(0, 2**64 - 1), st.integers(0, 20))
small = st.integers(0, 2**32 - 1)
payloads = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda number: codec.encode(Count(number=number))[1], st.integers(-(2**63), 2**63 - 1)),
    st.builds(
        lambda label, data: codec.encode(Tree(label=label, data=data))[1], texts, st.binary(max_size=30)
    ),
)
types = st.one_of(st.sampled_from(["fuzz.Count", "fuzz.Tree"]), st.sampled_from(TYPES), texts)


def built(cls: Any, *always: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A protobuf message with any subset of the fields, and with those named."""
    needed = {name: fields.pop(name) for name in always}
    return st.fixed_dictionaries(needed, optional=fields).map(lambda given: cls(**given))


envelopes = built(
    Envelope,
    "type",
    "target",
    kind=st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 4, 5, -1, 2**31 - 1]),
    message_id=numbers,
    type=types,
    target=addresses,
    sender=addresses,
    reply_to=st.sampled_from(["", "a", "b", *SOURCES]),
    payload=payloads,
    remaining_ms=small,
    chain=st.lists(addresses, max_size=70),
    trace=st.binary(max_size=30),
    attempt=small,
    hops=small,
    bound=st.booleans(),
    more=st.lists(payloads, max_size=5),
)
schemas = built(Schema, type=types, descriptor=st.binary(max_size=40))
frames = built(
    Frame,
    "epoch",
    "sequence",
    epoch=st.one_of(st.integers(1, 2**62), numbers),
    sequence=st.one_of(st.integers(1, 50), numbers),
    envelopes=st.lists(
        st.one_of(envelopes.map(Envelope.SerializeToString), st.binary(max_size=40)), max_size=6
    ),
    schemas=st.lists(schemas, max_size=3),
    credited_bytes=numbers,
    sent_bytes=numbers,
    target_epoch=numbers,
    probe=st.booleans(),
    seen_sequence=numbers,
    lost=st.lists(built(Range, first=numbers, last=numbers), max_size=70),
    sent_messages=numbers,
    paused=st.lists(addresses, max_size=40),
    resumed=st.lists(addresses, max_size=40),
    chunk=st.binary(max_size=50),
    chunk_of=numbers,
    chunk_at=numbers,
    chunk_from=numbers,
    newest_sequence=numbers,
    published_bytes=numbers,
    read_bytes=numbers,
)
names = st.one_of(st.sampled_from(["", "a", "b", *STRANGERS]), texts)
kinds = st.one_of(st.sampled_from(["ghost", "Ghost_1", "", "no kind", "x" * 65]), texts)
beacons = st.one_of(
    built(
        Hello,
        "node",
        "wire_version",
        node=names,
        incarnation=numbers,
        hosts=st.lists(kinds.filter(lambda kind: kind not in ("near", "far")), max_size=5),
        weight=small,
        wire_version=st.one_of(st.just(1), small),
        joining=st.booleans(),
        leaving=st.booleans(),
        agents=small,
        pid=small,
        refused_incarnation=numbers,
        registry_version=numbers,
    ).map(lambda hello: Beacon(hello=hello)),
    built(
        Registry,
        "node",
        node=names,
        incarnation=numbers,
        version=numbers,
        part=small,
        parts=small,
        addresses=st.lists(texts.map(lambda text: f"ghost/{text}"), max_size=5),
    ).map(lambda registry: Beacon(registry=registry)),
    built(RegistryRequest, node=names).map(lambda request: Beacon(registry_request=request)),
    st.lists(schemas, max_size=4).map(lambda several: Beacon(schemas=Schemas(schemas=several))),
    st.just(Beacon()),
)


@pytest.fixture(scope="module")
def it() -> Iterator[Victim]:
    with victim() as it:
        yield it


def looked_for(inputs: int = EXAMPLES) -> Any:
    """The same examples in every run."""
    checks = [HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large]
    return settings(
        max_examples=inputs, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )


@looked_for()
@given(st.lists(st.tuples(st.sampled_from(SOURCES), frames), min_size=1, max_size=5))
def test_whatever_stands_in_a_frame_each_envelope_is_handled_or_a_dead_letter(
    it: Victim, given_frames: list[tuple[str, Frame]]
) -> None:
    it.run([it.frame(source, frame.SerializeToString()) for source, frame in given_frames])
    it.check()
    it.pass_time(0.6)


@looked_for()
@given(st.lists(st.tuples(st.sampled_from(STRANGERS), beacons), min_size=1, max_size=5))
def test_whatever_stands_in_a_beacon_nobody_else_is_lost_by_it(
    it: Victim, given_beacons: list[tuple[str, Beacon]]
) -> None:
    it.run([it.beacon(source, beacon.SerializeToString()) for source, beacon in given_beacons])
    it.check()
    it.pass_time(0.3)
    assert {"a", "b"} <= {node.name for node in it.a.nodes()}


@looked_for()
@given(st.lists(st.tuples(texts, envelopes), min_size=1, max_size=5))
def test_whatever_is_published_is_heard_or_a_dead_letter(
    it: Victim, publications: list[tuple[str, Envelope]]
) -> None:
    it.run([it.publication(f"news.{topic}", wire.SerializeToString()) for topic, wire in publications])
    it.check()


@looked_for()
@given(st.lists(st.tuples(addresses, envelopes, st.booleans()), min_size=1, max_size=5))
def test_whatever_a_client_asks_it_gets_one_answer(
    it: Victim, requests: list[tuple[str, Envelope, bool]]
) -> None:
    it.run(
        [it.request(to, wire.SerializeToString(), None, waits=waits) for to, wire, waits in requests],
    )
    it.check()
    it.pass_time(0.01)


names_of_fields = st.sampled_from(
    ["number", "label", "shade", "ratio", "at", "data", "flag", "numbers", "children", "@type", "x", ""]
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names_of_fields, inner, max_size=4)),
    max_leaves=20,
)


@looked_for()
@given(
    st.lists(
        st.tuples(
            addresses,
            st.sampled_from(
                ["Count", "fuzz.Tree", "google.protobuf.Struct", "google.protobuf.Value", "Nothing"]
            ),
            st.one_of(json_values, st.binary(max_size=50)),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_json_a_client_sends_it_gets_one_answer(
    it: Victim, requests: list[tuple[str, str, object, bool]]
) -> None:
    def body(value: object) -> bytes:
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    it.run([it.request(to, body(value), name, waits=waits) for to, name, value, waits in requests])
    it.check()
