"""Idle agents give their instance up and get a new one with their next message; nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar

import pytest

from covey import Agent, AgentRef, Child, Mailbox, Supervisor, Swarm, every, handles
from covey.framework.events import AgentPassivated, AgentStopped
from covey.framework.state import PASSIVE, RUNNING, STOPPED, STOPPING
from tests.framework.waiting import eventually, held_up

DISPATCHERS = ["loop", "thread"]


class Idle(Agent):
    """Notes what happens to it, over all its instances."""

    idle_after_s = 0.01
    log: ClassVar[list[str]] = []

    def __init__(self, name: str = "placed") -> None:
        super().__init__()
        self.name = name
        self.count = 0

    def on_start(self) -> None:
        self.log.append(f"start {self.name}")

    def on_stop(self) -> None:
        self.log.append(f"stop {self.name}")

    @handles
    def add(self, number: int) -> int:
        self.count += number
        return self.count


class IdleThread(Idle):
    dispatcher = "thread"


CLASSES = [Idle, IdleThread]


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Idle.log.clear()


def cell_of(swarm: Swarm, ref: AgentRef) -> Any:
    cell = swarm._running.directory.find(ref._address)
    assert cell is not None
    return cell


def passive(cell: Any) -> Any:
    eventually(lambda: cell.state == PASSIVE)
    return cell


def look_at(swarm: Swarm, cell: Any, times: int = 3) -> None:
    """Passivation looks at the agent a few times, as if long enough had passed; returns when it has."""
    looked = threading.Event()

    def look() -> None:
        if cell.state == RUNNING:
            cell.idle_look.quiet_since = float("-inf")
            swarm._running.passivation.look(cell, cell.idle_look)

    for _ in range(times):
        cell.post(look)
    cell.post(looked.set)
    assert looked.wait(5)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_idle_spawned_agent_gets_a_new_instance_with_the_same_arguments(
    swarm: Swarm, cls: type[Idle]
) -> None:
    told: list[Any] = []
    swarm.on_event(told.append)
    ref = swarm.spawn(cls, "a", "given")
    assert (ref.ask(2).get(), ref.ask(3).get()) in [(2, 5), (2, 3)]
    cell = passive(cell_of(swarm, ref))
    assert cell.actor is None
    eventually(lambda: any(isinstance(event, AgentPassivated) for event in told))
    assert ref.ask(7).get() == 7
    assert swarm.agent(cls.kind, "a").ask(0).get() in (7, 0)
    assert Idle.log[:3] == ["start given", "stop given", "start given"]
    assert not any(isinstance(event, AgentStopped) for event in told)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_idle_placed_agent_leaves_the_directory_and_comes_back(swarm: Swarm, cls: type[Idle]) -> None:
    ref = swarm.agent(cls, "a")
    ref.tell(5)
    cell = cell_of(swarm, ref)
    passive(cell)
    eventually(lambda: not swarm._running.directory.cells)
    assert ref.ask(1).get() == 1
    assert cell_of(swarm, ref) is cell
    assert swarm.agent(cls, "a") == ref
    assert Idle.log[:3] == ["start placed", "stop placed", "start placed"]


def test_a_passive_placed_agent_is_freed_with_the_last_ref_to_it(swarm: Swarm) -> None:
    def use() -> weakref.ref[Any]:
        ref = swarm.agent(Idle, "a")
        ref.ask(1).get()
        return weakref.ref(passive(cell_of(swarm, ref)))

    kept = use()
    eventually(lambda: gc.collect() >= 0 and kept() is None)
    assert swarm.agent(Idle, "a").ask(1).get() == 1


def test_a_passive_thread_agent_has_no_thread_and_is_freed_with_the_last_ref_to_it(swarm: Swarm) -> None:
    def use() -> tuple[weakref.ref[Any], threading.Thread]:
        ref = swarm.agent(IdleThread, "a")
        ref.ask(1).get()
        cell = cell_of(swarm, ref)
        thread = cell.executor._thread
        return weakref.ref(passive(cell)), thread

    kept, thread = use()
    eventually(lambda: not thread.is_alive())
    eventually(lambda: gc.collect() >= 0 and kept() is None)
    assert swarm.agent(IdleThread, "a").ask(1).get() == 1


def test_a_passive_placed_agent_that_had_failed_before_is_freed_too(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What pytest keeps of the log has the error, its frames, and with them the agent.
    monkeypatch.setattr(logging.getLogger("covey.agent"), "disabled", True)

    class Failing(Idle):
        @handles
        def fail(self, text: str) -> None:
            raise ValueError(text)

    def use() -> weakref.ref[Any]:
        ref = swarm.agent(Failing, "a")
        with pytest.raises(ValueError, match="once"):
            ref.ask("once").get()
        ref.ask(1).get()
        return weakref.ref(passive(cell_of(swarm, ref)))

    kept = use()
    eventually(lambda: gc.collect() >= 0 and kept() is None)


def test_a_look_for_an_earlier_instance_does_not_passivate_a_later_one(swarm: Swarm) -> None:
    class Failing(Agent):
        idle_after_s = 3600.0

        @handles
        def divide(self, number: int) -> float:
            return 1 / number

    swarm.supervise(Supervisor([Child(Failing, "a")], backoff=None))
    ref = swarm.agent(Failing, "a")
    assert ref.ask(1).get() == 1
    cell = cell_of(swarm, ref)
    earlier = cell.idle_look
    with pytest.raises(ZeroDivisionError):
        ref.ask(0).get()
    assert ref.ask(1).get() == 1
    for _ in range(3):
        earlier.quiet_since, earlier.handled = float("-inf"), cell.handled
        looked = threading.Event()
        cell.post(swarm._running.passivation.look, cell, earlier)
        cell.post(looked.set)
        assert looked.wait(5)
    assert cell.state == RUNNING
    look_at(swarm, cell)
    assert cell.state == PASSIVE


def test_a_stopped_agent_is_freed_before_its_next_look(swarm: Swarm) -> None:
    def use() -> weakref.ref[Any]:
        ref = swarm.spawn(Kept, "a")
        kept = weakref.ref(cell_of(swarm, ref))
        ref.stop().get()
        return kept

    kept = use()
    eventually(lambda: gc.collect() >= 0 and kept() is None, 2)


# -- nothing is lost ----------------------------------------------------------------------------------


class Collector(Agent):
    """Hands what it gets to its class: its instances come and go."""

    idle_after_s = 0.01
    mailbox = Mailbox(capacity=50)
    got: ClassVar[dict[tuple[str, str], list[int]]] = defaultdict(list)
    instances: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).instances += 1

    @handles
    def take(self, item: tuple) -> int:  # type: ignore[type-arg]
        sender, number = item
        self.got[self.key, sender].append(number)
        return int(number)


class SlowToStop(Collector):
    async def on_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0.002)

    async def on_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0.001)

    @handles
    async def take(self, item: tuple) -> int:  # type: ignore[type-arg,override]
        await asyncio.sleep(0)
        return super().take(item)


class ThreadCollector(Collector):
    dispatcher = "thread"


class Sender(Agent):
    """Sends bursts from inside, with pauses in which the receivers may fall asleep."""

    @handles
    async def send(self, job: list) -> int:  # type: ignore[type-arg]
        cls, count = job
        for number in range(count):
            await self.agent(cls.kind, str(number % 5)).tell((self.key, number))
            if number % 50 == 49:
                await asyncio.sleep(0.012)
        return int(count)


def _asking(swarm: Swarm, cls: type[Agent], name: str, count: int) -> None:
    refs = [swarm.agent(cls.kind, str(number)) for number in range(5)]
    for number in range(count):
        item = (name, number)
        if number % 7:
            refs[number % 5].tell(item)
        else:
            assert refs[number % 5].ask(item, timeout=30).get() == number
        if number % 60 == 59:
            eventually(lambda: any(ref._cell.state == PASSIVE for ref in refs), 20)  # type: ignore[union-attr]


@pytest.mark.parametrize("cls", [Collector, SlowToStop, ThreadCollector])
@pytest.mark.parametrize("placed", [True, False], ids=["placed", "spawned"])
def test_messages_across_passivation_are_all_handled_in_the_order_of_their_sender(
    swarm: Swarm, cls: type[Collector], placed: bool
) -> None:
    cls.got.clear()
    cls.instances = 0
    for number in range(5):
        (swarm.agent if placed else swarm.spawn)(cls, str(number))
    count = 600
    jobs = [swarm.spawn(Sender, name).ask([cls, count], timeout=60) for name in ("x", "y")]
    threads = [threading.Thread(target=_asking, args=(swarm, cls, name, count)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert [job.get() for job in jobs] == [count, count]
    eventually(lambda: sum(map(len, cls.got.values())) == 4 * count, 20)
    for (key, _), numbers in cls.got.items():
        assert numbers == list(range(int(key), count, 5))
    assert not swarm.dead_letters().counts
    assert cls.instances > 10


def test_what_comes_while_on_stop_still_runs_is_handled_by_the_next_instance(swarm: Swarm) -> None:
    began, go = threading.Event(), asyncio.Event()

    class Leaving(Idle):
        async def on_stop(self) -> None:  # type: ignore[override]
            began.set()
            await go.wait()

    ref = swarm.spawn(Leaving, "a", "x")
    assert ref.ask(5).get() == 5
    assert began.wait(5)
    assert cell_of(swarm, ref).state == STOPPING
    replies = [ref.ask(number) for number in (1, 2, 3)]
    swarm._running.dispatcher.call(go.set)
    assert [reply.get() for reply in replies] == [1, 3, 6]


def test_a_passive_thread_agent_has_no_thread_and_gets_one_again(swarm: Swarm) -> None:
    handled: list[tuple[int, int]] = []

    class Blocking(Agent):
        dispatcher = "thread"
        idle_after_s = 0.01

        @handles
        def take(self, number: int) -> None:
            handled.append((number, threading.get_ident()))

    name = f"covey-{swarm.node_name}-blocking/a"
    ref = swarm.spawn(Blocking, "a")
    ref.ask(0).get()
    for number in range(1, 4):
        passive(cell_of(swarm, ref))
        eventually(lambda: name not in [thread.name for thread in threading.enumerate()])
        ref.ask(number).get()
        ref.ask(number).get()
    assert [number for number, _ in handled] == [0, 1, 1, 2, 2, 3, 3]
    assert swarm._running.dispatcher.ident not in {ident for _, ident in handled}


# -- what keeps an instance ---------------------------------------------------------------------------


class Kept(Agent):
    """Would be passive long since; the test does the looking."""

    idle_after_s = 3600.0
    dispatcher = "loop"

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    @handles
    async def wait(self, text: str) -> str:
        await self.gate.wait()
        return text

    @handles(FunctionType)
    def do(self, what: Callable[[Any], None]) -> None:
        what(self)


@pytest.mark.parametrize("what", ["child", "watched", "after", "handler"])
def test_an_agent_that_is_needed_as_it_is_keeps_its_instance(swarm: Swarm, what: str) -> None:
    ref = swarm.spawn(Kept, "a")
    child: list[AgentRef] = []
    watch: Any = None
    timers: list[Any] = []
    reply: Any = None

    def prepare(agent: Kept) -> None:
        if what == "child":
            child.append(agent.spawn(Idle, "child"))
        elif what == "after":
            timers.append(agent.after(3600, "x"))

    ref.ask(prepare).get()
    cell = cell_of(swarm, ref)
    actor = cell.actor
    if what == "watched":
        watch = ref.watch()
    elif what == "handler":
        reply = ref.ask("x")
        eventually(lambda: cell.running == 1)
    look_at(swarm, cell)
    assert cell.state == RUNNING
    assert cell.actor is actor
    if what == "child":
        child[0].stop().get()
    elif what == "after":
        timers[0].cancel()
        eventually(lambda: not cell.timers)
    elif what == "watched":
        watch.cancel()
        assert not cell.watches
    else:
        swarm._running.dispatcher.call(actor.gate.set)
        assert reply.get() == "x"
    eventually(lambda: not cell.running and not cell.scheduled)
    look_at(swarm, cell)
    assert cell.state == PASSIVE


def test_ticks_keep_no_instance(swarm: Swarm) -> None:
    ticks = threading.Semaphore(0)

    class Ticking(Agent):
        idle_after_s = 0.05

        @every(0.002)
        def tick(self) -> None:
            ticks.release()

    cell = cell_of(swarm, swarm.spawn(Ticking, "a"))
    assert ticks.acquire(timeout=5)
    passive(cell)


# -- stops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_a_passive_spawned_agent_can_be_stopped_and_its_address_is_free(
    swarm: Swarm, cls: type[Idle]
) -> None:
    ref = swarm.spawn(cls, "a", "x")
    cell = passive(cell_of(swarm, ref))
    ref.stop().get()
    assert cell.state == STOPPED
    assert swarm.spawn(cls, "a", "y").ask(4).get() == 4


def test_a_stop_right_behind_a_message_to_a_passive_placed_agent_stops_it(swarm: Swarm) -> None:
    ref = swarm.agent(Kept, "a")
    ref.ask(lambda agent: None).get()
    cell = cell_of(swarm, ref)
    look_at(swarm, cell)
    assert cell.state == PASSIVE
    seen: list[str] = []
    with held_up(swarm):
        ref.tell(lambda agent: seen.append(agent.key))
        stopped = ref.stop()
    stopped.get()
    assert seen == ["a"]
    assert cell.state == STOPPED


def test_an_agent_spawned_over_a_passive_placed_one_with_mail_is_the_one_at_the_address(swarm: Swarm) -> None:
    ref = swarm.agent(Kept, "a")
    ref.ask(lambda agent: None).get()
    cell = cell_of(swarm, ref)
    look_at(swarm, cell)
    assert cell.state == PASSIVE
    handled: list[str] = []
    with held_up(swarm):
        ref.tell(lambda agent: handled.append("old"))
        spawned = swarm.spawn(Kept, "a")
    eventually(lambda: cell.state == STOPPED)
    spawned.ask(lambda agent: None).get()
    assert swarm._running.directory.find(ref._address) is spawned._cell
    assert len(handled) + len(swarm.dead_letters()) == 1


@pytest.mark.parametrize("cls", CLASSES)
def test_a_node_with_passive_agents_stops_without_waiting_for_them(cls: type[Idle]) -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        refs = [swarm.agent(cls, "placed"), swarm.spawn(cls, "spawned", "x")]
        for ref in refs:
            ref.tell(1)
        cells = [passive(cell_of(swarm, ref)) for ref in refs]
    eventually(lambda: all(cell.state == STOPPED for cell in cells))
    assert Idle.log.count("stop placed") == Idle.log.count("stop x") == 1
    assert not any(thread.name.endswith(("/placed", "/spawned")) for thread in threading.enumerate())


def test_a_parent_that_restarts_does_not_wait_for_a_child_that_is_just_passivating(swarm: Swarm) -> None:
    began, go = threading.Event(), asyncio.Event()

    class Leaving(Idle):
        async def on_stop(self) -> None:  # type: ignore[override]
            began.set()
            await go.wait()

    class Parent(Agent):
        def on_start(self) -> None:
            self.spawn(Leaving, "child")

        @handles
        def divide(self, number: int) -> float:
            return 1 / number

    swarm.supervise(Supervisor([Child(Parent, "p")]))
    ref = swarm.agent(Parent, "p")
    assert began.wait(5)
    with pytest.raises(ZeroDivisionError):
        ref.ask(0).get()
    child = cell_of(swarm, swarm.agent(Leaving.kind, "child"))
    swarm._running.dispatcher.call(go.set)
    eventually(lambda: child.state == STOPPED, 4.0)  # the restart would kill it after five seconds
    assert ref.ask(1, timeout=10).get() == 1
