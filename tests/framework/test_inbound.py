"""Frames that come in: whatever the bytes are, nothing raises, and the swarm goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey import Agent, Swarm, handles, message
from covey.framework.cluster.peers import STRANGERS_KEPT
from covey.framework.errors import SchemaChangedError
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Beacon, Envelope, Failure, Frame, Hello, Registry, Schemas
from covey.framework.transport import OutsideRequest
from covey.transports import MemoryHub, MemoryTransport


@message
class Ping:
    number: int


class Target(Agent):
    kind = "target"

    @handles
    def ping(self, ping: Ping) -> Ping:
        return ping


class Choosy(Agent):
    kind = "choosy"

    def __init__(self) -> None:
        super().__init__()
        if self.key == "broken":
            raise ValueError("no such key")

    @handles
    def ping(self, ping: Ping) -> Ping:
        return ping


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    hub = MemoryHub()
    with Swarm(
        "shop",
        transport=lambda: MemoryTransport(hub),
        hosts=[Target, Choosy],
        node="here",
        trace_ratio=0.0,
    ) as swarm:
        yield swarm


def on_loop(swarm: Swarm, function: Callable[..., object], *args: object) -> None:
    """Run on the node's loop and let an error out."""
    done: list[BaseException | None] = []

    def run() -> None:
        try:
            function(*args)
        except BaseException as error:  # the test is about whether there is one
            done.append(error)
        else:
            done.append(None)

    swarm._running.dispatcher.loop.call_soon_threadsafe(run)  # as a transport does
    end = time.monotonic() + 10
    while not done:
        assert time.monotonic() < end
        time.sleep(0.0005)
    if done[0] is not None:
        raise done[0]


epochs = itertools.count(1)


def frame(*envelopes: Envelope | bytes, **fields: object) -> bytes:
    """The first frame of a new epoch of its sender."""
    parts = [e if isinstance(e, bytes) else e.SerializeToString() for e in envelopes]
    given: dict[str, object] = {"epoch": next(epochs), "sequence": 1, "envelopes": parts, **fields}
    return Frame(**given).SerializeToString()  # type: ignore[arg-type]


def take(swarm: Swarm, data: bytes, source: str = "there") -> None:
    on_loop(swarm, swarm._running.on_frame, source, data)


def still_serves(swarm: Swarm) -> None:
    assert swarm.agent("target", "x").ask(Ping(number=3), timeout=5).get() == Ping(number=3)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_and_the_swarm_goes_on(swarm: Swarm, data: bytes) -> None:
    node = swarm._running
    take(swarm, data)
    on_loop(swarm, node.on_beacon, "there", data)
    on_loop(swarm, node.on_publication, "news.*", "", "news.tea", data)
    on_loop(swarm, node.on_request, OutsideRequest("target/x", data))
    on_loop(swarm, node.on_request, OutsideRequest("target/x", data, "Ping"))
    still_serves(swarm)


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
envelopes = st.builds(
    Envelope,
    kind=st.integers(0, 9),
    message_id=st.integers(0, 10),
    type=st.one_of(st.sampled_from([codec.type_name(Ping), "google.protobuf.Empty", "covey.v1.Stop"]), texts),
    target=st.one_of(st.sampled_from(["target/x", "choosy/broken", "nobody/x", "target/"]), texts),
    sender=texts,
    payload=st.binary(max_size=40),
    chain=st.lists(texts, max_size=3),
    trace=st.binary(max_size=30),
    hops=st.integers(0, 5),
    bound=st.booleans(),
    remaining_ms=st.sampled_from([0, 1, 1000, 0xFFFFFFFF]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(envelopes, st.binary(max_size=60)), max_size=5), st.integers(0, 2**40))
