"""The link between two nodes as a state machine: every message arrives once, or is refused once.

Two peers, `a` and `b`, over two channels that lose frames, bring them twice, or find nobody who listens. Both
send tells, asks, answers and large envelopes; agents shut and open their mailboxes.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covey.framework.address import Address
from covey.framework.cluster import incoming, lane, outbox
from covey.framework.cluster.framing import FRAME_OVERHEAD_BYTES
from covey.framework.cluster.packing import Header, pack_payload
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply
from tests.framework.peer_ends import End, outgoing, payload_of

FRAME_LIMIT_BYTES = 400 + FRAME_OVERHEAD_BYTES
WINDOW_BYTES = 1_000
SMALL, LARGE = 300, 1_200
OUTBOUND_BYTES, LANES_BYTES = 2_000, 900
KEYS = ("x", "y", "ü" * 40)
HEADERS = tuple(Header(Address("far", key), "", "shop.Order") for key in KEYS)
BOUNDS: tuple[tuple[Any, str, int], ...] = (
    (outbox, "OUTBOUND_BYTES", OUTBOUND_BYTES),
    (lane, "LANE_BYTES", 500),
    (lane, "LANES_BYTES", LANES_BYTES),
    (outbox, "LANES_BYTES", LANES_BYTES),
    (incoming, "REPORT_BYTES", 250),
    (incoming, "LOST_IN_FRAME", 2),
)
WAY = st.sampled_from([0, 1])
HEADER = st.sampled_from(HEADERS)


class LinkMachine(RuleBasedStateMachine):
    """Frames that arrive do so in their order, as over NATS."""

    in_order = True

    def __init__(self) -> None:
        super().__init__()
        self.bounds = [(module, name, getattr(module, name)) for module, name, _ in BOUNDS]
        for module, name, value in BOUNDS:
            setattr(module, name, value)
        self.number = 0
        self.ends = [End("a", WINDOW_BYTES), End("b", WINDOW_BYTES)]
        self.channels: tuple[deque[tuple[bytes, int]], ...] = (deque(), deque())
        """Frames from an end to the other."""
        self.notices: tuple[deque[int], ...] = (deque(), deque())
        """Numbers of frames from an end that reached nobody."""
        self.listening = [True, True]
        self.accepted: tuple[dict[int, str], ...] = ({}, {})
        """Numbers and addresses of what an end has taken to send, in order; answers have no address."""
        self.asks: tuple[list[Reply[Any]], ...] = ([], [])

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            for module, name, value in self.bounds:
                setattr(module, name, value)

    def next_number(self) -> int:
        self.number += 1
        return self.number

    # -- what nodes do -----------------------------------------------------------------------------

    @rule(way=WAY, header=HEADER, size=st.integers(8, SMALL), count=st.integers(1, 6))
    def tell(self, way: int, header: Header, size: int, count: int) -> None:
        for _ in range(count):
            number = self.next_number()
            address = str(header.address)
            self.ends[way].send(header, number, size, lambda n, a=address: self.accept(way, n, a))

    def accept(self, way: int, number: int, address: str) -> None:
        assert number not in self.accepted[way]
        self.accepted[way][number] = address

    @rule(way=WAY, header=HEADER, size=st.sampled_from([8, SMALL, LARGE]))
    def ask(self, way: int, header: Header, size: int) -> None:
        number, reply = self.next_number(), Reply[Any](str(header.address))
        gate = self.ends[way].peer.gate(header.address)
        if not gate.is_waited_for and gate.offer(outgoing(header, number, size, reply)):
            self.accept(way, number, str(header.address))
            self.asks[way].append(reply)

    @precondition(lambda self: any(self.asks))
    @rule(way=WAY, which=st.integers(0, 100))
    def an_asker_gives_up(self, way: int, which: int) -> None:
        if self.asks[way]:
            self.asks[way].pop(which % len(self.asks[way])).expire()

    @rule(way=WAY, size=st.sampled_from([8, SMALL, LARGE]), count=st.integers(1, 4))
    def answer(self, way: int, size: int, count: int) -> None:
        for _ in range(count):
            number = self.next_number()
            self.accept(way, number, "")
            data = WireEnvelope(kind=WireEnvelope.REPLY).SerializeToString() + pack_payload(
                payload_of(number, size)
            )
            self.ends[way].peer.send_urgent(data, "shop.Quote")

    @rule(way=WAY, header=HEADER)
    def a_mailbox_is_full(self, way: int, header: Header) -> None:
        self.ends[way].shut.add(str(header.address))

    @rule(way=WAY, header=HEADER)
    def a_mailbox_has_room(self, way: int, header: Header) -> None:
        self.ends[way].open(str(header.address))

    @rule(way=WAY, count=st.integers(0, 10))
    def credits_are_held_back(self, way: int, count: int) -> None:
        self.ends[way].withholding = True
        self.ends[way].take(count)

    @rule(way=WAY)
    def turn(self, way: int) -> None:
        self.send(way, self.ends[way].flush(FRAME_LIMIT_BYTES))

    @rule(way=WAY)
    def tick(self, way: int) -> None:
        frame = self.ends[way].peer.tick()
        if frame is not None:
            self.send(way, [frame])

    @rule(way=WAY)
    def ping(self, way: int) -> None:
        self.send(way, [self.ends[way].peer.ping()])

    @rule()
    def a_quiet_moment(self) -> None:
        """Each end hears of the other, and nothing is lost."""
        for way in (0, 1):
            self.ping(way)
        self.exchange()

    # -- what happens on the way -------------------------------------------------------------------

    def send(self, way: int, frames: list[tuple[bytes, int]]) -> None:
        for data, number in frames:
            assert len(data) <= FRAME_LIMIT_BYTES
            if self.listening[1 - way]:
                self.channels[way].append((data, number))
            else:
                self.notices[way].append(number)

    @precondition(lambda self: any(self.channels))
    @rule(way=WAY, count=st.integers(1, 5))
    def arrive(self, way: int, count: int) -> None:
        for _ in range(min(count, len(self.channels[way]))):
            self.ends[1 - way].receive(self.channels[way].popleft()[0])

    @precondition(lambda self: any(self.channels))
    @rule(way=WAY)
    def lose(self, way: int) -> None:
        if self.channels[way]:
            self.channels[way].popleft()

    @precondition(lambda self: any(self.channels))
    @rule(way=WAY, place=st.integers(0, 5))
    def arrive_and_come_again(self, way: int, place: int) -> None:
        channel = self.channels[way]
        if channel:
            frame = channel.popleft()
            channel.insert(place, frame)
            self.ends[1 - way].receive(frame[0])

    @rule(way=WAY, fates=st.lists(st.sampled_from(["arrives", "is lost"]), min_size=1, max_size=6))
    def a_turn_on_a_bad_link(self, way: int, fates: list[str]) -> None:
        self.tick(way)
        self.turn(way)
        for fate in fates:
            if fate == "arrives":
                self.arrive(way, 1)
            else:
                self.lose(way)

    @rule(way=WAY)
    def nobody_listens(self, way: int) -> None:
        self.listening[1 - way] = False

    @precondition(lambda self: any(self.notices))
    @rule(way=WAY, count=st.integers(1, 5))
    def come_back(self, way: int, count: int) -> None:
        for _ in range(min(count, len(self.notices[way]))):
            self.ends[way].peer.returned(self.notices[way].popleft())

    @precondition(lambda self: any(self.notices))
    @rule(way=WAY)
    def lose_notice(self, way: int) -> None:
        if self.notices[way]:
            self.notices[way].popleft()

    @rule(way=WAY)
    def listens_again_and_says_hello(self, way: int) -> None:
        self.listening[1 - way] = True
        self.ends[way].peer.reachable()

    # -- what holds --------------------------------------------------------------------------------

    @invariant()
    def bytes_in_flight_stay_within_the_window(self) -> None:
        for way, end in enumerate(self.ends):
            # The last envelope that still fits may stick out of the window, and answers do.
            answers = SMALL + LARGE + sum(1 for address in self.accepted[way].values() if not address) * LARGE
            assert -1 < end.peer.in_flight_bytes <= WINDOW_BYTES + answers

    @invariant()
    def queues_are_bounded(self) -> None:
        for end in self.ends:
            peer = end.peer
            queues = [peer, *peer.lanes.values()]
            for queue in queues:
                assert queue.size_bytes == sum(item.size_bytes for item in queue.items)
            # What was withdrawn, and what was resumed, may stick out of the bounds.
            most = OUTBOUND_BYTES + LANES_BYTES + WINDOW_BYTES + 3 * LARGE
            assert peer.size_bytes + peer.lanes_bytes <= most
            assert peer.lanes_bytes == sum(lane.size_bytes for lane in peer.lanes.values() if lane.paused)

    @invariant()
    def nothing_comes_twice_or_is_refused_twice(self) -> None:
        for way, end in enumerate(self.ends):
            fates = self.fates(way)
            assert all(count == 1 for count in fates.values()), fates
            assert not end.owner.late

    def fates(self, way: int) -> Counter[int]:
        """How often each message of an end was delivered or refused."""
        there, here = self.ends[1 - way], self.ends[way]
        fates: Counter[int] = Counter()
        for numbers in (*there.got.values(), *there.parked.values()):
            fates.update(numbers)
        fates.update(number for number, _reason in here.owner.refused)
        return fates

    @invariant()
    def each_agent_gets_its_messages_in_the_order_in_which_they_were_taken(self) -> None:
        for way, accepted in enumerate(self.accepted):
            place = {number: at for at, number in enumerate(accepted)}
            for address, numbers in self.ends[1 - way].got.items():
                places = [place[number] for number in numbers]
                assert not address or not self.in_order or places == sorted(places)

    # -- the end -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """From now on nothing goes wrong: all that waits must arrive within a few ticks."""
        for end in self.ends:
            end.withholding = False
            for header in HEADERS:
                end.open(str(header.address))
        for way in (0, 1):
            self.come_back(way, len(self.notices[way]))
        for _ in range(30):
            for way in (0, 1):
                self.listens_again_and_says_hello(way)
                self.tick(way)
                self.ends[way].take(len(self.ends[way].untaken))
            self.exchange()
            if not any(end.peer.waiting or end.peer._sent for end in self.ends):
                break
        for _ in range(3):
            for way in (0, 1):
                self.ping(way)
            self.exchange()
        self.everything_is_settled()

    def exchange(self) -> None:
        for _ in range(200):
            for way in (0, 1):
                self.turn(way)
                self.arrive(way, len(self.channels[way]))
            if not any(self.channels) and not any(end.peer.armed for end in self.ends):
                return
        raise AssertionError("the ends have something to say for ever")

    def everything_is_settled(self) -> None:
        for way, end in enumerate(self.ends):
            peer = end.peer
            assert (peer.waiting, peer.in_doubt, peer.in_flight_bytes, peer.silent) == (0, 0, 0, False)
            assert self.ends[1 - way].peer.incoming._taken_bytes == peer._sent_bytes
            assert not peer.waiters
            assert not peer.lanes
            assert not peer.items
            assert peer.size_bytes == peer.lanes_bytes == 0
            missing = set(self.accepted[way]) - set(self.fates(way))
            # A large envelope whose parts overtake each other is a dead letter of its receiver.
            assert len(missing) <= (0 if self.in_order else len(self.ends[1 - way].broken)), missing
        self.nothing_comes_twice_or_is_refused_twice()
        self.each_agent_gets_its_messages_in_the_order_in_which_they_were_taken()
