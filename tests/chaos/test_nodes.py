"""Nodes and servers that die: real processes, a real nats-server, SIGKILL."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    AgentRef,
    AskTimeoutError,
    CoveyError,
    Mailbox,
    MailboxFullError,
    SchemaChangedError,
    Swarm,
    handles,
)
from covey.framework.address import Address
from covey.framework.cluster.lane import LANE_BYTES
from covey.framework.cluster.membership import GONE_AFTER_S
from covey.framework.cluster.peer import OUTBOUND_BYTES, WINDOW_BYTES
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.transports import EmbeddedServer
from tests.conformance.far_agents import Far
from tests.conformance.shared_messages import Add, Crash, Hold, ListNumbers, Noted, Numbers, Refuse, Where
from tests.conformance.swarms import far_keys, node_process, until
from tests.conformance.transports import free_port

FAR = "tests.conformance.far_agents:Far"
NOTICED_WITHIN_S = GONE_AFTER_S + 1.5


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def connect(server: EmbeddedServer, swarm: str, node: str, *hosts: type[Agent]) -> Swarm:
    return Swarm.connect(server.url, name=swarm, node=node, hosts=hosts, trace_ratio=0.0)


def test_a_killed_node_fails_its_pending_asks_and_its_agents_answer_on_a_survivor(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with (
        connect(server, "killed", "near", Far) as near,
        node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "killed", "--name", "victim") as victim,
    ):
        assert near.wait_for_nodes(2)
        *keys, witness = far_keys(near, "victim", 6)
        pids = {near.agent("far", key).ask(Where(), timeout=5).get().pid for key in keys}
        assert pids == {victim.process.pid}
        holding = [near.agent("far", key).ask(Hold(seconds=60.0), timeout=60) for key in keys]
        near.agent("far", witness).ask(Where(), timeout=5).get()  # so they are there, or would be asked again
        victim.process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        for reply in holding:
            with pytest.raises(AgentDeadError, match="victim is gone"):
                reply.get(NOTICED_WITHIN_S)
        assert time.monotonic() - killed_at < NOTICED_WITHIN_S
        assert [near.agent("far", key).ask(Where(), timeout=5).get().pid for key in keys] == [os.getpid()] * 5


def test_what_was_not_sent_yet_goes_to_the_survivor_or_becomes_a_dead_letter(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with (
        connect(server, "queued", "near", Far) as near,
        node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "queued", "--name", "victim") as victim,
    ):
        assert near.wait_for_nodes(2)
        key = far_keys(near, "victim", 1)[0]
        far = near.agent("far", key)
        far.ask(Add(number=-1), timeout=5).get()
        os.kill(victim.process.pid, signal.SIGSTOP)  # it takes nothing any more: credits run out
        text = "x" * 100_000
        peer = near._running.outbound.peer("victim")
        count = 0
        try:
            while count < 120:
                far.tell(Crash(text=text))
                count += 1
                if peer.in_flight_bytes >= WINDOW_BYTES and peer.waiting > 20:
                    break
        finally:
            os.kill(victim.process.pid, signal.SIGKILL)
        assert peer.waiting > 20
        until(lambda: len(near.nodes()) == 1, NOTICED_WITHIN_S, "noticing the death")
        # The survivor's own agent gets what was not sent and crashes at each, until its supervisor gives up
        # on it. What was sent and not confirmed may have been handled: each of the others is told of, once.
        until(lambda: len(near.dead_letters()) + peer.in_doubt >= count, 5.0, "all being accounted for")
        assert len(near.dead_letters()) + peer.in_doubt == count
        assert peer.in_doubt < count - 20
        assert near.dead_letters().counts["failed"] > 0
        assert near.agent("far", "other").ask(Where(), timeout=5).get().pid == os.getpid()


def test_what_a_client_told_an_agent_goes_on_to_where_the_agent_lives_after_its_node_has_died(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with (
        connect(server, "passed", "near", Far) as near,
        node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "passed", "--name", "victim") as victim,
    ):
        assert near.wait_for_nodes(2)
        full, key = far_keys(near, "victim", 2)
        near.agent("far", full).ask(Add(number=-1), timeout=5).get()
        os.kill(victim.process.pid, signal.SIGSTOP)
        outbound = near._running.outbound
        peer = outbound.peer("victim")
        try:
            for _ in range(60):
                near.agent("far", full).tell(Noted(topic="", text="x" * 100_000))
            until(lambda: peer.in_flight_bytes >= WINDOW_BYTES and peer.waiting, what="credits running out")
            for number in range(3):
                type_name, payload = outbound.encode(Add(number=number))
                told = WireEnvelope(type=type_name, payload=payload)
                near._running.dispatcher.call(partial(outbound.pass_on, Address("far", key), told, None))
        finally:
            os.kill(victim.process.pid, signal.SIGKILL)
        until(lambda: len(near.nodes()) == 1, NOTICED_WITHIN_S, "noticing the death")
        far = near.agent("far", key)
        until(lambda: far.ask(ListNumbers(), timeout=5).get().values == [0, 1, 2], 5.0, "what was passed on")


def test_a_node_that_says_goodbye_is_gone_at_once(server: EmbeddedServer) -> None:
    with connect(server, "goodbye", "near") as near:
        with connect(server, "goodbye", "far", Far):
            assert near.wait_for_nodes(2)
            assert near.agent("far", "x").ask(Where(), timeout=5).get().key == "x"
        until(lambda: len(near.nodes()) == 1, GONE_AFTER_S / 4, "the goodbye")


def test_a_placed_agent_moves_to_a_node_that_joins_and_is_found_there(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with connect(server, "moving", "near", Far) as near:
        for number in range(200):
            near.agent("far", f"k{number}").tell(Add(number=number))
        with node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "moving", "--name", "joins") as far:
            assert near.wait_for_nodes(2)
            where = {near.agent("far", f"k{n}").ask(Where(), timeout=5).get().pid for n in range(200)}
            assert where == {os.getpid(), far.process.pid}
            theirs = far_keys(near, "joins", 200)
            local = {cell.address.key for cell in near._running.directory.cells}
            until(
                lambda: (
                    not local & set(theirs)
                    or not {c.address.key for c in near._running.directory.cells} & set(theirs)
                ),
                what="the old activations' end",
            )


def test_a_second_node_of_one_name_is_refused_and_the_first_lives_on(server: EmbeddedServer) -> None:
    with connect(server, "names", "near") as near, connect(server, "names", "far", Far):
        assert near.wait_for_nodes(2)
        with pytest.raises(AddressInUseError, match="node name 'far'"):
            connect(server, "names", "far", Far).start()
        assert near.agent("far", "x").ask(Where(), timeout=5).get().key == "x"
        assert [peer.name for peer in near.nodes()] == ["far", "near"]


def test_of_two_nodes_of_one_name_that_start_at_once_one_gets_it(server: EmbeddedServer) -> None:
    swarms = [connect(server, "race", "twin", Far) for _ in range(2)]
    errors: list[CoveyError] = []

    def start(swarm: Swarm) -> None:
        try:
            swarm.start()
        except CoveyError as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(swarm,)) for swarm in swarms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for swarm in swarms:
        swarm.stop()
    assert [type(error) for error in errors] == [AddressInUseError]


def test_a_name_is_free_again_after_its_node_was_killed(server: EmbeddedServer, tmp_path: Path) -> None:
    arguments = (FAR, "--nats", server.url, "--swarm", "again", "--name", "phoenix")
    with connect(server, "again", "near") as near, node_process(tmp_path, *arguments) as first:
        assert near.wait_for_nodes(2)
        assert near.agent("far", "x").ask(Where(), timeout=5).get().pid == first.process.pid
        pending = near.agent("far", "x").ask(Hold(seconds=60), timeout=60)
        near.agent("far", "witness").ask(Where(), timeout=5).get()  # so it is there
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(5)
        with node_process(tmp_path, *arguments) as second:
            assert second.line.startswith("node phoenix")
            with pytest.raises(AgentDeadError, match="phoenix is gone"):
                pending.get(NOTICED_WITHIN_S)
            assert near.agent("far", "x").ask(Where(), timeout=5).get().pid == second.process.pid


def test_the_swarm_comes_back_after_the_server_was_restarted(tmp_path: Path) -> None:
    with (
        EmbeddedServer(port=free_port()) as server,
        connect(server, "restart", "near") as near,
        node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "restart", "--name", "far") as far,
    ):
        assert near.wait_for_nodes(2)
        ref = near.agent("far", "x")
        ref.ask(Add(number=1), timeout=5).get()
        server.stop()
        down_since = time.monotonic()
        with pytest.raises(AskTimeoutError):
            ref.ask(Where(), timeout=GONE_AFTER_S + 0.7).get()
        assert time.monotonic() - down_since > GONE_AFTER_S
        assert len(near.nodes()) == 2  # nobody is gone only because we are deaf
        server.start()

        def answers() -> bool:
            try:
                return ref.ask(Where(), timeout=0.5).get().pid == far.process.pid
            except CoveyError:
                return False

        until(answers, 10.0, "an answer after the restart")
        assert ref.ask(ListNumbers(), timeout=5).get().values == [1]
        assert len(near.nodes()) == 2


CHANGED = """
from covey import Agent, handles, message

