"""One other node as this one sees it: what leaves in which frame, within which bounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from covey.framework.address import Address
from covey.framework.cluster import framing, outbox
from covey.framework.cluster.framing import FRAME_OVERHEAD_BYTES
from covey.framework.cluster.packing import Header, Outgoing, StopOrder
from covey.framework.cluster.peer import Peer
from covey.framework.envelope import Envelope
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.proto.envelope_pb2 import Frame
from covey.framework.reply import Reply
from tests.framework.peer_ends import (
    Owner,
    flushed,
    numbers_in,
    outgoing,
    parsed,
    payload_of,
    peers,
    tick,
)

FAR = Address("far", "x")
HEADER = Header(FAR, "", "shop.Order")
LIMIT_BYTES = 1 << 20


# -- frames -----------------------------------------------------------------------------------------


def test_tells_that_share_a_header_leave_as_one_envelope_in_one_frame() -> None:
    sender, receiver = peers()
    for number in range(1, 101):
        assert sender.offer_tell(HEADER, payload_of(number))
    (frame,) = parsed(sender.frames(LIMIT_BYTES))
    (envelope,) = frame.envelopes
    assert numbers_in(envelope) == list(range(1, 101))
    assert frame.sent_messages == 100
    assert receiver.received(frame)


def test_a_tell_passes_what_waits_for_other_agents_and_never_what_waits_for_its_own() -> None:
    sender, receiver = peers()
    of_another_type = Header(FAR, "", "shop.Refund")
    to_another = Header(Address("far", "y"), "", "shop.Order")
    for number, header in enumerate([HEADER, to_another, HEADER, of_another_type, to_another, HEADER], 1):
        sender.offer_tell(header, payload_of(number))
    sender.offer(outgoing(HEADER, 7, reply=Reply("far/x")))
    sender.offer_tell(HEADER, payload_of(8))
    (frame,) = parsed(sender.frames(LIMIT_BYTES))
    by_target: dict[str, list[int]] = {}
    for envelope in frame.envelopes:
        by_target.setdefault(WireEnvelope.FromString(envelope).target, []).extend(numbers_in(envelope))
    assert by_target == {"far/x": [1, 3, 4, 6, 7, 8], "far/y": [2, 5]}
    assert receiver.received(frame)


news = st.dictionaries(
    st.text(min_size=1, max_size=300).map(lambda key: f"far/{key}"), st.booleans(), max_size=150
)


@settings(max_examples=60, deadline=None)
@given(
    news=news,
    lost=st.integers(0, 150),
    descriptor_bytes=st.integers(0, 3_000),
    sizes=st.lists(st.integers(1, 6_000), min_size=1, max_size=40),
    limit_bytes=st.integers(2 * FRAME_OVERHEAD_BYTES, 20_000),
    urgent=st.booleans(),
)
def test_no_frame_is_larger_than_the_transport_takes_whatever_there_is_to_tell(
    news: dict[str, bool],
    lost: int,
    descriptor_bytes: int,
    sizes: list[int],
    limit_bytes: int,
    urgent: bool,
) -> None:
    owner = Owner()
    owner.descriptor = bytes(descriptor_bytes)
    owner.max_frame_bytes = limit_bytes
    peer = Peer("b", owner)
    for number in range(1, lost + 1):  # holes, of numbers as large as they may be
        peer.received(Frame(epoch=7, sequence=2**60 + 2 * number, sent_bytes=2**60, sent_messages=2**60))
    tick(peer, peer)
    for address, is_paused in news.items():
        peer.tell_of(address, is_paused=is_paused)
    for number, size in enumerate(sizes):
        header = Header(FAR, "", f"shop.Order{number}", Address("near", "s" * 250))
        if urgent:
            peer.send_urgent(outgoing(header, number, size).data, header.type_name)
        else:
            peer.offer_tell(header, payload_of(number, size))
    packed = flushed(peer, limit_bytes)
    assert max(len(data) for data, _number in packed) <= limit_bytes
    assert peer.waiting == 0
    assert sum(frame.sent_messages > 0 for frame in parsed(packed)) >= 1
    assert not peer.incoming.news


# -- bounds, and the end -----------------------------------------------------------------------------


def test_what_is_offered_to_an_abandoned_peer_goes_back_to_its_owner() -> None:
    owner = Owner()
    peer = Peer("b", owner)
    early, late = outgoing(HEADER, 1), outgoing(HEADER, 2)
    woken: list[bool] = []
    peer.offer(early)
    peer.waiters.append(lambda: woken.append(True))
    assert peer.abandon("it said goodbye") == [early]
    assert woken == [True]
    assert peer.offer(late)
    assert owner.late == [2]
    assert peer.frames(LIMIT_BYTES) == []


def test_an_abandoned_peer_gives_back_what_cannot_have_arrived_in_its_order() -> None:
    sender, _ = peers()
    sender.offer_tell(HEADER, payload_of(1))
    sender.frames(LIMIT_BYTES)  # it may have arrived
    sender.offer(outgoing(HEADER, 2, 3 * LIMIT_BYTES))
    assert len(flushed(sender)) > 3
    sender.offer_tell(HEADER, payload_of(3))
    left = sender.abandon("nobody listens for it")
    assert [number for item in left for number in numbers_in(item.pack())] == [3]
    assert sender.in_doubt == 2


def test_a_large_envelope_that_is_half_sent_cannot_have_arrived() -> None:
    owner = Owner(window_bytes=LIMIT_BYTES)
    sender = Peer("b", owner)
    sender.offer(outgoing(HEADER, 1, 3 * LIMIT_BYTES))
    sender.offer_tell(HEADER, payload_of(2))
    assert 0 < len(flushed(sender)) <= 3
    assert sender.in_doubt == 0
    left = sender.abandon("nobody listens for it")
    assert [number for item in left for number in numbers_in(item.pack())] == [1, 2]


def test_too_much_that_waits_is_refused_and_the_waiters_are_woken_once_there_is_room() -> None:
    peer = Peer("b", Owner(framing.WINDOW_BYTES))
    accepted = 0
    while peer.offer(outgoing(HEADER, accepted, 1 << 20)):
        accepted += 1
    assert accepted == outbox.OUTBOUND_BYTES >> 20
    woken: list[bool] = []
    peer.waiters.append(lambda: woken.append(True))
    assert sum(len(frame.envelopes) for frame in parsed(flushed(peer, 2 << 20))) == framing.WINDOW_BYTES >> 20
    assert not woken  # who is woken may send: the frames before have to be handed over first
    peer.admit()
    assert woken == [True]  # there is room, although without credits no more can be sent now
    peer.armed = False
    peer.received(Frame(epoch=7, sequence=1, target_epoch=peer.epoch, credited_bytes=4 << 20))
    assert peer.armed
    assert peer.frames(2 << 20)
    assert woken == [True]  # each waiter once


def test_credits_that_were_never_earned_are_not_believed() -> None:
    peer = Peer("b", Owner())
    peer.offer_tell(HEADER, payload_of(1))
    peer.frames(LIMIT_BYTES)
    hostile = Frame(
        epoch=7, sequence=1, target_epoch=peer.epoch, credited_bytes=1 << 60, seen_sequence=1 << 60
    )
    peer.received(hostile)
    assert (peer.in_flight_bytes, peer.in_doubt) == (0, 0)
    peer.offer_tell(HEADER, payload_of(2))
    peer.frames(LIMIT_BYTES)
    assert peer.in_flight_bytes > 0
    assert peer.in_doubt == 1


def test_an_ask_that_timed_out_while_it_waited_is_not_sent_and_a_stop_is() -> None:
    owner = Owner()
    peer = Peer("b", owner)
    reply, stopped = Reply[None]("far/x"), Reply[None]("far/x")
    order = WireEnvelope(kind=WireEnvelope.ASK, payload=payload_of(2)).SerializeToString()
    peer.offer(outgoing(HEADER, 1, reply=reply))
    peer.offer(StopOrder(order, HEADER, Envelope(None, stopped)))
    peer.offer_tell(HEADER, payload_of(3))
    reply.expire()
    stopped.expire()
    (frame,) = parsed(peer.frames(LIMIT_BYTES))
    assert [numbers_in(envelope) for envelope in frame.envelopes] == [[2], [3]]
    assert owner.refused == [(1, "expired")]


def test_answers_need_no_credits() -> None:
    peer = Peer("b", Owner(window_bytes=10))
    peer.offer(Outgoing(bytes(100), HEADER, None))
    peer.offer_tell(HEADER, payload_of(1))
    assert len(peer.frames(LIMIT_BYTES)) == 1
    peer.send_urgent(b"answer")
    (frame,) = parsed(peer.frames(LIMIT_BYTES))
    assert list(frame.envelopes) == [b"answer"]
    assert peer.waiting == 1
