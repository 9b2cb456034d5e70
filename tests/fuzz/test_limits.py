"""One kind of hostile input after the other, so many of it that what is unbounded would show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from covey import Swarm
from covey.framework.cluster import parking
from covey.framework.cluster.membership import MAX_NODES
from covey.framework.cluster.outbound import STOP_TYPE
from covey.framework.linking import LinkRequest
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Beacon, Envelope, Frame, Hello, Schema
from covey.framework.supervision import survey
from covey.framework.transport import OutsideRequest
from covey.transports import MemoryHub, MemoryTransport
from tests.framework.waiting import eventually
from tests.fuzz.agents import HANDLED, Count, Near
from tests.fuzz.samples import SOURCES
from tests.fuzz.tables import grown
from tests.fuzz.victim import Victim, logged, victim

MIB = 1 << 20
COUNT, ONE = codec.encode(Count(number=1))


@pytest.fixture(name="it")
def fresh_victim() -> Iterator[Victim]:
    with victim() as it:
        yield it


class Ends:
    """Frames of a few sources, numbered."""

    def __init__(self) -> None:
        self._random = Random(1)
        self._at: dict[str, tuple[int, int]] = {}

    def frame(self, source: str, *envelopes: Envelope | bytes, **fields: Any) -> bytes:
        epoch, sequence = self._at.get(source, (self._random.getrandbits(62) | 1, 0))
        self._at[source] = epoch, sequence + 1
        parts = [each if isinstance(each, bytes) else each.SerializeToString() for each in envelopes]
        numbered = {"epoch": epoch, "sequence": sequence + 1, "envelopes": parts}
        return Frame(**{**numbered, **fields}).SerializeToString()


def letters(it: Victim, reason: str) -> int:
    return sum(swarm.dead_letters().counts.get(reason, 0) for swarm in (it.a, it.b))


def ask(
    target: str, type_name: str = COUNT, payload: bytes = ONE, number: int = 1, **fields: Any
) -> Envelope:
    return Envelope(
        kind=Envelope.ASK, message_id=number, target=target, type=type_name, payload=payload, **fields
    )


# -- frames --------------------------------------------------------------------------------------------------


def test_totals_that_no_node_has_reached_are_refused_and_the_node_goes_on_answering(it: Victim) -> None:
    ends, source = Ends(), SOURCES[0]
    it.run([it.frame(source, ends.frame(source, ask("near/0"), sent_bytes=2**64 - 1))])
    it.run([it.frame(source, ends.frame(source, ask("near/0", number=number))) for number in range(50)])
    it.check()
    assert letters(it, "undecodable") == 1
    assert it.strangers[source].answers == 50


def test_a_frame_of_more_envelopes_than_a_node_sends_is_one_dead_letter(it: Victim) -> None:
    ends = Ends()
    it.run([it.frame("s0", ends.frame("s0", *[b""] * 200_000))])
    it.check()
    assert letters(it, "undecodable") == 1
    assert it.slowest_s < 1.0


def test_a_frame_of_many_lost_ranges_or_pauses_or_types_is_one_dead_letter(it: Victim) -> None:
    ends, named = Ends(), ["near/0"] * 50_000
    ranges = b"\x5a\x04\x08\x01\x10\x64" * 150_000  # field 11: first = 1, last = 100
    it.run([it.frame("s0", ends.frame("s0") + ranges)])
    it.run([it.frame("s0", ends.frame("s0", paused=named)), it.frame("s0", ends.frame("s0", resumed=named))])
    schemas = [Schema(type=COUNT, descriptor=b"")] * 50_000
    it.run([it.frame("s0", ends.frame("s0", schemas=schemas))])
    it.check()
    assert letters(it, "undecodable") == 4
    assert it.slowest_s < 1.0


def test_the_largest_run_of_messages_that_cannot_be_read_is_counted_one_by_one(it: Victim) -> None:
    run = Envelope(type=COUNT, target="near/0", payload=b"\xff", more=[b"\xff"] * 20_000)
    it.run([it.frame("s0", Ends().frame("s0", run))])
    it.check()
    assert letters(it, "undecodable") == 20_001
    assert it.slowest_s < 5.0


def test_who_is_to_be_answered_has_a_name_that_a_node_can_have(it: Victim) -> None:
    ends = Ends()
    asks = [ask("near/0", number=number, reply_to=f"{number}" * 2_000) for number in range(1, 300)]
    it.run([it.frame("s0", ends.frame("s0", each)) for each in asks])
    assert it.strangers["s0"].answers == 299
    assert max(len(peer.name) for peer in it.node.outbound.peers) <= 256


def test_word_of_frames_to_nodes_that_never_were_makes_no_peers(it: Victim) -> None:
    before = len(it.node.outbound.peers)
    it.run([it.undelivered(f"nobody {number}", number) for number in range(2_000)])
    it.check()
    assert len(it.node.outbound.peers) == before


def test_how_a_node_describes_a_type_is_not_kept_word_by_word(it: Victim) -> None:
    field = FieldDescriptorProto(
        name="n" * MIB,
        number=1,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    described = DescriptorProto(name="Count", field=[field]).SerializeToString()
    tell = Envelope(type=COUNT, target="near/0", payload=ONE)
    schema = Schema(type=COUNT, descriptor=described)
    it.run([it.frame("s0", Ends().frame("s0", tell, schemas=[schema]))])
    it.check()
    assert letters(it, "schema changed") == 1
    assert len(str(it.node.outbound.peer("s0").foreign[COUNT])) < 1_000


def test_dead_letters_keep_a_little_of_what_came(it: Victim) -> None:
    large = "x" * MIB
    wires = [Envelope(type=large, target="near/0"), Envelope(type=COUNT, target=f"near/{large}")]
    wires += [
        Envelope(type=COUNT, target=large),
        Envelope(type=COUNT, target="near/0", sender=large, trace=b"1"),
    ]
    ends = Ends()
    it.run([it.frame("s0", ends.frame("s0", wire)) for wire in wires])
    it.run([it.publication("news." + "y" * MIB, wire.SerializeToString()) for wire in wires[:1]])
    it.run([it.request("near/0", wire.SerializeToString(), None, waits=True) for wire in wires[:1]])
    it.run([it.request(f"near/{large}", b"{}", "Count", waits=True)])
    it.check()
    kept = [len(repr(letter)) for letter in it.a.dead_letters()]
    assert len(kept) == 7
    assert max(kept) < 6_000


def test_a_node_that_sends_on_to_a_full_mailbox_fills_no_memory(
    it: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    most_bytes = 100_000
    monkeypatch.setattr(parking, "MOST_PARKED_BYTES", most_bytes)
    ends, parked = Ends(), []

    def give(data: bytes) -> None:
        it.node.on_frame("s0", data)
        parked.append(len(it.node.inbound._parking))

    run = Envelope(type=COUNT, target="narrow/0", payload=ONE, more=[ONE] * 99)
    frames = [ends.frame("s0", run) for _ in range(100)]
    frames += [ends.frame("s0", ask("narrow/0", number=number)) for number in range(100)]
    it.run([lambda data=data: give(data) for data in frames])
    assert 1_000 < max(parked) < most_bytes / 64
    assert letters(it, "mailbox full") + HANDLED["narrow"] == 10_100
    assert it.strangers["s0"].answers == 100
    assert len(it.node.inbound._parking) == 0
    assert set(it.node.inbound._parking._bytes.values()) == {0}


# -- orders --------------------------------------------------------------------------------------------------


def test_an_order_that_cannot_be_read_leaves_no_ask_behind(it: Victim) -> None:
    ends, name = Ends(), codec.type_name(LinkRequest)
    asks = [ask("near/0", name, b"\xff", number) for number in range(100)]
    asks += [ask("near/0", name, codec.encode(LinkRequest(both=False))[1], 200, sender="no address")]
    it.run([partial(it.node.on_frame, "s0", ends.frame("s0", each)) for each in asks])
    assert letters(it, "undecodable") == 101
    assert it.strangers["s0"].answers == 101
    assert it.node.inbound.asks_in_hand == 0


def test_an_order_that_is_told_and_not_asked_is_not_carried_out(it: Victim) -> None:
    frame = Ends().frame("s0", Envelope(type=STOP_TYPE, target="near/0"))
    cell = next(cell for cell in it.node.directory.cells if str(cell.address) == "near/0")
    it.run([lambda: it.node.on_frame("s0", frame)])
    assert letters(it, "undecodable") == 1
    assert cell in it.node.directory.cells


def test_many_requests_for_the_tree_take_one_thread_and_each_is_answered(
    it: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, tree_of = threading.Event(), survey.tree_of

    def slow_tree(*arguments: Any) -> Any:
        go_on.wait(20)
        return tree_of(*arguments)

    monkeypatch.setattr(survey, "tree_of", slow_tree)
    ends, threads = Ends(), threading.active_count()
    name, payload = codec.encode(survey.TreeRequest(most_children=5))
    frames = [ends.frame("s0", *[ask("node/a", name, payload, n) for n in range(500)]) for _ in range(4)]
    it.run([lambda data=data: it.node.on_frame("s0", data) for data in frames])
    assert threading.active_count() <= threads + 1
    go_on.set()
    eventually(lambda: it.strangers["s0"].answers == 2_000, 20.0)
    assert letters(it, "mailbox full") in (2_000 - survey.MOST_WAITING - 1, 2_000 - survey.MOST_WAITING)
    assert it.node.inbound.asks_in_hand == 0


# -- beacons -------------------------------------------------------------------------------------------------


def hello(node: str, **fields: Any) -> bytes:
    told = {"node": node, "incarnation": 7, "wire_version": 1, "weight": 1, **fields}
    return Beacon(hello=Hello(**told)).SerializeToString()


def test_there_is_a_limit_to_the_nodes_in_view_and_it_opens_again(it: Victim) -> None:
    it.run([lambda n=n: it.node.on_beacon(f"n{n}", hello(f"n{n}")) for n in range(MAX_NODES + 100)])
    assert len(it.a.nodes()) == MAX_NODES
    assert letters(it, "dropped") == 102
    it.still_serves()
    it.pass_time(5.0)
    assert len(it.a.nodes()) == 2
    it.run([lambda: it.node.on_beacon("late", hello("late"))])
    assert len(it.a.nodes()) == 3


def test_many_who_join_at_once_are_greeted_at_once(it: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Beacon] = []
    monkeypatch.setattr(it.node, "broadcast", said.append)
    it.run([lambda n=n: it.node.on_beacon(f"n{n}", hello(f"n{n}", joining=True)) for n in range(1_000)])
    it.pass_time(0.05)
    assert [beacon.WhichOneof("content") for beacon in said] == ["hello"]


def test_a_node_of_another_version_is_no_member(it: Victim) -> None:
    it.run([it.beacon("n1", hello("n1", wire_version=2)), it.beacon("n1", hello("n1", wire_version=0))])
    it.check()
    assert letters(it, "undecodable") == 2
    assert [node.name for node in it.a.nodes()] == ["a", "b"]


# -- clients -------------------------------------------------------------------------------------------------


def test_orders_of_clients_are_refused_in_either_form(it: Victim) -> None:
    types = ("covey.v1.Stop", "covey.v1.Watch", "covey.v1.JsonRequest", "covey.framework.linking.LinkRequest")
    for name in types:
        wire = Envelope(type=name, payload=b"")
        it.run(
            [
                it.request("near/0", wire.SerializeToString(), None, waits=True),
                it.request("near/0", wire.SerializeToString(), None, waits=False),
                it.request("near/0", b"{}", name, waits=True),
                it.request("far/0", b"{}", name, waits=True),
            ]
        )
    it.check()
    assert letters(it, "undecodable") == 4 * len(types)


def test_made_up_kinds_types_and_nodes_are_not_remembered(it: Victim) -> None:
    ends = Ends()

    def inputs(number: int) -> Iterator[Any]:
        made_up = Envelope(type=f"made.up.T{number}", target=f"near/{number % 5}")
        yield it.frame("s0", ends.frame("s0", made_up))
        yield it.frame("s0", ends.frame("s0", Envelope(type=COUNT, target=f"kind{number}/x", payload=ONE)))
        passed_on = Envelope(type=f"made.up.T{number}", target=f"far/{number % 5}")
        yield it.frame("s0", ends.frame("s0", passed_on))
        yield it.request(f"kind{number}/x", b"", None, waits=True)
        yield it.request("far/1", Envelope(type=f"made.up.U{number}").SerializeToString(), None, waits=True)
        yield it.request("far/1", b"{}", f"made.up.V{number}", waits=True)
        yield it.publication(f"news.{number}", Envelope(type=f"made.up.W{number}").SerializeToString())

    for start in range(0, 3_000, 500):
        it.run([each for number in range(start, start + 500) for each in inputs(number)])
        it.check()
    it.pass_time(10.0)
    for node in (it.node, it.b._running):
        assert not grown(node)
        assert it.log.counts.total() < 3_000


def test_traces_that_make_no_sense_keep_no_message_from_its_agent(tmp_path: Path) -> None:
    random, hub, answers = Random(5), MemoryHub(), []
    traces = [bytes(24) + b"\x01", b"\xff" * 25, bytes(16) + b"\x01" * 9, b"\x01" * 16 + bytes(8) + b"\x01"]
    traces += [random.randbytes(24) + b"\xff" for _ in range(50)]
    options: dict[str, Any] = {"node": "a", "trace_ratio": 1.0, "trace_directory": tmp_path}
    with (
        Swarm("fuzz", transport=lambda: MemoryTransport(hub), hosts=[Near], **options) as swarm,
        logged() as log,
    ):
        for trace in traces:
            wire = Envelope(type=COUNT, payload=ONE, trace=trace).SerializeToString()
            request = OutsideRequest("near/0", wire, None, lambda data, _headers: answers.append(data))
            eventually(lambda request=request: hub.request("fuzz", request))
        eventually(lambda: len(answers) == len(traces), 20.0)
        assert not swarm.dead_letters()
    assert {Envelope.FromString(answer).kind for answer in answers} == {Envelope.REPLY}
    assert not log.errors, log.errors[0]