@message(name="chaos.Order")
class Order:
    amount: str

class Shop(Agent):
    @handles
    def order(self, order: Order) -> Order:
        return order
"""


def test_a_type_that_two_processes_define_differently_is_refused_with_the_difference(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covey import message

    @message(name="chaos.Order")
    class Order:
        amount: int

    (tmp_path / "changed_shop.py").write_text(CHANGED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        connect(server, "changed", "near") as near,
        node_process(tmp_path, "changed_shop", "--nats", server.url, "--swarm", "changed", "--name", "far"),
    ):
        assert near.wait_for_nodes(2)
        with pytest.raises(SchemaChangedError) as caught:
            near.agent("shop", "x").ask(Order(amount=3), timeout=5).get()
        assert caught.value.message_type == "chaos.Order"
        assert any("amount" in difference for difference in caught.value.differences)


class Gated(Agent):
    """Handles nothing until its gate is open."""

    dispatcher = "thread"
    mailbox = Mailbox(capacity=4)
    gate = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    @handles
    def take(self, order: Refuse) -> None:
        self.gate.wait(30)
        self.texts.append(order.text)

    @handles
    def count(self, question: ListNumbers) -> Numbers:
        return Numbers(values=[int(text[:8]) for text in self.texts])


def test_a_mailbox_that_stays_full_over_there_slows_the_sender_down_and_loses_nothing(
    server: EmbeddedServer,
) -> None:
    near = Swarm.connect(server.url, name="gated", node="near", ask_timeout_s=0.3, trace_ratio=0.0)
    Gated.gate.clear()
    with connect(server, "gated", "far", Gated), near:
        assert near.wait_for_nodes(2)
        gated = near.agent(Gated, "x")
        sent = 0

        def send_until_refused() -> None:
            nonlocal sent
            while sent < 3_000:
                gated.tell(Refuse(text=f"{sent:08d}".ljust(10_000, ".")))
                sent += 1

        try:
            with pytest.raises(MailboxFullError, match="gated/x is full") as caught:
                send_until_refused()
            assert caught.value.waiting_bytes > LANE_BYTES
            kept_bytes = sent * 10_000
            assert WINDOW_BYTES < kept_bytes < 1.1 * (WINDOW_BYTES + OUTBOUND_BYTES)
            assert near.dead_letters().counts == {"mailbox full": 1}
        finally:
            Gated.gate.set()
        assert gated.ask(ListNumbers(), timeout=20).get().values == list(range(sent))


def test_a_ref_to_a_spawned_agent_reaches_it_from_another_node_and_no_placed_one_instead(
    server: EmbeddedServer,
) -> None:
    with connect(server, "bound", "far", Far) as far, connect(server, "bound", "near", Far) as near:
        assert near.wait_for_nodes(2)
        spawned = far.spawn(Far, "spawned")
        ref = AgentRef(near._running, Address("far", "spawned"), None, "far")
        assert ref.ask(Add(number=7), timeout=5).get() is None
        assert spawned.ask(ListNumbers(), timeout=5).get().values == [7]
        spawned.stop().get(5)
        with pytest.raises(AgentDeadError):
            ref.ask(ListNumbers(), timeout=5).get()
        gone = AgentRef(near._running, Address("far", "spawned"), None, "never-there")
        with pytest.raises(AgentDeadError, match="never-there"):
            gone.ask(ListNumbers(), timeout=5).get()


class Heavy(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.kept = bytearray(1 << 20)

    @handles
    def add(self, add: Add) -> None:
        self.kept[0] = add.number


def test_nothing_is_left_of_a_node_after_it_stopped(server: EmbeddedServer) -> None:
    threads = set(threading.enumerate())
    near, far = connect(server, "left", "near"), connect(server, "left", "far", Heavy)
    with far, near:
        near.wait_for_nodes(2)
        for number in range(10):
            near.agent(Heavy, f"h{number}").ask(Add(number=number), timeout=5).get()
        agents = [weakref.ref(cell.actor) for cell in far._running.directory.cells if cell.actor]
        assert len(agents) == 10
    until(lambda: set(threading.enumerate()) <= threads, 5.0, "the threads' end")
    node = weakref.ref(far._node)  # type: ignore[arg-type]
    del near, far

    def gone() -> bool:
        gc.collect()
        return all(agent() is None for agent in agents) and node() is None

    until(gone, 5.0, "the release of the node and its agents")
