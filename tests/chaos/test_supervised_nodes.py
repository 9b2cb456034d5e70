"""Children on other nodes, when those nodes, or their supervisor's, are killed, stopped and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from covey import Agent, Child, Supervisor, SupervisorRef, Swarm
from covey.framework.cluster.membership import GONE_AFTER_S
from covey.transports import EmbeddedServer
from tests.chaos.moving_agents import Moving
from tests.conformance.shared_messages import Add, Crash, ListNumbers, Where
from tests.conformance.swarms import node_process, until

MOVING = "tests.chaos.moving_agents:Moving"
ROOT = Path(__file__).resolve().parents[2]
MOVED_WITHIN_S = GONE_AFTER_S + 3.0
KEYS = [f"c{number}" for number in range(12)]

SUPERVISING = """
import sys
from covey import Child, Supervisor, Swarm
from tests.chaos.moving_agents import Moving

with Swarm.connect(sys.argv[1], name=sys.argv[2], node="owner", trace_ratio=0.0) as swarm:
    assert swarm.wait_for_nodes(2)
    swarm.supervise(Supervisor([Child(Moving, "c0", node="host")], name="top"))
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def where(top: SupervisorRef) -> dict[str, str]:
    return {child.id: child.node for child in top.which_children()}


def are_up(top: SupervisorRef) -> bool:
    return {child.state for child in top.which_children()} == {"running"}


def test_a_killed_nodes_children_are_moved_and_those_of_the_others_stay(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    arguments = (tmp_path, MOVING, "--nats", server.url, "--swarm", "moved", "--name")
    with (
        Swarm.connect(server.url, name="moved", node="owner", trace_ratio=0.0) as owner,
        node_process(*arguments, "one") as one,
        node_process(*arguments, "two") as two,
    ):
        assert owner.wait_for_nodes(3)
        spec = Supervisor([Child(Moving, key, node="*") for key in KEYS], intensity=1, name="top")
        top = owner.supervise(spec)
        until(lambda: are_up(top), 5.0, "the children")
        before = where(top)
        pids = {key: owner.agent(Moving, key).ask(Where(), timeout=5).get().pid for key in KEYS}
        assert set(pids.values()) == {one.process.pid, two.process.pid}
        one.process.send_signal(signal.SIGKILL)
        until(lambda: are_up(top) and set(where(top).values()) == {"two"}, MOVED_WITHIN_S, "the move")
        after = {key: owner.agent(Moving, key).ask(Where(), timeout=5).get().pid for key in KEYS}
        assert set(after.values()) == {two.process.pid}
        stayed = [key for key in KEYS if before[f"moving/{key}"] == "two"]
        restarts = {child.id: child.restarts for child in top.which_children()}
        assert all(restarts[f"moving/{key}"] == 0 for key in stayed)


class Gradual(Agent):
    async def on_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)

    async def on_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)


def test_children_whose_hooks_are_coroutines_start_and_end_here_and_there(server: EmbeddedServer) -> None:
    children = [Child(Gradual, "a", node="host"), Child(Gradual, "b"), Child(Gradual, "c", node="host")]
    with (
        Swarm.connect(server.url, name="gradual", node="owner", trace_ratio=0.0) as owner,
        Swarm.connect(server.url, name="gradual", node="host", hosts=[Gradual], trace_ratio=0.0) as host,
    ):
        assert owner.wait_for_nodes(2)
        top = owner.supervise(Supervisor(children, name="top"))
        until(lambda: are_up(top), 5.0, "the children")
        top.stop().get(timeout=5)
        assert not host.agents()
        assert not owner.agents()
        assert not len(host.dead_letters()) + len(owner.dead_letters())


def test_a_crash_in_another_process_is_restarted_there_with_its_mail_in_order(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with (
        Swarm.connect(server.url, name="crashed", node="owner", trace_ratio=0.0) as owner,
        node_process(tmp_path, MOVING, "--nats", server.url, "--swarm", "crashed", "--name", "host"),
    ):
        assert owner.wait_for_nodes(2)
        top = owner.supervise(Supervisor([Child(Moving, "c0", node="host")], backoff=None, name="top"))
        until(lambda: are_up(top), 5.0, "the child")
        far = owner.agent(Moving, "c0")
        far.tell(Crash(text="by order"))
        for number in range(100):
            far.tell(Add(number=number))
        assert far.ask(ListNumbers(), timeout=5).get().values == list(range(100))
        # The report that it is up may come after its answer.
        until(lambda: [child.restarts for child in top.which_children()] == [1], 5.0, "the report")
        assert "by order" in top.which_children()[0].last_error


def test_a_paused_nodes_children_run_once_after_it_comes_back(server: EmbeddedServer, tmp_path: Path) -> None:
    arguments = (tmp_path, MOVING, "--nats", server.url, "--swarm", "paused", "--name")
    with (
        Swarm.connect(server.url, name="paused", node="owner", trace_ratio=0.0) as owner,
        node_process(*arguments, "one") as one,
        node_process(*arguments, "two"),
    ):
        assert owner.wait_for_nodes(3)
        top = owner.supervise(Supervisor([Child(Moving, key, node="*") for key in KEYS], name="top"))
        until(lambda: are_up(top), 5.0, "the children")
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            until(lambda: are_up(top) and set(where(top).values()) == {"two"}, MOVED_WITHIN_S, "the move")
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
        agents = lambda: {node.name: node.agents for node in owner.nodes()}  # noqa: E731
        until(lambda: agents().get("one") == 0 and agents()["two"] == len(KEYS), 10.0, "the end of the twins")
        assert set(where(top).values()) == {"two"}


def test_children_stop_when_the_process_of_their_supervisor_is_killed(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with (
        Swarm.connect(server.url, name="orphaned", node="host", hosts=[Moving], trace_ratio=0.0) as host,
        subprocess.Popen(
            [sys.executable, "-c", SUPERVISING, server.url, "orphaned"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as owner,
    ):
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"up\n"
            until(lambda: [agent.address for agent in host.agents()] == ["moving/c0"], 5.0, "the child")
            owner.kill()
            until(lambda: not host.agents(), MOVED_WITHIN_S, "the child's end")
        finally:
            owner.kill()
            owner.wait(5)


def test_a_node_that_is_killed_and_back_at_once_gets_its_children_anew(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    arguments = (tmp_path, MOVING, "--nats", server.url, "--swarm", "again", "--name", "host")
    with Swarm.connect(server.url, name="again", node="owner", trace_ratio=0.0) as owner:
        top = owner.supervise(Supervisor([Child(Moving, key, node="host") for key in KEYS], name="top"))
        with node_process(*arguments) as first:
            until(lambda: are_up(top), 5.0, "the children")
            first.process.send_signal(signal.SIGKILL)
            first.process.wait(5)
        replies = [owner.agent(Moving, key).ask(Where(), timeout=20) for key in KEYS]
        with node_process(*arguments) as second:
            until(
                lambda: {node.pid for node in owner.nodes()} == {os.getpid(), second.process.pid},
                MOVED_WITHIN_S,
                "the new process",
            )
            until(lambda: are_up(top), 5.0, "the children")
            after = {key: owner.agent(Moving, key).ask(Where(), timeout=5).get().pid for key in KEYS}
            assert set(after.values()) == {second.process.pid}
            assert all(reply.done() for reply in replies)  # answered there, or failed with the first process
