"""What waits for one node: bounded, in order for each agent, and what is paused holds up nobody else."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from covey.framework.address import Address
from covey.framework.cluster import lane as lane_module
from covey.framework.cluster import outbox as outbox_module
from covey.framework.cluster.outbox import Item, Outbox
from covey.framework.cluster.packing import Header, Run
from covey.framework.errors import CoveyError
from tests.framework.peer_ends import numbers_of, outgoing, payload_of

ADDRESSES = [Address("far", key) for key in "xyz"]
ADDRESS = st.sampled_from(ADDRESSES)
SIZE = st.integers(8, 200)
OUTBOUND_BYTES, LANE_BYTES, LANES_BYTES = 2_000, 600, 1_000
LARGEST = 264


class KeptOutbox(Outbox):
    """Keeps what it tells its node."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[int] = []
        self.late: list[int] = []

    def wake(self) -> None:
        self.armed = True

    def crowded(self) -> None:
        self.armed = True

    def refuse(self, item: Item, error: CoveyError) -> None:
        assert str(error)
        self.refused.extend(numbers_of(item))

    def too_late(self, item: Item) -> None:
        self.late.extend(numbers_of(item))


@contextmanager
def small_bounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox_module, "OUTBOUND_BYTES", OUTBOUND_BYTES)
        patch.setattr(lane_module, "LANE_BYTES", LANE_BYTES)
        for module in (lane_module, outbox_module):
            patch.setattr(module, "LANES_BYTES", LANES_BYTES)
        yield


