"""Leases in JetStream: who is gone, who only seems so, and who has to let go. Real processes and servers."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from covey import AddressInUseError, Agent, AskTimeoutError, CoveyError, NodeLeft, Swarm
from covey.framework.cluster.lease import HINTED_S, LEASE_S
from covey.transports import EmbeddedServer
from tests.chaos.blockable import Blockable
from tests.conformance.far_agents import Far
from tests.conformance.shared_messages import Add, Hold, ListNumbers, Where
from tests.conformance.swarms import far_keys, node_process, until
from tests.conformance.transports import free_port
from tests.transports.configured_server import configured_server

FAR = "tests.conformance.far_agents:Far"
SOON_S = 10.0


def connect(url: str, swarm: str, node: str, *hosts: type[Agent]) -> Swarm:
    return Swarm.connect(url, name=swarm, node=node, hosts=hosts, trace_ratio=0.0, watchdog_s=0)


@contextmanager
def two_hosts(tmp_path: Path, swarm: str) -> Iterator[tuple[Swarm, int, str, list[NodeLeft]]]:
    """A node here and one in a process, both hosts; the process, a key of its share, and who left."""
    left: list[NodeLeft] = []
    with (
        EmbeddedServer() as server,
        connect(server.url, swarm, "near", Far) as near,
        node_process(tmp_path, FAR, "--nats", server.url, "--swarm", swarm, "--name", "far") as far,
    ):
        assert near.wait_for_nodes(2)
        near.on_event(left.append, NodeLeft)
        (key,) = far_keys(near, "far", 1)
        assert near.agent("far", key).ask(Where(), timeout=5).get().pid == far.process.pid
        yield near, far.process.pid, key, left


def test_a_killed_node_is_gone_once_its_lease_has_stood_still_for_a_moment(tmp_path: Path) -> None:
    with two_hosts(tmp_path, "killed") as (near, pid, key, left):
        os.kill(pid, signal.SIGKILL)
        until(lambda: left, SOON_S, "the node being gone")
        assert left[0].reason.startswith("its connection is gone, and its lease was not renewed for")
        assert near.agent("far", key).ask(Where(), timeout=5).get().pid == os.getpid()


def test_a_stopped_node_loses_its_lease_lets_go_of_its_agents_and_comes_back(tmp_path: Path) -> None:
    with two_hosts(tmp_path, "stopped") as (near, pid, key, left):
        far = near.agent("far", key)
        far.tell(Add(number=1))
        until(lambda: far.ask(ListNumbers(), timeout=5).get().values == [1], what="the tell")
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: left, LEASE_S + SOON_S, "the node being gone")
            assert left[0].reason.startswith("its lease was not renewed for")
            assert far.ask(Where(), timeout=5).get().pid == os.getpid()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert near.wait_for_nodes(2, SOON_S)
        # It is there again, and its agent is a new one: the old instance was let go.
        until(lambda: _pid_of(near, key) == pid, SOON_S, "its agents living there again")
        assert far.ask(ListNumbers(), timeout=5).get().values == []


def _pid_of(near: Swarm, key: str) -> int:
    try:
        return int(near.agent("far", key).ask(Where(), timeout=2).get().pid)
    except CoveyError:  # it moves just now
        return 0


def test_a_node_whose_loop_is_held_for_longer_than_a_lease_is_not_gone() -> None:
    left: list[NodeLeft] = []
    with (
        EmbeddedServer() as server,
        connect(server.url, "busy", "far", Blockable),
        connect(server.url, "busy", "near") as near,
    ):
        assert near.wait_for_nodes(2)
        near.on_event(left.append, NodeLeft)
        blocked = near.agent(Blockable, "x")
        blocked.ask(ListNumbers(), timeout=5).get()
        blocked.tell(Hold(seconds=LEASE_S + 1.0))
        assert blocked.ask(ListNumbers(), timeout=30).get().values == []
        assert left == []


def test_nobody_is_gone_because_the_server_was_away_for_longer_than_a_lease(tmp_path: Path) -> None:
    left: list[NodeLeft] = []
    server = EmbeddedServer(port=free_port()).start()
    try:
        with (
            connect(server.url, "away", "near", Far) as near,
            node_process(tmp_path, FAR, "--nats", server.url, "--swarm", "away", "--name", "far") as far,
        ):
            assert near.wait_for_nodes(2)
            near.on_event(left.append, NodeLeft)
            (key,), (here,) = far_keys(near, "far", 1), far_keys(near, "near", 1)
            ref = near.agent("far", key)
            ref.ask(Add(number=7), timeout=5).get()
            near.agent("far", here).ask(Where(), timeout=5).get()
            os.kill(server.pid, signal.SIGKILL)
            server.stop()
            # Cut off, it does not serve its placed agents: it cannot know whether another node does.
            with pytest.raises(AskTimeoutError):
                near.agent("far", here).ask(Where(), timeout=LEASE_S + HINTED_S).get()
            server.start()
            assert near.agent("far", here).ask(Where(), timeout=SOON_S).get().pid == os.getpid()
            assert ref.ask(ListNumbers(), timeout=SOON_S).get().values == [7]
            assert ref.ask(Where(), timeout=5).get().pid == far.process.pid
            assert left == []
    finally:
        server.stop()


def test_a_killed_process_gets_its_name_back_once_its_lease_has_run_out(tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        arguments = (FAR, "--nats", server.url, "--swarm", "alone", "--name", "far")
        with node_process(tmp_path, *arguments) as first:
            first.process.kill()
            first.process.wait(5)
        with connect(server.url, "alone", "far", Far) as again:
            assert again.agent("far", "x").ask(Where(), timeout=5).get().pid == os.getpid()


def test_a_stopped_process_whose_name_was_taken_meanwhile_gives_up(tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        arguments = (FAR, "--nats", server.url, "--swarm", "taken", "--name", "far")
        with node_process(tmp_path, *arguments) as first:
            os.kill(first.process.pid, signal.SIGSTOP)
            try:
                with connect(server.url, "taken", "far", Far) as again:
                    os.kill(first.process.pid, signal.SIGCONT)
                    assert first.process.wait(SOON_S) == 1
                    assert again.agent("far", "x").ask(Where(), timeout=5).get().pid == os.getpid()
            finally:
                if first.process.poll() is None:
                    os.kill(first.process.pid, signal.SIGCONT)


def test_a_name_is_refused_while_its_holder_lives() -> None:
    with (
        EmbeddedServer() as server,
        connect(server.url, "names", "one"),
        pytest.raises(AddressInUseError, match="the node name 'one'"),
    ):
        connect(server.url, "names", "one").start()


@pytest.mark.parametrize(
    ("config", "user"),
    [
        ("", ""),
        (
            "authorization { users: "
            '[{ user: a, password: x, permissions: { publish: { deny: "$JS.>" } } }] }',
            "a:x",
        ),
    ],
    ids=["anybody", "a user who may not ask for it"],
)
def test_without_jetstream_beacons_decide(
    config: str, user: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        configured_server(tmp_path, config) as server,
        caplog.at_level(logging.WARNING),
        connect(server.url(user), "plain", "far", Far),
        connect(server.url(user), "plain", "near") as near,
    ):
        assert near.wait_for_nodes(2)
        assert near.agent("far", "x").ask(Where(), timeout=5).get().pid == os.getpid()
    assert any("has no JetStream" in record.getMessage() for record in caplog.records)
