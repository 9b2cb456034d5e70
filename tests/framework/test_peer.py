"""Flow control between two nodes: two peers over a channel that keeps order and may lose frames."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covey.framework.address import Address
from covey.framework.cluster import outbox as outbox_module
from covey.framework.cluster import peer as peer_module
from covey.framework.cluster.packing import Header, Outgoing
from covey.framework.cluster.peer import Peer
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError
from covey.framework.proto.envelope_pb2 import Frame
from covey.framework.reply import Reply

HEADER = Header(Address("far", "x"), "", "shop.Order")
FRAME_LIMIT_BYTES = 400 + peer_module.FRAME_OVERHEAD_BYTES
LARGEST = 300


class Owner:
    """Keeps what a peer asks its node for."""

    def __init__(self) -> None:
        self.refused: list[Outgoing] = []
        self.late: list[Outgoing] = []

    def schedule_flush(self, peer: Peer) -> None:
        peer.armed = True

    def schema_of(self, type_name: str) -> bytes | None:
        return f"schema of {type_name}".encode()

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        return ("it differs",) if descriptor == b"other" else ()

    def refuse(self, item: Outgoing, reason: str, error: CoveyError) -> None:
        self.refused.append(item)

    def too_late(self, item: Outgoing, name: str, why: str) -> None:
        self.late.append(item)


class End:
    """One end of the link, with a receiver that takes envelopes when it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.owner = Owner()
        self.peer = Peer("the other", self.owner)
        self.untaken: deque[bytes] = deque()
        self.got: list[bytes] = []

    def take(self, count: int) -> None:
        for _ in range(min(count, len(self.untaken))):
            data = self.untaken.popleft()
            self.got.append(data)
            self.peer.took(len(data))


class LinkMachine(RuleBasedStateMachine):
    """`a` sends to `b`; frames of both directions may be lost; `b` takes envelopes when it likes."""

    window, outbound, report = 1_000, 2_000, 250

    def __init__(self) -> None:
        super().__init__()
        self.limits = (peer_module.WINDOW_BYTES, outbox_module.OUTBOUND_BYTES, peer_module.REPORT_BYTES)
        peer_module.WINDOW_BYTES, outbox_module.OUTBOUND_BYTES = self.window, self.outbound
        peer_module.REPORT_BYTES = self.report
        self.a, self.b = End("a"), End("b")
        self.to_b: deque[bytes] = deque()
        self.to_a: deque[bytes] = deque()
        self.accepted: list[bytes] = []
        self.lost: set[bytes] = set()
        self.lost_frames_to_b = 0
        self.number = 0

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            limits = self.limits
            peer_module.WINDOW_BYTES, outbox_module.OUTBOUND_BYTES, peer_module.REPORT_BYTES = limits

    def flush(self) -> None:
        for end, channel in ((self.a, self.to_b), (self.b, self.to_a)):
            if end.peer.armed:
                channel.extend(end.peer.frames(end.name, FRAME_LIMIT_BYTES))

    @rule(size=st.integers(10, LARGEST), count=st.integers(1, 6))
    def tell(self, size: int, count: int) -> None:
        for _ in range(count):
            self.number += 1
            data = f"{self.number:08d}".encode().ljust(size, b".")
            if self.a.peer.offer(Outgoing(data, HEADER, None)):
                self.accepted.append(data)

    @rule(size=st.integers(10, LARGEST), count=st.integers(1, 6))
    def answer(self, size: int, count: int) -> None:
        for _ in range(count):
            self.b.peer.send_urgent(bytes(size))

    @rule()
    def turn(self) -> None:
        self.flush()

    @precondition(lambda self: self.to_b)
    @rule(count=st.integers(1, 5))
    def deliver_to_b(self, count: int) -> None:
        for _ in range(min(count, len(self.to_b))):
            self.receive(self.b, self.to_b.popleft())

    @precondition(lambda self: self.to_a)
    @rule()
    def deliver_to_a(self) -> None:
        self.receive(self.a, self.to_a.popleft())

    @precondition(lambda self: self.to_b)
    @rule()
    def lose_on_the_way_to_b(self) -> None:
        self.lost.update(Frame.FromString(self.to_b.popleft()).envelopes)
        self.lost_frames_to_b += 1

    @precondition(lambda self: self.to_a)
    @rule()
    def lose_on_the_way_to_a(self) -> None:
        self.to_a.popleft()

    @rule(count=st.integers(1, 10))
    def take(self, count: int) -> None:
        self.b.take(count)

    def receive(self, end: End, data: bytes) -> None:
        assert len(data) <= FRAME_LIMIT_BYTES
        frame = Frame.FromString(data)
        end.peer.received(frame)
        end.untaken.extend(frame.envelopes)

    @invariant()
    def bytes_in_flight_stay_within_the_window(self) -> None:
        on_the_way = sum(len(e) for f in self.to_b for e in Frame.FromString(f).envelopes)
        really = on_the_way + sum(map(len, self.b.untaken))
        # The last envelope that still fits may stick out of the window, no more.
        assert really <= self.window + LARGEST
        assert self.a.peer.in_flight_bytes <= self.window + LARGEST

    @invariant()
    def nothing_comes_twice_or_out_of_order(self) -> None:
        arrived = self.b.got + list(self.b.untaken)
        assert arrived == sorted(set(arrived))

    def settle(self) -> None:
        """From now on nothing is lost: all that waits must arrive within a few beats."""
        for _ in range(200):
            for end, channel in ((self.a, self.to_b), (self.b, self.to_a)):
                probe = end.peer.probe(end.name)
                if probe is not None:
                    channel.append(probe)
            self.flush()
            while self.to_b:
                self.receive(self.b, self.to_b.popleft())
            self.b.take(len(self.b.untaken))
            self.flush()
            while self.to_a:
                self.receive(self.a, self.to_a.popleft())
            if not self.a.peer.waiting:
                break
        assert not self.a.peer.waiting, "the link is dead-locked"
        self.a.peer.send_urgent(b"last")
        self.flush()
        while self.to_b:
            self.receive(self.b, self.to_b.popleft())
        self.b.take(len(self.b.untaken))
        assert self.b.got[-1] == b"last"
        assert self.b.got[:-1] == [data for data in self.accepted if data not in self.lost]
        first_arrived = self.lost_frames_to_b - self.b.peer.gaps
        assert first_arrived >= 0  # those lost before the first that arrived cannot be known of


