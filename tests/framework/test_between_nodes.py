"""What goes between two nodes keeps its order, under pressure too, and nothing vanishes without a word."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from covey import (
    Agent,
    AgentRef,
    Child,
    ConfigurationError,
    Mailbox,
    NotSerializableError,
    Supervisor,
    Swarm,
    handles,
    message,
    subscribes,
)
from covey.framework.address import Address
from covey.framework.cluster import registry
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Beacon
from covey.transports import EmbeddedServer, MemoryHub, MemoryTransport
from tests.framework.waiting import eventually


@message
class Load:
    number: int
    data: bytes = b""


@message
class Taken:
    numbers: list[int]


class Gated(Agent):
    """Handles nothing until its gate is open."""

    dispatcher = "thread"
    mailbox = Mailbox(capacity=2)
    gate = threading.Event()
    numbers: list[int] = []

    @handles
    def take(self, load: Load) -> Load:
        self.gate.wait(30)
        self.numbers.append(load.number)
        return Load(number=load.number)


class Guarded(Agent):
    """Is started by supervisors only."""

    @handles
    def answer(self, load: Load) -> Load:
        return load


class Hearer(Agent):
    """Keeps what it hears."""

    heard: list[Any] = []

    @handles
    def here(self, load: Load) -> Load:
        return load

    @subscribes("news.*")
    def note_load(self, load: Load) -> None:
        self.heard.append(load)

    @subscribes("things.*")
    def note(self, thing: object) -> None:
        self.heard.append(thing)


class Recorded(MemoryTransport):
    """Keeps the beacons that its node sends."""

    def __init__(self, hub: MemoryHub, beacons: list[Beacon]) -> None:
        super().__init__(hub)
        self._beacons = beacons

    def broadcast(self, beacon: bytes) -> None:
        self._beacons.append(Beacon.FromString(beacon))
        super().broadcast(beacon)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    Gated.gate.clear()
    Gated.numbers.clear()
    Hearer.heard.clear()
    yield
    Gated.gate.set()


def node(hub: MemoryHub, name: str, *hosts: type[Agent], beacons: list[Beacon] | None = None) -> Swarm:
    kept: list[Beacon] = [] if beacons is None else beacons
    return Swarm("pair", transport=lambda: Recorded(hub, kept), hosts=hosts, node=name, trace_ratio=0.0)


def bound_ref(swarm: Swarm, kind: str, key: str, node_name: str) -> AgentRef:
    """What a ref to an agent spawned on another node is, once it has come here."""
    return AgentRef(swarm._running, Address(kind, key), None, node_name)


def waiting_senders(swarm: Swarm, node_name: str) -> int:
    """How many wait for room towards a node, or towards one address there."""
    peer = swarm._running.outbound.peer(node_name)
    return len(peer.waiters) + sum(len(lane.waiters) for lane in tuple(peer.lanes.values()))


def test_asks_that_find_no_room_towards_a_node_are_answered_in_the_order_they_were_made() -> None:
    hub = MemoryHub()
    with node(hub, "far", Gated) as far, node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        assert far.wait_for_nodes(2)
        ref = near.agent(Gated, "x")
        # Of every two the small one would fit where the large one before it has to wait.
        asks = [ref.ask(Load(n, bytes(700_000 if n % 2 == 0 else 10)), timeout=30) for n in range(60)]
        eventually(lambda: waiting_senders(near, "far") > 0)
        Gated.gate.set()
        assert [ask.get(30).number for ask in asks] == list(range(60))
        assert Gated.numbers == list(range(60))
        assert near._running.outbound.asks_in_flight == 0


def test_a_small_tell_does_not_overtake_an_ask_that_waits_for_room() -> None:
    hub = MemoryHub()
    with node(hub, "far", Gated), node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        ref = near.agent(Gated, "x")
        asks = [ref.ask(Load(n, bytes(900_000)), timeout=30) for n in range(20)]
        opener = threading.Timer(0.05, Gated.gate.set)
        opener.start()
        ref.tell(Load(20))  # blocks this thread until it is its turn
        for ask in asks:
            ask.get(30)
        eventually(lambda: len(Gated.numbers) == 21, 10.0)
        assert Gated.numbers == list(range(21))
        opener.join()


def test_a_stop_keeps_its_place_behind_earlier_tells_to_another_node() -> None:
    hub = MemoryHub()
    with node(hub, "far") as far, node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        for attempt in range(5):
            Gated.numbers.clear()
            Gated.gate.clear()
            far.spawn(Gated, f"x{attempt}")
            ref = bound_ref(near, "gated", f"x{attempt}", "far")
            for number in range(50):  # most of them wait for room in the mailbox over there
                ref.tell(Load(number))
            stopped = ref.stop()
            Gated.gate.set()
            stopped.get(10)
            assert Gated.numbers == list(range(50))
        assert not far.dead_letters().counts
        assert not near.dead_letters().counts


def test_a_large_registry_travels_apart_from_the_hellos_and_its_agents_are_found() -> None:
    hub, beacons = MemoryHub(max_frame_bytes=64 * 1024), []
    keys = [f"{number:04d}{'k' * 200}" for number in range(1_000)]
    with node(hub, "far", beacons=beacons) as far, node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        far.supervise(Supervisor([Child(Guarded, key) for key in keys]))
        eventually(lambda: len(near.nodes()[0].registered) == 1_000)
        assert near.agent("guarded", keys[-1]).ask(Load(3), timeout=5).get() == Load(3)
        with node(hub, "late") as late:  # it was not there when the registry was told
            assert late.wait_for_nodes(3)
            eventually(lambda: len(late.nodes()[0].registered) == 1_000)
            assert late.agent("guarded", keys[0]).ask(Load(4), timeout=5).get() == Load(4)
        before = len(beacons)
        eventually(lambda: len(beacons) >= before + 4)
        assert max(beacon.ByteSize() for beacon in beacons if beacon.HasField("hello")) < 200
        parts = [beacon for beacon in beacons[before:] if beacon.HasField("registry")]
        assert not parts  # nothing has changed and nobody asked
        assert near.wait_for_nodes(2, timeout=0)


def test_a_registry_that_was_lost_is_asked_for() -> None:
    hub = MemoryHub()
    with node(hub, "far") as far, node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        far.supervise(Supervisor([Child(Guarded, "x")]))
        eventually(lambda: near.nodes()[0].registered == {"guarded/x"})
        near._running.dispatcher.call(near._running.presence.registration.forget, "far")
        near._running.dispatcher.call(
            near._running.presence._members.goodbye, "far", near.nodes()[0].incarnation
        )
        eventually(lambda: len(near.nodes()) == 2 and near.nodes()[0].registered == {"guarded/x"})


def test_a_registry_that_is_too_large_is_refused_before_a_child_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "MAX_REGISTERED", 2)
    with node(MemoryHub(), "far") as far:
        with pytest.raises(ConfigurationError, match="3 supervised agents on one node are too many"):
            far.supervise(Supervisor([Child(Guarded, key) for key in "abc"]))
        assert not len(far._running.directory)


def test_the_address_of_a_supervised_agent_that_ended_for_good_is_free_on_every_node() -> None:
    hub = MemoryHub()
    with node(hub, "far") as far, node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        far.supervise(Supervisor([Child(Guarded, "x", restart="transient")]))
        eventually(lambda: near.nodes()[0].registered == {"guarded/x"})
        near.agent("guarded", "x").stop().get(5)
        eventually(lambda: near.nodes()[0].registered == frozenset())
        assert near.spawn(Guarded, "x").ask(Load(1), timeout=5).get() == Load(1)


def test_tells_while_the_server_is_down_become_dead_letters_when_their_node_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with EmbeddedServer() as server:
        far = Swarm.connect(server.url, name="down", node="far", hosts=[Hearer], trace_ratio=0.0)
        near = Swarm.connect(server.url, name="down", node="near", trace_ratio=0.0)
        with far:
            with near, caplog.at_level(logging.WARNING, "covey.node"):
                assert near.wait_for_nodes(2)
                ref = near.agent(Hearer, "x")
                assert ref.ask(Load(1), timeout=5).get() == Load(1)
                server.stop()
                eventually(lambda: "node near: link down" in caplog.text)
                for number in range(50):
                    ref.tell(Load(number))
                letters = near.dead_letters()
            assert letters.counts == {"no link": 50}
            assert "50 messages were not sent" in caplog.text


def test_tells_while_the_link_is_down_arrive_once_it_is_back() -> None:
    hub = MemoryHub()
    with node(hub, "far", Gated), node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        Gated.gate.set()
        ref = near.agent(Gated, "x")
        ref.ask(Load(0), timeout=5).get()
        near._running.dispatcher.call(near._running.on_link, False, "for the test")
        for number in range(1, 20):
            ref.tell(Load(number))
        answer = ref.ask(Load(20), timeout=5)
        eventually(lambda: near._running.outbound.peer("far").waiting == 20)
        near._running.dispatcher.call(near._running.on_link, True, "for the test")
        answer.get(5)
        assert Gated.numbers == list(range(21))


def test_a_type_is_described_before_its_first_publication_and_again_when_somebody_has_joined() -> None:
    hub, beacons = MemoryHub(), []

    def described() -> int:
        types = [schema.type for beacon in beacons for schema in beacon.schemas.schemas]
        return types.count(codec.type_name(Load))

    with node(hub, "near", beacons=beacons) as near:
        near.publish("news.tea", Load(0))
        eventually(lambda: described() == 1)  # whoever is there, a client perhaps
        with node(hub, "far", Hearer) as far:
            assert near.wait_for_nodes(2)
            assert far.wait_for_nodes(2)
            assert near.agent(Hearer, "x").ask(Load(1), timeout=5).get() == Load(1)
            for number in range(1, 4):
                near.publish("news.tea", Load(number))
            eventually(lambda: len(Hearer.heard) == 3)
            assert described() == 2
            with node(hub, "late"):
                assert near.wait_for_nodes(3)
                near.publish("news.tea", Load(4))
                eventually(lambda: len(Hearer.heard) == 4)
                assert described() == 3
        assert Hearer.heard == [Load(number) for number in range(1, 5)]


def test_any_object_is_published_within_a_process_and_only_messages_where_others_may_hear() -> None:
    thing = {"not": "a message"}
    with Swarm.local(hosts=[Hearer], trace_ratio=0.0) as local:
        local.agent(Hearer, "x").ask(Load(1), timeout=5).get()
        local.publish("things.odd", thing)
        eventually(lambda: Hearer.heard == [thing])
    with node(MemoryHub(), "near", Hearer) as near:
        near.agent(Hearer, "x").ask(Load(1), timeout=5).get()
        with pytest.raises(NotSerializableError):
            near.publish("things.odd", thing)
        near.publish("things.odd", Load(2))
        eventually(lambda: len(Hearer.heard) == 2)
        assert Hearer.heard == [thing, Load(2)]


class Moving(Agent):
    """Holds its first message until the gate is open, and says where it lives."""

    dispatcher = "thread"

    @handles
    def hold(self, load: Taken) -> None:
        Gated.gate.wait(30)

    @handles
    def answer(self, load: Load) -> Load:
        Gated.numbers.append(load.number)
        return Load(number=load.number, data=threading.current_thread().name.encode())


def test_what_comes_behind_the_stop_of_an_agent_that_moves_goes_after_it() -> None:
    hub = MemoryHub()
    with node(hub, "near", Moving) as near:
        refs = [near.agent(Moving, f"k{number}") for number in range(20)]
        for ref in refs:
            ref.tell(Taken(numbers=[]))
        with node(hub, "far", Moving) as far:
            assert far.wait_for_nodes(2)
            assert near.wait_for_nodes(2)
            locate = near._running.presence.locate
            moving = [ref for ref in refs if locate(Address("moving", ref.key), "") == "far"]
            assert moving
            cells = {cell.address.key: cell for cell in near._running.directory.cells}
            eventually(lambda: all(cells[ref.key].mail for ref in moving))  # the stop
            asks = []
            for ref in moving:
                ref.tell(Load(1))
                asks.append(ref.ask(Load(2), timeout=10))
            Gated.gate.set()
            assert {ask.get(10).data[:10] for ask in asks} == {b"covey-far-"}
            assert sorted(Gated.numbers) == [1] * len(moving) + [2] * len(moving)
        assert not near.dead_letters().counts
