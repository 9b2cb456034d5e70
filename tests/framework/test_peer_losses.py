"""One other node as this one sees it: what is lost, what comes back, and what begins anew."""

from __future__ import annotations

from covey.framework.address import Address
from covey.framework.cluster.packing import Header, pack_payload
from covey.framework.cluster.peer import Peer
from covey.framework.proto.envelope_pb2 import Frame
from tests.framework.peer_ends import (
    Owner,
    deliver,
    parsed,
    payload_of,
    peers,
    tick,
)

FAR = Address("far", "x")
HEADER = Header(FAR, "", "shop.Order")
LIMIT_BYTES = 1 << 20


# -- what is lost, and what comes back ---------------------------------------------------------------


def test_a_lost_frame_is_counted_at_the_second_tick_and_its_sender_is_told_what_was_in_it() -> None:
    sender, receiver = peers()
    for number in (1, 2, 3):
        sender.offer_tell(HEADER, payload_of(number))
        sender.send_urgent(b"answer %d" % number)
        frames = parsed(sender.frames(LIMIT_BYTES))
        if number != 2:
            assert all(receiver.received(frame) for frame in frames)
            receiver.incoming.got(2)
    assert (receiver.gaps, sender.in_doubt) == (0, 3)
    tick(receiver, receiver)
    assert receiver.gaps == 1
    owner: Owner = receiver._owner  # type: ignore[assignment]
    assert (owner.lost_frames, owner.lost_messages) == (1, 2)
    deliver(receiver, sender)
    told: Owner = sender._owner  # type: ignore[assignment]
    assert told.refused == [(2, "lost")]
    assert sender.in_doubt == 0
    (again,) = parsed(sender.frames(LIMIT_BYTES))
    assert list(again.envelopes) == [b"answer 2"]
    assert receiver.received(again)


def test_a_lost_frame_is_told_of_until_the_sender_has_confirmed_that() -> None:
    sender, receiver = peers()
    for number in (1, 2):
        sender.offer_tell(HEADER, payload_of(number))
    sender.frames(LIMIT_BYTES)  # lost
    sender.offer_tell(HEADER, payload_of(3))
    deliver(sender, receiver)
    tick(receiver, receiver)
    for _ in range(3):
        (told,) = parsed([receiver.ping()])
        assert len(told.lost) == 1  # and is lost itself
    deliver(receiver, sender)
    assert sender.received(Frame.FromString(receiver.ping()[0]))
    deliver(sender, receiver)
    assert not parsed([receiver.ping()])[0].lost


def test_what_reached_nobody_is_sent_again_in_order_and_leaves_no_hole() -> None:
    sender, receiver = peers()
    sender.offer_tell(HEADER, payload_of(1))
    assert deliver(sender, receiver) == [1]
    returned = []
    for number in (2, 3):
        sender.offer_tell(HEADER, payload_of(number))
        returned += sender.frames(LIMIT_BYTES)
    assert [sender.returned(number) for _data, number in returned] == [True, True]
    assert not sender.returned(returned[0][1] + 1_000)
    sender.offer_tell(HEADER, payload_of(4))
    assert sender.frames(LIMIT_BYTES) == []  # nobody listens
    in_flight = sender.in_flight_bytes
    assert deliver(sender, receiver) == []
    sender.reachable()
    assert deliver(sender, receiver) == [2, 3, 4]
    assert sender.in_flight_bytes >= in_flight
    tick(receiver, receiver)
    assert receiver.gaps == 0


def test_what_reached_nobody_before_something_that_arrived_is_too_late() -> None:
    sender, receiver = peers()
    sender.offer_tell(HEADER, payload_of(1))
    sender.send_urgent(pack_payload(payload_of(2)))
    ((_, returned),) = sender.frames(LIMIT_BYTES)
    sender.offer_tell(HEADER, payload_of(3))
    assert deliver(sender, receiver) == [3]
    assert sender.returned(returned)
    sender.reachable()
    owner: Owner = sender._owner  # type: ignore[assignment]
    assert owner.refused == [(1, "lost")]
    assert deliver(sender, receiver) == [2]  # an answer has no place to be in