def test_any_envelope_becomes_a_message_an_answer_or_a_dead_letter(
    swarm: Swarm, items: list[Envelope | bytes], number: int
) -> None:
    data = frame(*items, sequence=number, sent_bytes=number, credited_bytes=number, target_epoch=number)
    take(swarm, data)
    for cut in (1, len(data) // 2, len(data) - 1):
        take(swarm, data[:cut])
    still_serves(swarm)


def test_what_cannot_be_read_is_a_dead_letter_with_its_reason_and_spoils_no_other(swarm: Swarm) -> None:
    before = swarm.dead_letters().counts
    ping = codec.encode(Ping(number=1))
    good = Envelope(type=ping[0], target="target/y", payload=ping[1])
    handled = swarm.handled
    take(
        swarm,
        frame(
            b"\xff\xff",
            Envelope(type="no.such.Type", target="target/y"),
            Envelope(type=ping[0], target="no address", payload=ping[1]),
            Envelope(type=ping[0], target="nobody/x", payload=ping[1]),
            good,
        ),
    )
    end = time.monotonic() + 5
    while swarm.handled == handled:
        assert time.monotonic() < end, "the good envelope behind the bad ones was not handled"
        time.sleep(0.001)
    after = swarm.dead_letters().counts
    assert after["undecodable"] - before.get("undecodable", 0) == 3
    assert after["no host"] - before.get("no host", 0) == 1


def test_a_type_that_differs_on_the_other_node_is_refused_with_the_difference(swarm: Swarm) -> None:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

    name, payload = codec.encode(Ping(number=1))
    theirs = DescriptorProto(
        name="Ping",
        field=[
            FieldDescriptorProto(
                name="number",
                number=1,
                type=FieldDescriptorProto.TYPE_STRING,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
            )
        ],
    )
    data = Frame(
        epoch=1,
        sequence=1,
        envelopes=[Envelope(type=name, target="target/x", payload=payload).SerializeToString()],
    )
    data.schemas.add(type=name, descriptor=theirs.SerializeToString())
    before = swarm.dead_letters().counts.get("schema changed", 0)
    take(swarm, data.SerializeToString(), "changed")
    assert swarm.dead_letters().counts["schema changed"] == before + 1
    letter = list(swarm.dead_letters())[-1]
    assert "number" in letter.detail
    assert isinstance(swarm._running.outbound.peer("changed").foreign[name], SchemaChangedError)
    still_serves(swarm)


def test_a_description_of_a_type_that_cannot_be_read_is_ignored(swarm: Swarm) -> None:
    data = Frame(epoch=1, sequence=1)
    data.schemas.add(type=codec.type_name(Ping), descriptor=b"\xff\xff\xff")
    take(swarm, data.SerializeToString(), "odd")
    beacon = Beacon(schemas=Schemas(schemas=data.schemas))
    on_loop(swarm, swarm._running.on_beacon, "odd", beacon.SerializeToString())
    still_serves(swarm)


def test_an_answer_to_an_ask_that_nobody_made_is_ignored(swarm: Swarm) -> None:
    before = len(swarm.dead_letters())
    failure = Failure(type="KeyError", message="x").SerializeToString()
    take(
        swarm,
        frame(
            Envelope(kind=Envelope.REPLY, message_id=999_999, type="google.protobuf.Empty"),
            Envelope(kind=Envelope.FAILURE, message_id=999_999, payload=failure),
            Envelope(kind=Envelope.CANCEL, message_id=999_999),
        ),
    )
    assert len(swarm.dead_letters()) == before


def test_a_frame_that_comes_again_is_taken_once_and_counted(swarm: Swarm) -> None:
    name, payload = codec.encode(Ping(number=1))
    data = frame(Envelope(type=name, target="target/again", payload=payload))
    before, handled = swarm.dead_letters().counts, swarm.handled
    for _ in range(3):
        take(swarm, data)
    still_serves(swarm)
    assert swarm.handled == handled + 2  # and the ask of `still_serves`
    assert swarm.dead_letters().counts["replayed"] == before.get("replayed", 0) + 2
    assert "a frame of node there that came before" in list(swarm.dead_letters())[-1].detail


def test_a_node_cannot_speak_for_another(swarm: Swarm) -> None:
    before = swarm.dead_letters().counts.get("forged", 0)
    hello = Hello(node="victim", incarnation=3, wire_version=1)
    registry = Registry(node="victim", incarnation=3, version=1, parts=1, addresses=["target/x"])
    for beacon in (Beacon(hello=hello), Beacon(registry=registry)):
        on_loop(swarm, swarm._running.on_beacon, "forger", beacon.SerializeToString())
    assert swarm.dead_letters().counts["forged"] == before + 2
    assert [node.name for node in swarm.nodes()] == ["here"]
    on_loop(swarm, swarm._running.on_beacon, "victim", Beacon(hello=hello).SerializeToString())
    assert [node.name for node in swarm.nodes()] == ["here", "victim"]
    goodbye = Hello(node="victim", incarnation=3, wire_version=1, leaving=True)
    on_loop(swarm, swarm._running.on_beacon, "forger", Beacon(hello=goodbye).SerializeToString())
    assert [node.name for node in swarm.nodes()] == ["here", "victim"]
    on_loop(swarm, swarm._running.on_beacon, "victim", Beacon(hello=goodbye).SerializeToString())
    assert [node.name for node in swarm.nodes()] == ["here"]


def test_the_first_frames_of_a_stranger_are_served_and_ever_more_strangers_are_not(swarm: Swarm) -> None:
    before, handled = swarm.dead_letters().counts, swarm.handled
    name, payload = codec.encode(Ping(number=1))
    for number in range(STRANGERS_KEPT + 50):
        take(swarm, frame(Envelope(type=name, target="target/x", payload=payload)), f"stranger {number}")
    still_serves(swarm)
    refused = swarm.dead_letters().counts["forged"] - before.get("forged", 0)
    assert 50 <= refused < 100  # other tests had strangers of their own
    assert swarm.handled - handled == STRANGERS_KEPT + 50 - refused + 1
    assert len(swarm._running.outbound.peers) <= STRANGERS_KEPT + 2