TestLink = LinkMachine.TestCase
TestLink.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def deliver(sender: Peer, receiver: Peer, name: str) -> list[bytes]:
    got = []
    for data in sender.frames(name, 1 << 20):
        frame = Frame.FromString(data)
        receiver.received(frame)
        got.extend(frame.envelopes)
    return got


def test_a_lost_frame_is_counted() -> None:
    sender, receiver = Peer("b", Owner()), Peer("a", Owner())
    for number in range(3):
        sender.offer(Outgoing(b"x" * 10, HEADER, None))
        frames = sender.frames("a", 1 << 20)
        if number != 1:
            receiver.received(Frame.FromString(frames[0]))
    assert receiver.gaps == 1


def test_a_type_is_described_once_and_anew_for_a_new_epoch_of_the_other_end() -> None:
    sender, receiver = Peer("b", Owner()), Peer("a", Owner())

    def schemas() -> list[str]:
        sender.offer(Outgoing(b"x", HEADER, None))
        return [s.type for data in sender.frames("a", 1 << 20) for s in Frame.FromString(data).schemas]

    assert schemas() == ["shop.Order"]
    assert schemas() == []
    receiver.send_urgent(b"answer")
    deliver(receiver, sender, "b")
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
        for _ in range(5):
            sender.offer(Outgoing(b"x" * 10, HEADER, None))
            deliver(sender, receiver, "a")
    assert receiver.gaps == 0


def test_what_is_offered_to_an_abandoned_peer_goes_back_to_its_owner() -> None:
    owner = Owner()
    peer = Peer("b", owner)
    early, late = Outgoing(b"early", HEADER, None), Outgoing(b"late", HEADER, None)
    woken: list[bool] = []
    peer.offer(early)
    peer.waiters.append(lambda: woken.append(True))
    assert peer.abandon("it said goodbye") == [early]
    assert woken == [True]
    assert peer.offer(late)
    assert owner.late == [late]
    assert peer.frames("a", 1 << 20) == []


def test_too_much_that_waits_is_refused_and_the_waiters_are_woken_once_there_is_room() -> None:
    peer = Peer("b", Owner())
    large = Outgoing(bytes(1 << 20), HEADER, None)
    accepted = 0
    while peer.offer(large):
        accepted += 1
    assert accepted == outbox_module.OUTBOUND_BYTES >> 20
    woken: list[bool] = []
    peer.waiters.append(lambda: woken.append(True))
    assert len(peer.frames("a", 2 << 20)) == peer_module.WINDOW_BYTES >> 20
    assert not woken  # who is woken may send: the frames before have to be handed over first
    peer.admit()
    assert woken == [True]  # there is room, although without credits no more can be sent now
    peer.received(Frame(source="b", epoch=7, sequence=1, target_epoch=peer.epoch, credited_bytes=4 << 20))
    assert peer.armed
    assert peer.frames("a", 2 << 20)
    assert woken == [True]  # each waiter once


def test_an_ask_that_timed_out_while_it_waited_is_not_sent() -> None:
    owner = Owner()
    peer = Peer("b", owner)
    reply: Reply[None] = Reply("far/x")
    ask = Outgoing(b"ask", HEADER, Envelope(None, reply))
    peer.offer(ask)
    peer.offer(Outgoing(b"tell", HEADER, None))
    reply.expire()
    frames = [Frame.FromString(data) for data in peer.frames("a", 1 << 20)]
    assert [list(frame.envelopes) for frame in frames] == [[b"tell"]]
    assert owner.refused == [ask]
    assert peer.in_flight_bytes == len(b"tell")