def test_a_frame_that_comes_back_late_is_not_taken_for_one_of_a_new_link() -> None:
    old, new = Peer("b", Owner()), Peer("b", Owner())
    _, number = old.ping()
    new.ping()
    assert not new.returned(number)
    assert not new.silent


def test_one_tick_without_news_of_what_was_sent_asks_after_it_and_none_once_all_is_known() -> None:
    sender, receiver = peers()
    deliver(receiver, sender)
    assert sender.tick() is None
    assert sender.tick() is None
    sender.offer_tell(HEADER, payload_of(1))
    deliver(sender, receiver)
    assert sender.tick() is None  # it may be told any moment
    asked = sender.tick()
    assert asked is not None
    assert Frame.FromString(asked[0]).probe
    receiver.received(Frame.FromString(asked[0]))
    deliver(receiver, sender)
    assert (sender.in_doubt, sender.in_flight_bytes) == (0, 0)
    assert sender.tick() is None
    assert sender.tick() is None


# -- epochs and types --------------------------------------------------------------------------------


def test_a_type_is_described_once_and_anew_for_a_new_epoch_of_the_other_end() -> None:
    sender = Peer("b", Owner())

    def schemas() -> list[str]:
        sender.offer_tell(HEADER, payload_of(1))
        return [schema.type for frame in parsed(sender.frames(LIMIT_BYTES)) for schema in frame.schemas]

    assert schemas() == ["shop.Order"]
    assert schemas() == []
    receiver = Peer("a", Owner())
    receiver.send_urgent(pack_payload(payload_of(2)))
    deliver(receiver, sender)
    assert schemas() == ["shop.Order"]


def test_a_type_that_differs_is_refused_until_the_peer_says_otherwise() -> None:
    peer = Peer("b", Owner())
    peer.compare("shop.Order", b"other")
    assert peer.foreign["shop.Order"].differences == ("it differs",)
    peer.compare("shop.Order", b"same")
    assert not peer.foreign


def test_a_new_epoch_of_the_other_end_starts_its_counters_anew() -> None:
    receiver = Peer("a", Owner())
    for _ in range(2):
        sender = Peer("b", Owner())
        for number in range(5):
            sender.offer_tell(HEADER, payload_of(number))
            assert deliver(sender, receiver) == [number]
    tick(receiver, receiver)
    assert receiver.gaps == 0


def test_what_came_before_a_link_was_given_up_is_not_taken_again_and_what_was_missing_is_told_of() -> None:
    sender, receiver = Peer("b", Owner()), Peer("a", Owner())
    first, missing, third = [], [], []
    for number, frames in enumerate((first, missing, third), 1):
        sender.offer_tell(HEADER, payload_of(number))
        frames += parsed(sender.frames(LIMIT_BYTES))
    assert [receiver.received(frame) for frame in (*first, *third)] == [True, True]
    receiver.abandon("no beacon for 2 s")
    anew = Peer("a", Owner(), receiver.incoming)
    assert not any(anew.received(frame) for frame in (*first, *third))
    tick(anew, anew)
    deliver(anew, sender)
    owner: Owner = sender._owner  # type: ignore[assignment]
    assert (owner.refused, sender.in_doubt) == ([(2, "lost")], 0)


def test_what_an_end_that_began_anew_had_not_confirmed_is_in_doubt() -> None:
    sender, _ = peers()
    sender.offer_tell(HEADER, payload_of(1))
    sender.offer_tell(HEADER, payload_of(2))
    sender.frames(LIMIT_BYTES)  # is lost with the other process
    restarted = Peer("a", Owner())
    sender.offer_tell(HEADER, payload_of(3))
    assert deliver(sender, restarted) == [3]
    assert sender.received(Frame.FromString(restarted.ping()[0]))
    owner: Owner = sender._owner  # type: ignore[assignment]
    assert owner.in_doubt_messages == 3  # the third as well: nobody had confirmed it
    assert sender.in_doubt == 0
    tick(restarted, restarted)
    assert restarted.gaps == 0  # what came before was for the earlier one
