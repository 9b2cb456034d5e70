"""Where two nodes of one swarm meet: over a hub, over a server, and in two processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from covey import Agent, Swarm
from covey.framework.address import Address
from covey.transports import EmbeddedServer, MemoryHub, MemoryTransport
from covey.transports.json_client import JsonClient
from tests.conformance.far_agents import Far, Listener, Slow, supervisor

ROOT = Path(__file__).parents[2]
FAR_HOSTS: list[type[Agent]] = [Far, Listener, Slow]


def until(condition: Callable[[], object], within_s: float = 10.0, what: str = "the condition") -> None:
    """Poll with a deadline."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within {within_s} s"
        time.sleep(0.005)


def far_keys(near: Swarm, node: str, count: int) -> list[str]:
    """Keys that placement puts on a node."""
    placement = near._running.presence.placement
    keys = (f"k{number}" for number in range(10_000))
    return [key for key in keys if placement.owner("far", f"far/{key}") == node][:count]


class NodeProcess:
    """`covey node` as a process; `line` is what it printed when it was ready."""

    def __init__(self, *arguments: str, log: IO[Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "covey.cli.main", "node", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "COVEY_TRACE_RATIO": "0"},
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(10.0)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()


@contextmanager
def node_process(tmp_path: Path, *arguments: str) -> Iterator[NodeProcess]:
    with (tmp_path / f"node-{len(list(tmp_path.iterdir()))}.log").open("w+") as log:
        node = NodeProcess(*arguments, log=log)
        try:
            yield node
        finally:
            node.end()


def until_any_node_finds(url: str, swarm: str, *addresses: str) -> None:
    """A client's request goes to any node, and one that has just joined may not know the others yet."""
    client = JsonClient(url, swarm)

    def found() -> bool:
        asked = [(Address.parse(address), "NoSuchType") for address in addresses for _ in range(10)]
        return all(client.ask(*about, b"", timeout_s=5.0).failure_code != 404 for about in asked)

    until(found, what="that all nodes know each other")


@contextmanager
def over_memory(tmp_path: Path) -> Iterator[Swarm]:
    hub = MemoryHub()

    def node(name: str, hosts: list[type[Agent]]) -> Swarm:
        return Swarm("shop", transport=lambda: MemoryTransport(hub), hosts=hosts, node=name, trace_ratio=0.0)

    with node("far", FAR_HOSTS) as far, node("near", []) as near:
        far.supervise(supervisor())
        yield joined(near)


@contextmanager
def over_nats(tmp_path: Path) -> Iterator[Swarm]:
    options: dict[str, Any] = {"name": "shop", "trace_ratio": 0.0}
    with (
        EmbeddedServer() as server,
        Swarm.connect(server.url, hosts=FAR_HOSTS, node="far", **options) as far,
        Swarm.connect(server.url, node="near", **options) as near,
    ):
        far.supervise(supervisor())
        yield joined(near)


@contextmanager
def in_two_processes(tmp_path: Path) -> Iterator[Swarm]:
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(Swarm.embedded(name="shop", node="near", trace_ratio=0.0))
        module = "tests.conformance.far_agents:Far,Listener,Slow"
        stack.enter_context(
            node_process(tmp_path, module, "--nats", near.url, "--swarm", "shop", "--name", "far")
        )
        yield joined(near)


def joined(near: Swarm) -> Swarm:
    """Once the supervised agent's address is known, so is everything else of the far node."""
    until(lambda: any("warden/gate" in peer.registered for peer in near.nodes()), what="joining")
    return near


SWARMS = {"memory": over_memory, "nats": over_nats, "two processes": in_two_processes}
