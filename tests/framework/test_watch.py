"""Death watch: one `Terminated` when an agent has ended for good, with the reason; no watch stays behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import pytest

from covey import Agent, AgentRef, AskCancelledError, Child, Supervisor, Swarm, handles
from covey.framework.events import AgentRestarted
from covey.framework.state import PASSIVE, STOPPED
from covey.framework.watching import Terminated
from tests.framework.waiting import eventually


class Mortal(Agent):
    """Ends in the way that it is told."""

    @handles
    def echo(self, number: int) -> int:
        return number

    @handles
    def fail(self, text: str) -> None:
        raise ValueError(text)


class Watcher(Agent):
    """Watches who it is told to, and hands what it hears to its class."""

    heard: ClassVar[list[tuple[str, Terminated]]] = []

    @handles
    def watch(self, ref: AgentRef) -> None:
        ref.watch()

    @handles
    def cancel(self, refs: list) -> bool:  # type: ignore[type-arg]
        return bool(refs[0].watch().cancel())

    @handles
    def hear(self, end: Terminated) -> None:
        assert self.sender is not None
        self.heard.append((self.sender.address, end))

    @handles
    def fail(self, text: str) -> None:
        raise ValueError(text)

    @handles
    def nothing(self, nothing: None) -> None: ...


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Watcher.heard.clear()


def cell_of(swarm: Swarm, ref: AgentRef) -> Any:
    cell = swarm._running.directory.find(ref._address)
    assert cell is not None
    return cell


def kill(swarm: Swarm, ref: AgentRef) -> None:
    swarm._running.life.request_kill(cell_of(swarm, ref), "it was killed")


@pytest.mark.parametrize(
    ("end", "reason"),
    [("stop", "stopped"), ("fail", "failed: ValueError: lost"), ("kill", "it was killed")],
)
@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_the_end_of_an_agent_is_told_once_with_its_reason(
    swarm: Swarm, end: str, reason: str, dispatcher: Any
) -> None:
    class Subject(Mortal):
        kind = "mortal"

    Subject.dispatcher = dispatcher
    ref = swarm.spawn(Subject, "a")
    watchers = [swarm.spawn(Watcher, key) for key in ("v", "w")]
    for watcher in watchers:
        watcher.ask(ref).get()
        watcher.ask(ref).get()  # an agent watches another once at a time
    outside = ref.watch()
    calls: list[int] = []
    outside.add_done_callback(lambda: calls.append(1))
    cell = cell_of(swarm, ref)
    assert len(cell.watches) == 3
    if end == "stop":
        ref.tell(1)
        ref.stop()
    elif end == "fail":
        ref.tell("lost")
    else:
        kill(swarm, ref)
    told = Terminated(address="mortal/a", reason=reason)
    assert outside.get(5) == told
    eventually(lambda: len(Watcher.heard) == 2)
    for watcher in watchers:
        watcher.ask(None).get()  # nothing else stood in their mailboxes
    assert Watcher.heard == [("mortal/a", told)] * 2
    assert calls == [1]
    assert not cell.watches
    assert not any(cell_of(swarm, watcher).watching for watcher in watchers)


def test_a_watch_is_awaited_in_any_loop_and_in_a_handler(swarm: Swarm) -> None:
    class Waiting(Agent):
        @handles
        async def wait(self, ref: AgentRef) -> str:
            return str((await ref.watch()).reason)

        @handles
        def hear(self, end: Terminated) -> None: ...

    ref = swarm.spawn(Mortal, "a")
    inside = swarm.spawn(Waiting, "w").ask(ref)
    cell = cell_of(swarm, ref)
    eventually(lambda: bool(cell.watches))

    async def outside() -> str:
        watch = ref.watch()
        ref.stop()
        return str((await watch).reason)

    assert asyncio.run(asyncio.wait_for(outside(), 5)) == "stopped"
    assert inside.get(5) == "stopped"


def test_a_restart_is_no_end(swarm: Swarm) -> None:
    restarts: list[Any] = []
    swarm.on_event(lambda event: restarts.append(event) if isinstance(event, AgentRestarted) else None)
    swarm.supervise(Supervisor([Child(Mortal, "a")], intensity=2))
    ref = swarm.agent(Mortal, "a")
    watch = ref.watch()
    swarm.spawn(Watcher, "w").ask(ref).get()
    for count in (1, 2):
        ref.tell("again")
        eventually(lambda count=count: len(restarts) == count)  # type: ignore[misc]
        assert ref.ask(1).get() == 1
        assert not watch.done()
    with pytest.raises(ValueError, match="too often"):
        ref.ask("too often").get()
    assert watch.get(5).address == "mortal/a"
    eventually(lambda: len(Watcher.heard) == 1)
    swarm._running.failure = None  # the root supervisor has given up, as it should


def test_an_agent_that_is_not_alive_is_reported_at_once(swarm: Swarm) -> None:
    stopped, failed = swarm.spawn(Mortal, "stopped"), swarm.spawn(Mortal, "failed")
    stopped.stop().get()
    failed_end = failed.watch()
    failed.tell("lost")
    failed_end.get(5)
    unknown = swarm.agent("nobody", "a")
    for ref, reason in ((stopped, "not alive"), (failed, "ValueError: lost"), (unknown, "not alive")):
        watch = ref.watch()
        assert watch.done()
        assert watch.get().address == ref.address
        assert reason in watch.get().reason
    swarm.spawn(Watcher, "w").ask(stopped).get()
    eventually(lambda: [address for address, _ in Watcher.heard] == ["mortal/stopped"])
    assert len(swarm._running.directory) == 1


def test_a_placed_agent_is_activated_by_who_watches_it(swarm: Swarm) -> None:
    ref = swarm.agent(Mortal, "never asked before")
    watch = ref.watch()
    assert not watch.done()
    assert cell_of(swarm, ref).watches
    ref.stop().get()
    assert watch.get(5).reason == "stopped"


def test_a_cancelled_watch_tells_nothing_and_leaves_nothing(swarm: Swarm) -> None:
    ref = swarm.spawn(Mortal, "a")
    watcher = swarm.spawn(Watcher, "w")
    watcher.ask(ref).get()
    outside = ref.watch()
    assert outside.cancel()
    assert not outside.cancel()
    assert watcher.ask([ref]).get() is True
    cell = cell_of(swarm, ref)
    assert not cell.watches
    assert not cell_of(swarm, watcher).watching
    ref.stop().get()
    watcher.ask(None).get()
    assert Watcher.heard == []
    with pytest.raises(AskCancelledError):
        outside.get()


def test_a_watch_may_be_taken_up_again_after_its_cancellation(swarm: Swarm) -> None:
    ref, watcher = swarm.spawn(Mortal, "a"), swarm.spawn(Watcher, "w")
    watcher.ask(ref).get()
    watcher.ask([ref]).get()
    watcher.ask(ref).get()
    ref.stop().get()
    eventually(lambda: len(Watcher.heard) == 1)


@pytest.mark.parametrize("end", ["stop", "fail", "kill"])
def test_a_watcher_that_ends_first_leaves_no_watch_behind(swarm: Swarm, end: str) -> None:
    ref, watcher = swarm.spawn(Mortal, "a"), swarm.spawn(Watcher, "w")
    watcher.ask(ref).get()
    cell, watching = cell_of(swarm, ref), cell_of(swarm, watcher)
    assert len(cell.watches) == 1
    if end == "kill":
        kill(swarm, watcher)
    elif end == "stop":
        watcher.stop()
    else:
        watcher.tell("failed")
    eventually(lambda: watching.state == STOPPED)
    eventually(lambda: not cell.watches)
    before = len(swarm.dead_letters())
    ref.stop().get()
    assert Watcher.heard == []
    assert len(swarm.dead_letters()) == before


def test_a_watcher_that_restarts_watches_on(swarm: Swarm) -> None:
    swarm.supervise(Supervisor([Child(Watcher, "w")]))
    ref, watcher = swarm.spawn(Mortal, "a"), swarm.agent(Watcher, "w")
    watcher.ask(ref).get()
    with pytest.raises(ValueError, match="x"):
        watcher.ask("x").get()
    ref.stop().get()
    eventually(lambda: len(Watcher.heard) == 1)


def test_a_watcher_without_an_instance_is_woken_by_the_end(swarm: Swarm) -> None:
    class Sleepy(Watcher):
        idle_after_s = 0.01

    ref, watcher = swarm.spawn(Mortal, "a"), swarm.spawn(Sleepy, "w")
    watcher.ask(ref).get()
    cell = cell_of(swarm, watcher)
    eventually(lambda: cell.state == PASSIVE)
    ref.stop().get()
    eventually(lambda: len(Watcher.heard) == 1)


def test_a_passive_placed_agent_is_watched_as_one_that_lives(swarm: Swarm) -> None:
    class Sleepy(Mortal):
        idle_after_s = 0.01

    ref = swarm.agent(Sleepy, "a")
    ref.ask(1).get()
    cell = cell_of(swarm, ref)
    eventually(lambda: cell.state == PASSIVE)
    watch = ref.watch()
    assert not watch.done()
    assert ref.ask(2).get() == 2
    ref.stop().get()
    assert watch.get(5) == Terminated(address="sleepy/a", reason="stopped")


def test_an_agent_that_watched_itself_leaves_no_dead_letter(swarm: Swarm) -> None:
    class Narcissus(Watcher):
        @handles
        def look(self, number: int) -> None:
            self.ref.watch()

    ref = swarm.spawn(Narcissus, "a")
    ref.ask(1).get()
    ref.stop().get()
    eventually(lambda: not swarm._running.directory.cells)
    assert not swarm.dead_letters().counts


def test_watches_resolve_when_the_node_stops() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        ref = swarm.spawn(Mortal, "a")
        swarm.spawn(Watcher, "w").ask(ref).get()
        watch = ref.watch()
    assert watch.get(5).address == "mortal/a"


def test_an_end_that_races_with_the_watch_is_told_once_all_the_same(swarm: Swarm) -> None:
    count = 200
    refs = [swarm.spawn(Mortal, str(number)) for number in range(count)]
    watcher = swarm.spawn(Watcher, "w")
    stopper = threading.Thread(target=lambda: [ref.stop() for ref in refs])
    stopper.start()
    outside = []
    for ref in refs:
        watcher.tell(ref)
        outside.append(ref.watch())
    stopper.join(10)
    assert all(watch.get(5).address == ref.address for watch, ref in zip(outside, refs, strict=True))
    eventually(lambda: len(Watcher.heard) == count)
    watcher.ask(None).get()
    assert len({address for address, _ in Watcher.heard}) == len(Watcher.heard) == count
    assert not cell_of(swarm, watcher).watching