class OutboxMachine(RuleBasedStateMachine):
    """Three senders, each to one agent of the other node; the model is a list for each."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = small_bounds()
        self.patched.__enter__()
        self.outbox = KeptOutbox()
        self.headers = {address: Header(address, "", "shop.Order") for address in ADDRESSES}
        self.number = 0
        self.sent: dict[Address, list[int]] = defaultdict(list)
        """What each sender wants to send, in order."""
        self.left: dict[Address, list[int]] = defaultdict(list)
        """What has left the outbox, in order."""
        self.paused: set[Address] = set()

    def teardown(self) -> None:
        try:
            for address in ADDRESSES:
                self.resume(address)
            for _ in range(1_000):
                self.take(3)
                self.admit()
                if self.left == self.sent:
                    break
            assert self.left == self.sent
            assert (self.outbox.size_bytes, self.outbox.lanes_bytes, self.outbox.lanes) == (0, 0, {})
            assert not self.outbox.refused
        finally:
            self.patched.__exit__(None, None, None)

    @rule(address=ADDRESS, size=SIZE, count=st.integers(1, 5), alone=st.booleans())
    def send(self, address: Address, size: int, count: int, alone: bool) -> None:
        for _ in range(count):
            self.number += 1
            self.sent[address].append(self.number)
            self.offer_or_wait(address, self.number, size, alone)

    def offer_or_wait(self, address: Address, number: int, size: int, alone: bool) -> None:
        header, payload = self.headers[address], payload_of(number, size)
        gate = self.outbox.lanes.get(address, self.outbox)

        def offer() -> bool:
            if alone:
                return gate.offer(outgoing(header, number, size))
            return gate.offer(Run(header, payload)) if waited else gate.offer_tell(header, payload)

        def again() -> None:
            if not offer():
                gate.waiters.appendleft(again)

        waited = False
        if gate.is_waited_for or not offer():
            waited = True
            if gate is self.outbox:
                gate.waiters.append(again)
            else:
                gate.wait_for_room(again)  # type: ignore[union-attr]

    @rule(address=ADDRESS)
    def pause(self, address: Address) -> None:
        self.outbox.pause(address)
        self.paused.add(address)

    @rule(address=ADDRESS)
    def resume(self, address: Address) -> None:
        assert self.outbox.resume(address) == (address in self.paused)
        self.paused.discard(address)

    @rule()
    def resume_all(self) -> None:
        assert self.outbox.resume_all() == bool(self.paused)
        self.paused.clear()

    @rule(count=st.integers(1, 6))
    def take(self, count: int) -> None:
        for _ in range(min(count, len(self.outbox.items))):
            item = self.outbox.take()
            assert item.header.address not in self.paused
            self.left[item.header.address].extend(numbers_of(item))

    @rule(count=st.integers(1, 4))
    def take_and_put_back(self, count: int) -> None:
        items = [self.outbox.take() for _ in range(min(count, len(self.outbox.items)))]
        self.outbox.put_back(items)

    @rule()
    def admit(self) -> None:
        self.outbox.admit()

    @invariant()
    def each_agents_messages_leave_in_the_order_in_which_they_were_sent(self) -> None:
        for address, left in self.left.items():
            assert left == self.sent[address][: len(left)]

    @invariant()
    def what_waits_is_bounded(self) -> None:
        outbox = self.outbox
        assert outbox.size_bytes + outbox.lanes_bytes <= OUTBOUND_BYTES + LANES_BYTES + LARGEST
        for lane in outbox.lanes.values():
            assert lane.paused == (lane.address in self.paused)
            assert lane.size_bytes == sum(item.size_bytes for item in lane.items)
        assert outbox.lanes_bytes == sum(lane.size_bytes for lane in outbox.lanes.values() if lane.paused)
        waiting = sum(map(len, self.sent.values())) - sum(map(len, self.left.values()))
        senders = [waiter for waiter in outbox.waiters if getattr(waiter, "__name__", "") == "again"]
        waiters = len(senders) + sum(len(lane.waiters) for lane in outbox.lanes.values())
        assert outbox.messages_waiting == waiting - waiters


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_nothing_leaves_for_a_paused_agent_and_the_others_are_not_held_up() -> None:
    outbox = KeptOutbox()
    x, y, _ = (Header(address, "", "shop.Order") for address in ADDRESSES)
    for number, header in enumerate([x, y, x, y]):
        outbox.offer(outgoing(header, number))
    outbox.pause(ADDRESSES[0])
    outbox.offer_tell(x, payload_of(4))
    outbox.offer_tell(y, payload_of(5))
    assert [number for item in list(outbox.items) for number in numbers_of(item)] == [1, 3, 5]
    outbox.resume(ADDRESSES[0])
    assert [number for item in list(outbox.items) for number in numbers_of(item)] == [1, 3, 5, 0, 2, 4]


def test_a_paused_agents_senders_wait_at_its_own_bound_while_others_send() -> None:
    with small_bounds():
        outbox = KeptOutbox()
        x, y, _ = (Header(address, "", "shop.Order") for address in ADDRESSES)
        outbox.pause(ADDRESSES[0])
        lane = outbox.lanes[ADDRESSES[0]]
        taken = 0
        while lane.offer_tell(x, payload_of(taken)):
            taken += 1
        assert LANE_BYTES <= lane.size_bytes < LANE_BYTES + LARGEST
        assert outbox.offer_tell(y, payload_of(taken))
        assert outbox.has_room
        assert not lane.has_room
        assert "far/x" in str(lane.full_error())


def test_a_sender_that_waits_at_a_lane_goes_on_when_the_agent_is_resumed() -> None:
    outbox = KeptOutbox()
    outbox.pause(ADDRESSES[0])
    lane = outbox.lanes[ADDRESSES[0]]
    woken: list[str] = []
    lane.wait_for_room(lambda: woken.append("first"))
    lane.wait_for_room(lambda: woken.append("second"))
    outbox.resume(ADDRESSES[0])
    assert outbox.lanes  # it stays until nobody waits there
    outbox.admit()
    assert woken == ["first", "second"]
    assert not outbox.lanes


def test_a_sender_that_was_about_to_wait_when_its_agent_was_resumed_is_not_forgotten() -> None:
    outbox = KeptOutbox()
    outbox.pause(ADDRESSES[0])
    lane = outbox.lanes[ADDRESSES[0]]
    outbox.resume(ADDRESSES[0])
    outbox.admit()
    assert not outbox.lanes
    outbox.armed = False
    woken: list[bool] = []
    lane.wait_for_room(lambda: woken.append(True))
    assert outbox.armed  # a flush is due, which admits it
    outbox.admit()
    assert woken == [True]
    outbox.pause(ADDRESSES[0])
    assert outbox.lanes[ADDRESSES[0]] is lane  # one for each address, as long as a sender holds it


def test_a_sender_that_waited_for_the_node_is_not_overtaken_when_its_agent_is_paused() -> None:
    with small_bounds():
        outbox = KeptOutbox()
        x, y, _ = (Header(address, "", "shop.Order") for address in ADDRESSES)
        while outbox.offer_tell(x, payload_of(0, 200)):
            pass
        outbox.waiters.append(lambda: outbox.offer(outgoing(y, 1)))
        outbox.pause(ADDRESSES[1])
        lane = outbox.lanes[ADDRESSES[1]]
        assert lane.is_waited_for
        lane.wait_for_room(lambda: lane.offer(outgoing(y, 2)))
        outbox.admit()
        assert not lane.items  # there is no room for the first
        while outbox.items:
            outbox.take()
        outbox.admit()
        assert [number for item in lane.items for number in numbers_of(item)] == [1, 2]
        assert not lane.is_waited_for


def test_a_waiter_that_raises_is_not_the_trouble_of_the_next(caplog: pytest.LogCaptureFixture) -> None:
    outbox = KeptOutbox()
    woken: list[bool] = []

    def fail() -> None:
        raise ValueError("as told")

    outbox.waiters.extend([fail, lambda: woken.append(True)])
    outbox.admit()
    assert woken == [True]
    assert "as told" in caplog.text


def test_what_comes_after_the_end_goes_elsewhere_and_what_waited_is_given_back_in_order() -> None:
    outbox = KeptOutbox()
    x, y, _ = (Header(address, "", "shop.Order") for address in ADDRESSES)
    outbox.offer_tell(x, payload_of(1))
    outbox.pause(ADDRESSES[1])
    for number in (2, 3):
        outbox.offer_tell(y, payload_of(number))
    left = outbox.close()
    assert [number for item in left for number in numbers_of(item)] == [1, 2, 3]
    assert outbox.offer_tell(x, payload_of(4))
    assert outbox.offer(outgoing(y, 5))
    assert outbox.late == [4, 5]
    assert (outbox.size_bytes, outbox.lanes_bytes) == (0, 0)


def test_threads_put_while_the_loop_takes_pauses_and_resumes_and_nothing_is_lost_or_out_of_order() -> None:
    outbox = KeptOutbox()
    each = 3_000
    begin = threading.Barrier(len(ADDRESSES) + 1)

    def put(place: int) -> None:
        header = Header(ADDRESSES[place], "", "shop.Order")
        begin.wait(5)
        for number in range(each):
            while not outbox.offer_tell(header, payload_of(number)):
                pass

    threads = [threading.Thread(target=put, args=(place,)) for place in range(len(ADDRESSES))]
    for thread in threads:
        thread.start()
    begin.wait(5)
    left: dict[Address, list[int]] = defaultdict(list)
    turns = 0
    while any(thread.is_alive() for thread in threads) or outbox.items or outbox.lanes:
        turns += 1
        address = ADDRESSES[turns % len(ADDRESSES)]
        if turns % 2 and any(thread.is_alive() for thread in threads):
            outbox.pause(address)
        else:
            outbox.resume_all()
        for _ in range(len(outbox.items)):
            item = outbox.take()
            left[item.header.address].extend(numbers_of(item))
        outbox.admit()
    for thread in threads:
        thread.join(5)
    assert left == {address: list(range(each)) for address in ADDRESSES}
