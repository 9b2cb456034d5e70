"""Links that break and nodes that vanish under load: real processes and servers, SIGKILL and SIGSTOP."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from covey import (
    AgentDeadError,
    AgentRef,
    CoveyError,
    MessagesLost,
    PayloadTooLargeError,
    Reply,
    Swarm,
    TransportError,
)
from covey.transports import EmbeddedServer
from tests.chaos.blockable import Blockable
from tests.conformance.far_agents import Far
from tests.conformance.shared_messages import Add, Bulk, Hold, ListNumbers, Noted, Where
from tests.conformance.swarms import node_process, until
from tests.conformance.transports import free_port
from tests.transports.configured_server import configured_server

FAR = "tests.conformance.far_agents:Far,Listener,Slow"
ASKS_PER_S = 1_000
SETTLED_WITHIN_S = 20.0


class Asker:
    """Asks by the clock, in a thread of its own, and counts how each ask ended."""

    def __init__(self, ask: Callable[[], Reply[object]]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.resolved = 0
        self.asked = 0
        self._ask = ask
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Asker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        started = time.monotonic()
        while not self._ended.wait(max(0.0, started + self.asked / ASKS_PER_S - time.monotonic())):
            self.asked += 1
            reply = self._ask()
            reply.add_done_callback(lambda reply=reply: self._note(reply))

    def _note(self, reply: Reply[object]) -> None:
        error = reply.error()
        with self._lock:
            self.resolved += 1
            self.outcomes["answered" if error is None else type(error).__name__] += 1


@contextmanager
def two_nodes(tmp_path: Path, server: EmbeddedServer, swarm: str) -> Iterator[tuple[Swarm, int]]:
    """The near node in this process, and the process id of the far one."""
    with (
        node_process(tmp_path, FAR, "--nats", server.url, "--swarm", swarm, "--name", "far") as far,
        Swarm.connect(server.url, name=swarm, node="near", trace_ratio=0.0) as near,
    ):
        assert near.wait_for_nodes(2)
        yield near, far.process.pid


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_every_ask_resolves_while_the_server_is_away_and_back(tmp_path: Path, how: signal.Signals) -> None:
    server = EmbeddedServer(port=free_port()).start()
    try:
        with two_nodes(tmp_path, server, "restarted") as (near, _):
            far = near.agent("far", "x")
            far.ask(Where(), timeout=5).get()
            with Asker(lambda: far.ask(Where(), timeout=30.0)) as asker:
                until(lambda: asker.resolved > 300, what="asks before the restart")
                os.kill(server.pid, how)
                server.stop()
                asked_before = asker.asked
                until(lambda: asker.asked > asked_before + 200, what="asks while the server is away")
                server.start()
                answered = asker.outcomes["answered"]
                until(lambda: asker.outcomes["answered"] > answered + 500, what="answers after the restart")
            until(lambda: asker.resolved == asker.asked, SETTLED_WITHIN_S, "all asks being resolved")
            # Those that lay in the socket of a server that was killed were handled by nobody, and say so.
            assert set(asker.outcomes) <= {"answered", "TransportError"}
            assert asker.outcomes["answered"] > 750
            assert near.dead_letters().counts.get("lost", 0) == asker.outcomes["TransportError"]
            assert near._running.outbound.asks_in_flight == 0
    finally:
        server.stop()


def test_an_ask_to_a_killed_node_fails_long_before_its_deadline_and_others_go_on(tmp_path: Path) -> None:
    with EmbeddedServer() as server, two_nodes(tmp_path, server, "killed") as (near, pid):
        held = [near.agent("far", f"k{n}").ask(Hold(seconds=600.0), timeout=600) for n in range(20)]
        near.agent("far", "k0-witness").ask(Where(), timeout=5).get()
        os.kill(pid, signal.SIGKILL)
        for reply in held:
            with pytest.raises(AgentDeadError, match="far is gone"):
                reply.get(30)
        assert near._running.outbound.asks_in_flight == 0


def test_a_node_that_is_back_under_its_name_is_reached_again(tmp_path: Path) -> None:
    with EmbeddedServer() as server, two_nodes(tmp_path, server, "again") as (near, pid):
        far = near.agent("far", "x")
        assert far.ask(Where(), timeout=5).get().pid == pid
        os.kill(pid, signal.SIGKILL)
        with node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "again", "--name", "far") as again:
            until(lambda: _pid(far) == again.process.pid, what="the new process answering")


def _pid(far: AgentRef) -> int:
    try:
        return int(far.ask(Where(), timeout=2).get().pid)
    except CoveyError:  # not yet
        return 0


def test_a_node_whose_loop_is_held_is_neither_flooded_nor_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {"name": "flooded", "trace_ratio": 0.0, "watchdog_s": 0}
    with (
        EmbeddedServer() as server,
        Swarm.connect(server.url, node="far", hosts=[Blockable], **options) as far,
        Swarm.connect(server.url, node="near", **options) as near,
        caplog.at_level(logging.WARNING),
    ):
        assert near.wait_for_nodes(2)
        blocked = near.agent(Blockable, "x")
        blocked.ask(ListNumbers(), timeout=5).get()
        blocked.tell(Hold(seconds=1.5))
        refused = told = 0
        while told < 400:  # 40 MB: four fifths of what the queues hold
            try:
                near.agent("blockable", "y").tell(Bulk(data=bytes(100_000)))
                near.publish("news.big", Noted(topic="", text="x" * 1_000))
            except TransportError:
                refused += 1  # no room within the deadline: told to the sender, a dead letter
            told += 1
        assert blocked.ask(ListNumbers(), timeout=30).get().values == []
        assert near._running.outbound.peer("far").incoming.gaps == 0
        assert far._running.outbound.peer("near").incoming.gaps == 0
        assert refused == near.dead_letters().counts.get("mailbox full", 0)
    assert not [record for record in caplog.records if "link down" in record.getMessage()]


def test_however_many_flood_a_held_node_the_server_counts_no_slow_consumer(tmp_path: Path) -> None:
    options = {"name": "crowd", "trace_ratio": 0.0, "watchdog_s": 0, "ask_timeout_s": 0.2}
    with configured_server(tmp_path, "http_port: -1\n") as server, contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Swarm.connect(server.url(), node=f"n{n}", **options)) for n in range(8)]
        held = stack.enter_context(Swarm.connect(server.url(), node="held", hosts=[Blockable], **options))
        assert held.wait_for_nodes(9)
        blocked = nodes[0].agent(Blockable, "x")
        assert nodes[0].wait_for_nodes(9)
        blocked.ask(ListNumbers(), timeout=5).get()
        blocked.tell(Hold(seconds=1.5))
        senders = [threading.Thread(target=_flood, args=(node, f"k{n}")) for n, node in enumerate(nodes)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(60)
        assert blocked.ask(ListNumbers(), timeout=30).get().values == []
        assert len(held.nodes()) == 9
        assert server.monitored("varz")["slow_consumers"] == 0


def _flood(node: Swarm, key: str) -> None:
    """Twice what the server would keep for one slow client, if nobody held back: 16 MB of each of eight."""
    with contextlib.suppress(CoveyError):  # no room within the deadline: told to the sender, a dead letter
        for _ in range(160):
            node.agent("blockable", key).tell(Bulk(data=bytes(100_000)))


def test_a_server_that_comes_back_with_a_smaller_limit_is_believed(tmp_path: Path) -> None:
    with (
        configured_server(tmp_path, "max_payload: 1MB\n") as server,
        Swarm.connect(server.url(), name="limits", node="near", trace_ratio=0.0) as near,
    ):

        def is_refused() -> bool:
            try:
                near.publish("news.big", Noted(topic="", text="x" * 200_000))
            except PayloadTooLargeError:
                return True
            return False

        assert not is_refused()
        server.reload("max_payload: 100KB\n")  # it cuts off who goes on as before, once
        until(is_refused, what="the smaller limit")


def test_what_was_on_its_way_to_a_killed_node_is_told_as_in_doubt(tmp_path: Path) -> None:
    with EmbeddedServer() as server, two_nodes(tmp_path, server, "doubt") as (near, pid):
        lost: list[MessagesLost] = []
        near.on_event(lost.append, MessagesLost)
        far = near.agent("far", "x")
        far.ask(Where(), timeout=5).get()
        os.kill(pid, signal.SIGSTOP)  # takes nothing any more, and is still connected
        for number in range(50):
            far.tell(Add(number=number))
        until(lambda: near._running.outbound.peer("far").in_doubt == 50, what="all being on their way")
        os.kill(pid, signal.SIGKILL)
        until(lambda: lost, SETTLED_WITHIN_S, "noticing the death")
        assert [(event.node, event.messages, event.in_doubt) for event in lost] == [("far", 50, True)]


def test_two_swarms_on_one_server_never_see_each_other(tmp_path: Path) -> None:
    with (
        EmbeddedServer() as server,
        Swarm.connect(server.url, name="one", node="n", hosts=[Far], trace_ratio=0.0) as one,
        Swarm.connect(server.url, name="two", node="n", hosts=[Far], trace_ratio=0.0) as two,
    ):
        one.agent(Far, "x").ask(Add(number=1), timeout=5).get()
        assert two.agent(Far, "x").ask(ListNumbers(), timeout=5).get().values == []
        assert [len(swarm.nodes()) for swarm in (one, two)] == [1, 1]
        assert not one.dead_letters().counts
        assert not two.dead_letters().counts
