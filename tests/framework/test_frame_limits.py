"""What no node sends is refused before anything of it is believed; what nodes send is not."""

from __future__ import annotations

import pytest

from covey.framework.address import Address
from covey.framework.cluster.frame_limits import FRAME_ENVELOPES, LOST_IN_FRAME, NEWS_IN_FRAME, excess_of
from covey.framework.cluster.incoming import LOST_KEPT, Incoming
from covey.framework.cluster.outbox import LANES_KEPT
from covey.framework.cluster.packing import Header
from covey.framework.cluster.peer import Peer
from covey.framework.proto.envelope_pb2 import Frame, Range
from tests.framework.peer_ends import Owner, outgoing
from tests.fuzz.tables import sizes

LIMIT_BYTES = 1 << 20


def frame(**fields: object) -> Frame:
    return Frame(**{"epoch": 5, "sequence": 1, **fields})  # type: ignore[arg-type]


def sent_by(peer: Peer) -> list[Frame]:
    """All that the peer has to send, however many turns it takes."""
    sent: list[Frame] = []
    while frames := peer.frames(LIMIT_BYTES):
        sent += [Frame.FromString(data) for data, _number in frames]
    return sent


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"epoch": 0}, "epoch"),
        ({"sequence": 0}, "sequence"),
        ({"sequence": 1 << 62}, "counts"),
        ({"sent_bytes": 2**64 - 1}, "counts"),
        ({"sent_messages": 1 << 62}, "counts"),
        ({"published_bytes": 1 << 63}, "counts"),
        ({"envelopes": [b""] * (FRAME_ENVELOPES + 1)}, "513 envelopes"),
        ({"paused": ["a/b"] * NEWS_IN_FRAME, "resumed": ["a/b"]}, "65 addresses"),
        ({"lost": [Range(first=1, last=2)] * (LOST_IN_FRAME + 1)}, "65 lost ranges"),
    ],
)
def test_a_frame_that_no_node_sends_is_recognised(fields: dict[str, object], why: str) -> None:
    assert why in excess_of(frame(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sequence": (1 << 62) - 1, "sent_bytes": (1 << 62) - 1},
        {"credited_bytes": 2**64 - 1, "seen_sequence": 2**64 - 1, "read_bytes": 2**64 - 1},
        {"envelopes": [b""] * FRAME_ENVELOPES},
        {"paused": ["a/b"] * NEWS_IN_FRAME, "lost": [Range(first=1, last=2)] * LOST_IN_FRAME},
    ],
)
def test_a_frame_at_the_limits_is_taken(fields: dict[str, object]) -> None:
    assert excess_of(frame(**fields)) == ""


def test_what_a_node_has_to_tell_goes_into_as_many_frames_as_it_takes() -> None:
    peer = Peer("other", Owner())
    for number in range(1, 400, 2):  # every second frame is missing
        assert peer.received(frame(sequence=number))
    for _ in range(2):
        peer.tick()
    for number in range(500):
        peer.tell_of(f"kind/{number}", is_paused=True)
        peer.enlist(outgoing(Header(Address("kind", str(number)), "", f"type.T{number}"), number))
    frames = sent_by(peer)
    assert [excess_of(each) for each in frames] == [""] * len(frames)
    assert sum(len(each.paused) for each in frames) == 500
    assert sum(len(each.envelopes) for each in frames) == 500


def test_the_largest_totals_that_are_believed_leave_room_for_what_is_added() -> None:
    peer = Peer("other", Owner())
    most = (1 << 62) - 1
    assert peer.received(frame(sequence=most, sent_bytes=most, sent_messages=most, published_bytes=most))
    for number in range(100):
        peer.took(1 << 20)
        peer.tell_of(f"kind/{number}", is_paused=True)
        assert peer.frames(LIMIT_BYTES)
    for _ in range(2):
        peer.tick()
    answer = Frame.FromString(peer.ping()[0])
    assert answer.credited_bytes >= most
    assert [(lost.first, lost.last) for lost in answer.lost] == [(1, most - 1)]


def test_pauses_without_end_fill_no_memory_and_hold_up_nobody() -> None:
    peer = Peer("other", Owner())
    for number in range(0, LANES_KEPT + 2000, NEWS_IN_FRAME):
        names = [f"kind/{number + offset}" for offset in range(NEWS_IN_FRAME)]
        assert peer.received(frame(sequence=number // 64 + 1, target_epoch=peer.epoch, paused=names))
    assert len(peer.lanes) == LANES_KEPT
    paused, other = Address("kind", "0"), Address("kind", str(LANES_KEPT + 1))
    for address in (paused, other):
        assert peer.gate(address).offer(outgoing(Header(address, "", "type"), 1))
    sent = sent_by(peer)
    assert sum(len(each.envelopes) for each in sent) == 1
    peer.resume_all()
    sent = sent_by(peer)
    assert sum(len(each.envelopes) for each in sent) == 1


def test_types_that_nobody_here_knows_are_told_to_nobody_and_not_remembered() -> None:
    class Ignorant(Owner):
        def schema_of(self, type_name: str) -> bytes | None:
            return super().schema_of(type_name) if type_name == "known.Type" else None

    peer = Peer("other", Ignorant())
    for number in range(2000):
        peer.send_urgent(b"", f"made.up.T{number}")
        peer.send_urgent(b"", "known.Type")
    frames = sent_by(peer)
    assert [schema.type for each in frames for schema in each.schemas] == ["known.Type"]
    assert sizes(peer)["_told_types"] == 1


def test_losses_that_a_peer_never_confirms_are_not_told_for_ever() -> None:
    incoming = Incoming()
    for number in range(1, 4 * LOST_KEPT, 2):
        assert incoming.take(frame(sequence=number), own_epoch=7)
        if number % 100 == 1:
            incoming.tick()
    assert sizes(incoming)["_lost"] <= LOST_KEPT
    answer = frame()
    incoming.stamp(answer)
    assert excess_of(answer) == ""


def test_a_peer_cannot_have_read_more_than_was_published() -> None:
    owner = Owner()
    owner.published_bytes = 1000
    peer = Peer("other", owner)
    owner.published_bytes = 5000
    assert peer.received(frame(target_epoch=peer.epoch, read_bytes=2**64 - 1))
    assert peer.read_bytes == 5000
