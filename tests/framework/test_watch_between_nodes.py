"""Death watch of agents on other nodes: the same words, also when a node stops or vanishes."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from covey import Agent, AgentRef, Swarm, handles, message
from covey.framework.address import Address
from covey.framework.watching import Terminated
from covey.transports import MemoryHub, MemoryTransport
from tests.framework.waiting import eventually


@message
class Watched:
    key: str = ""


class Remote(Agent):
    @handles
    def echo(self, watched: Watched) -> Watched:
        return watched

    @handles
    def fail(self, text: str) -> None:
        raise ValueError(text)


class Watcher(Agent):
    heard: ClassVar[list[Terminated]] = []

    @handles
    def watch(self, watched: Watched) -> None:
        bound(self._own.node, watched.key).watch()

    @handles
    def hear(self, end: Terminated) -> None:
        self.heard.append(end)

    @handles
    def nothing(self, nothing: None) -> None: ...


class Cuttable(MemoryTransport):
    """Falls silent when it is told to, as a machine does whose power is cut."""

    silent = False

    def send(self, node_id: str, frame: bytes, number: int = 0) -> None:
        if not self.silent:
            super().send(node_id, frame, number)

    def broadcast(self, beacon: bytes) -> None:
        if not self.silent:
            super().broadcast(beacon)


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Watcher.heard.clear()


def node(hub: MemoryHub, name: str, *hosts: type[Agent]) -> Swarm:
    return Swarm("pair", transport=lambda: Cuttable(hub), hosts=hosts, node=name, trace_ratio=0.0)


def bound(of: Any, key: str) -> AgentRef:
    """What a ref to an agent spawned on the node `far` is elsewhere."""
    return AgentRef(of, Address("remote", key), None, "far")


def watched(near: Swarm, far: Swarm) -> tuple[AgentRef, Any, Any]:
    """An agent on `far`, watched by an agent and from outside on `near`; with the two watches in place."""
    assert near.wait_for_nodes(2)
    assert far.wait_for_nodes(2)
    ref = far.spawn(Remote, "a")
    near.spawn(Watcher, "w").ask(Watched(key="a")).get()
    watch = bound(near._running, "a").watch()
    cell: Any = ref._cell
    eventually(lambda: len(cell.watches or ()) == 2)
    return ref, watch, cell


@pytest.mark.parametrize(("end", "reason"), [("stop", "stopped"), ("fail", "failed: ValueError: lost")])
def test_the_end_of_an_agent_on_another_node_is_told_once(end: str, reason: str) -> None:
    hub = MemoryHub()
    with node(hub, "far") as far, node(hub, "near") as near:
        ref, watch, cell = watched(near, far)
        if end == "stop":
            ref.stop()
        else:
            ref.tell("lost")
        told = Terminated(address="remote/a", reason=reason)
        assert watch.get(5) == told
        eventually(lambda: Watcher.heard == [told])
        assert not cell.watches
        assert far._running.inbound.asks_in_hand == 0
        assert near._running.outbound.asks_in_flight == 0


def test_an_agent_that_is_not_alive_on_the_other_node_is_reported() -> None:
    hub = MemoryHub()
    with node(hub, "far") as far, node(hub, "near") as near:
        assert near.wait_for_nodes(2)
        assert far.wait_for_nodes(2)
        assert bound(near._running, "nobody").watch().get(5).reason == "it is not alive"


def test_the_stop_of_the_other_node_is_the_end_of_its_agents() -> None:
    hub = MemoryHub()
    with node(hub, "near") as near:
        with node(hub, "far") as far:
            _, watch, _ = watched(near, far)
        assert watch.get(5).address == "remote/a"
        eventually(lambda: len(Watcher.heard) == 1)


def test_a_node_that_vanishes_is_the_end_of_its_agents_for_all_who_know() -> None:
    hub = MemoryHub()
    with node(hub, "near") as near, node(hub, "far") as far:
        _, watch, _ = watched(near, far)
        far._running._transport.silent = True  # type: ignore[union-attr]
        assert watch.get(10).address == "remote/a"
        eventually(lambda: len(Watcher.heard) == 1)
        assert "far" in Watcher.heard[0].reason


@pytest.mark.parametrize("how", ["cancel", "watcher stops", "its node stops"])
def test_a_watch_that_is_given_up_leaves_nothing_on_the_other_node(how: str) -> None:
    hub = MemoryHub()
    with node(hub, "far") as far, node(hub, "near") as near:
        ref, watch, cell = watched(near, far)
        if how == "its node stops":
            near.stop()
        else:
            watch.cancel()
            near.agent("watcher", "w").stop().get()
        eventually(lambda: not cell.watches)
        assert far._running.inbound.asks_in_hand == 0
        ref.stop().get()
        assert Watcher.heard == []


def test_a_watch_resolves_when_the_watching_node_stops() -> None:
    hub = MemoryHub()
    with node(hub, "far") as far:
        with node(hub, "near") as near:
            _, watch, _ = watched(near, far)
        eventually(watch.done)


def test_a_move_to_another_node_is_no_end() -> None:
    hub = MemoryHub()
    with node(hub, "near", Remote) as near:
        refs = [near.agent(Remote, f"k{number}") for number in range(20)]
        for ref in refs:
            ref.ask(Watched()).get()
        watches = {ref.key: ref.watch() for ref in refs}
        with node(hub, "far", Remote) as far:
            assert near.wait_for_nodes(2)
            assert far.wait_for_nodes(2)
            locate = near._running.presence.locate
            moved = [ref for ref in refs if locate(ref._address, "") == "far"]
            assert moved
            for ref in moved:
                ref.ask(Watched()).get()  # it has arrived over there
                assert far._running.directory.find(ref._address, activate=False) is not None
            assert not any(watch.done() for watch in watches.values())
            moved[0].stop().get()
            assert watches[moved[0].key].get(5).reason == "stopped"
