"""Spawning, hooks, stopping, failing, timers, threads and contexts."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    BlockingCallError,
    ConfigurationError,
    NoHostError,
    Swarm,
    every,
    handles,
)
from covey.framework.events import AgentFailed, AgentStarted, AgentStopped
from covey.framework.state import STOPPING
from tests.framework.waiting import eventually


class Hooked(Agent):
    def __init__(self, log: list[str], wrong: str = "") -> None:
        super().__init__()
        self.log = log
        self.wrong = wrong

    def note(self, what: str) -> None:
        self.log.append(what)
        if what == self.wrong:
            raise ValueError(what)

    def on_start(self) -> None:
        self.note("start")

    def on_stop(self) -> None:
        self.note("stop")

    def on_failure(self, kind: Any, error: Any, trace: Any) -> None:
        self.note(f"failure {error}")

    @handles
    def handle(self, text: str) -> str:
        self.note(text)
        return text

    @handles
    def stop_yourself(self, number: int) -> int:
        self.stop()
        return number


class AsyncHooked(Hooked):
    async def on_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.note("start")

    async def on_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.note("stop")

    async def on_failure(self, kind: Any, error: Any, trace: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.note(f"failure {error}")

    @handles
    async def handle(self, text: str) -> str:  # type: ignore[override]
        await asyncio.sleep(0)
        self.note(text)
        return text


class ThreadHooked(Hooked):
    dispatcher = "thread"


class ThreadAsyncHooked(AsyncHooked):
    dispatcher = "thread"


KINDS = [Hooked, AsyncHooked, ThreadHooked, ThreadAsyncHooked]


def gone(swarm: Swarm, ref: Any) -> bool:
    return swarm._running.directory.find(ref._address, activate=False) is None


@pytest.mark.parametrize("cls", KINDS)
def test_hooks_run_around_the_messages(swarm: Swarm, cls: type[Hooked]) -> None:
    log: list[str] = []
    ref = swarm.spawn(cls, "a", log)
    ref.tell("one")
    assert ref.ask("two").get() == "two"
    ref.stop().get()
    assert log == ["start", "one", "two", "stop"]


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("start", ["start", "failure start"]),
        ("stop", ["start", "x", "stop"]),
        ("x", ["start", "x", "failure x"]),
    ],
)
def test_an_error_in_a_hook_or_handler_ends_an_unsupervised_agent(
    swarm: Swarm, cls: type[Hooked], wrong: str, expected: list[str]
) -> None:
    log: list[str] = []
    ref = swarm.spawn(cls, "a", log, wrong)
    ref.tell("x")
    ref.stop()
    eventually(lambda: gone(swarm, ref))
    assert log == expected


def test_an_error_in_on_failure_ends_the_agent_all_the_same(swarm: Swarm) -> None:
    class Worse(Hooked):
        def on_failure(self, kind: Any, error: Any, trace: Any) -> None:
            raise RuntimeError("worse")

    ref = swarm.spawn(Worse, "a", [], "x")
    with pytest.raises(ValueError, match="x"):
        ref.ask("x").get()
    eventually(lambda: gone(swarm, ref))


def test_a_constructors_error_raises_in_the_caller_and_frees_the_address(swarm: Swarm) -> None:
    class Picky(Agent):
        def __init__(self, number: int, *, scale: int = 1) -> None:
            super().__init__()
            self.number = number * scale
            assert self.key == "a"
            if number < 0:
                raise ValueError("negative")

        @handles
        def tell_me(self, text: str) -> int:
            return self.number

    with pytest.raises(ValueError, match="negative"):
        swarm.spawn(Picky, "a", -1)
    with pytest.raises(TypeError):
        swarm.spawn(Picky, "a")
    assert swarm.spawn(Picky, "a", 2, scale=3).ask("x").get() == 6


def test_an_address_in_use_is_refused_until_its_agent_has_stopped(swarm: Swarm) -> None:
    ref = swarm.spawn(Hooked, "a", [])
    with pytest.raises(AddressInUseError, match="hooked/a is in use"):
        swarm.spawn(Hooked, "a", [])
    ref.stop().get()
    assert swarm.spawn(Hooked, "a", []).ask("x").get() == "x"


def test_messages_before_the_stop_are_handled_and_later_ones_become_dead_letters(swarm: Swarm) -> None:
    gate = threading.Event()
    log: list[str] = []

    class Gated(ThreadHooked):
        def on_start(self) -> None:
            gate.wait(5)

    ref = swarm.spawn(Gated, "a", log)
    before = [ref.ask("one"), ref.ask("two")]
    stopped = ref.stop()
    after = ref.ask("three")
    ref.tell("four")
    gate.set()
    assert [reply.get() for reply in before] == ["one", "two"]
    stopped.get()
    with pytest.raises(AgentDeadError, match="gated/a"):
        after.get()
    assert log == ["one", "two", "stop"]
    assert swarm.dead_letters().counts == {"stopped": 2}


def test_a_stop_whose_asker_waits_no_longer_is_carried_out(swarm: Swarm) -> None:
    gate = threading.Event()

    class Gated(ThreadHooked):
        def on_start(self) -> None:
            gate.wait(5)

    ref = swarm.spawn(Gated, "a", [])
    swarm._running.ask_timeout_s = 0.01
    with pytest.raises(TimeoutError):
        ref.stop().get()
    gate.set()
    eventually(lambda: gone(swarm, ref))


def test_an_agent_that_stops_itself_still_answers(swarm: Swarm) -> None:
    log: list[str] = []
    ref = swarm.spawn(Hooked, "a", log)
    assert ref.ask(7).get() == 7
    eventually(lambda: log == ["start", "stop"])
    assert ref.stop().get() is None


def test_children_stop_before_their_parent(swarm: Swarm) -> None:
    log: list[str] = []

    class Parent(Hooked):
        def on_start(self) -> None:
            for key in ("a", "b"):
                self.spawn(AsyncChild, key, log)

    class AsyncChild(Hooked):
        async def on_stop(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0.01)
            log.append(f"child {self.key}")

    ref = swarm.spawn(Parent, "p", log)
    ref.ask("x").get()
    ref.stop().get()
    assert sorted(log[-3:-1]) == ["child a", "child b"]
    assert log[-1] == "stop"
    assert not swarm._running.directory.cells


def test_children_stop_when_their_parent_fails(swarm: Swarm) -> None:
    class Parent(Hooked):
        def on_start(self) -> None:
            self.spawn(Hooked, "child", self.log)

    log: list[str] = []
    ref = swarm.spawn(Parent, "p", log, "x")
    ref.tell("x")
    eventually(lambda: not swarm._running.directory.cells)
    assert "stop" in log


def test_stopping_while_on_start_still_runs_waits_for_it(swarm: Swarm) -> None:
    began, gate = threading.Event(), asyncio.Event()
    log: list[str] = []

    class SlowStart(Hooked):
        async def on_start(self) -> None:  # type: ignore[override]
            began.set()
            await gate.wait()
            self.log.append("start")

    ref = swarm.spawn(SlowStart, "a", log)
    assert began.wait(5)
    cell: Any = swarm._running.directory.find(ref._address)
    swarm._running.request_stop(cell)
    eventually(lambda: cell.state == STOPPING)
    swarm._running.dispatcher.call(gate.set)
    eventually(lambda: log == ["start", "stop"])


def test_a_failure_during_the_stop_ends_the_agent_once(swarm: Swarm) -> None:
    gate = asyncio.Event()
    stopped: list[Any] = []
    swarm.on_event(lambda event: stopped.append(event) if isinstance(event, AgentStopped) else None)

    class Late(Agent):
        @handles
        async def late(self, text: str) -> None:
            await gate.wait()
            raise ValueError(text)

    ref = swarm.spawn(Late, "a")
    reply = ref.ask("x")
    cell: Any = swarm._running.directory.find(ref._address)
    eventually(lambda: cell.running == 1)
    swarm._running.request_stop(cell)
    swarm._running.dispatcher.call(gate.set)
    with pytest.raises(ValueError, match="x"):
        reply.get()
    eventually(lambda: len(stopped) == 1 and gone(swarm, ref))


def test_events_tell_of_start_failure_and_stop(swarm: Swarm) -> None:
    events: list[Any] = []
    swarm.on_event(events.append)
    ref = swarm.spawn(Hooked, "a", [], "x")
    ref.tell("x")
    eventually(lambda: any(isinstance(event, AgentStopped) for event in events))
    kinds = [type(e) for e in events if getattr(e, "address", "") == "hooked/a"]
    assert kinds == [AgentStarted, AgentFailed, AgentStopped]


def test_system_exit_in_a_handler_fails_its_agent_and_nothing_else(swarm: Swarm) -> None:
    class Leaving(Agent):
        @handles
        async def leave(self, text: str) -> None:
            raise SystemExit(3)

        @handles
        def leave_plainly(self, number: int) -> None:
            raise SystemExit(number)

    class LeavingThread(Leaving):
        dispatcher = "thread"

    other = swarm.spawn(Hooked, "other", [])
    for cls, message in ((Leaving, "x"), (Leaving, 3), (LeavingThread, "x"), (LeavingThread, 3)):
        ref = swarm.spawn(cls, "a")
        with pytest.raises(SystemExit):
            ref.ask(message).get()
        eventually(lambda ref=ref: gone(swarm, ref))  # type: ignore[misc]
    assert other.ask("still here").get() == "still here"


def test_several_handlers_run_at_once_when_the_class_says_so(swarm: Swarm) -> None:
    class Wide(Agent):
        concurrency = 3

        def __init__(self) -> None:
            super().__init__()
            self.inside, self.most, self.senders = 0, 0, []  # type: ignore[var-annotated]
            self.gate = asyncio.Event()

        @handles
        async def enter(self, number: int) -> int:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == 3:
                self.gate.set()
            await self.gate.wait()
            await asyncio.sleep(0)
            self.inside -= 1
            return self.most

    ref = swarm.spawn(Wide, "a")
    replies = [ref.ask(number) for number in range(9)]
    assert max(reply.get() for reply in replies) == 3


def test_what_a_failed_instance_left_running_does_not_fail_the_next(swarm: Swarm) -> None:
    from covey import Child, Supervisor

    class Wide(Agent):
        concurrency = 2
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1

        @handles
        async def stubborn(self, text: str) -> None:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                await asyncio.sleep(0.02)
                raise ValueError("late") from None

        @handles
        async def fail(self, number: int) -> None:
            raise KeyError(number)

        @handles
        def made_so_far(self, nothing: None) -> int:
            return self.made

    swarm.supervise(Supervisor([Child(Wide, "a")]))
    ref = swarm.agent(Wide, "a")
    left = ref.ask("x")
    with pytest.raises(KeyError):
        ref.ask(1).get()
    with pytest.raises(AgentDeadError):
        left.get()
    cell: Any = swarm._running.directory.find(ref._address)
    eventually(lambda: not cell.tasks)
    assert ref.ask(None).get() == 2


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_context_variables_stay_with_their_agent(swarm: Swarm, dispatcher: Any) -> None:
    class Keeper(Agent):
        def __init__(self) -> None:
            super().__init__()
            self.born_with = VARIABLE.get()
            VARIABLE.set(f"made {self.key}")

        @handles
        def keep(self, text: str) -> str:
            before = VARIABLE.get()
            VARIABLE.set(text)
            return before

        @handles
        async def keep_later(self, number: int) -> str:
            await asyncio.sleep(0)
            return VARIABLE.get()

        @handles
        def born(self, nothing: None) -> str:
            return self.born_with

    Keeper.dispatcher = dispatcher
    VARIABLE.set("callers")
    a, b = swarm.agent(Keeper, "a"), swarm.agent(Keeper, "b")
    assert a.ask("mine").get() == "made a"
    assert b.ask("yours").get() == "made b"
    assert (a.ask(1).get(), b.ask(1).get()) == ("mine", "yours")
    assert (a.ask(None).get(), b.ask(None).get()) == ("unset", "unset")


def test_every_ticks_without_running_beside_another_handler(swarm: Swarm) -> None:
    class Clock(Agent):
        def __init__(self) -> None:
            super().__init__()
            self.ticks, self.busy, self.overlaps = 0, False, 0

        @every(0.002)
        async def tick(self) -> None:
            self.overlaps += self.busy
            self.busy = True
            await asyncio.sleep(0)
            self.busy = False
            self.ticks += 1

        @handles
        async def work(self, text: str) -> int:
            self.overlaps += self.busy
            self.busy = True
            await asyncio.sleep(0.005)
            self.busy = False
            return self.ticks

    ref = swarm.spawn(Clock, "a")
    actor: Any = swarm._running.directory.find(ref._address).actor  # type: ignore[union-attr]
    for _ in range(5):
        ref.ask("x").get()
    eventually(lambda: actor.ticks >= 5)
    assert actor.overlaps == 0
    ref.stop().get()
    assert not swarm._running.directory.cells


def test_a_thread_agent_may_block_while_the_loop_goes_on(swarm: Swarm) -> None:
    gate = threading.Event()

    class Blocking(Agent):
        dispatcher = "thread"

        @handles
        def block(self, text: str) -> str:
            assert gate.wait(5)
            return self.agent(Hooked, "h").ask(text).get()

    swarm.spawn(Hooked, "h", [])
    reply = swarm.spawn(Blocking, "a").ask("x")
    assert swarm.agent(Hooked, "h").ask("quick").get() == "quick"
    gate.set()
    assert reply.get() == "x"


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"dispatcher": "process"}, "choose 'loop' or 'thread'"),
        ({"trace": "maybe"}, "choose 'off' or 'sampled'"),
        ({"durable": True}, "not available yet"),
        ({"idle_after_s": 0}, "give seconds, at least 0.01"),
        ({"handler_deadline_s": 0}, "give seconds, at least 0.01"),
        ({"handler_deadline_s": True}, "give seconds, at least 0.01"),
        ({"max_retries": -1}, "give a number, 0 to 1,000"),
        ({"preserve_state": 1}, "True or False"),
        ({"concurrency": 0}, "at least 1"),
        ({"concurrency": 2, "dispatcher": "thread"}, "needs dispatcher = 'loop'"),
        ({"mailbox": 5}, "give a Mailbox"),
        ({"kind": "a b"}, "is no agent kind"),
    ],
)
def test_a_class_attribute_that_makes_no_sense_is_refused(attributes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        type("Wrong", (Agent,), attributes)


@pytest.mark.parametrize("key", ["", "x" * 257, 7, "\ud800"])
def test_a_bad_key_is_refused(swarm: Swarm, key: Any) -> None:
    with pytest.raises(ConfigurationError):
        swarm.spawn(Hooked, key, [])
    with pytest.raises(ConfigurationError):
        swarm.agent("hooked", key)


@pytest.mark.parametrize("key", ["ключ", "a/b c", "日本", "🦆" * 64, "%2F", "e\u0301"])
def test_keys_of_any_unicode_work(swarm: Swarm, key: str) -> None:
    ref = swarm.spawn(Hooked, key, [])
    assert ref.ask("x").get() == "x"
    assert swarm.agent("hooked", key) == ref
    assert ref.address == f"hooked/{key}"


def test_an_unknown_kind_is_named_with_what_there_is(swarm: Swarm) -> None:
    with pytest.raises(NoHostError, match="no live node hosts the agent kind 'nobody'"):
        swarm.agent("nobody", "a").ask("x").get()
    with pytest.raises(ConfigurationError, match="give a kind or a subclass of Agent"):
        swarm.agent(int, "a")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="subclass of Agent"):
        swarm.spawn(str, "a")  # type: ignore[arg-type]


def test_a_class_that_needs_arguments_cannot_be_placed(swarm: Swarm) -> None:
    with pytest.raises(ConfigurationError, match="Hooked cannot be placed: its constructor needs log"):
        swarm.agent(Hooked, "a")
    with pytest.raises(ConfigurationError, match="Hooked cannot be placed"):
        Swarm.local(hosts=[Hooked]).start()


def test_an_agent_made_by_calling_its_class_says_what_to_do(swarm: Swarm) -> None:
    with pytest.raises(ConfigurationError, match=r"is not started; use swarm\.spawn"):
        _ = Hooked([]).address


def test_the_node_cannot_be_stopped_from_its_own_thread(swarm: Swarm) -> None:
    class Stopper(Agent):
        @handles
        def stop_all(self, text: str) -> None:
            swarm.stop()

    with pytest.raises(BlockingCallError, match="stopped from its own thread"):
        swarm.spawn(Stopper, "a").ask("x").get()


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_ticks_that_take_longer_than_their_period_let_the_mail_have_its_turn(
    swarm: Swarm, dispatcher: Any
) -> None:
    ticked = threading.Event()

    class Late(Agent):
        @every(0.01)
        async def tick(self) -> None:
            ticked.set()
            await asyncio.sleep(0.03)

        @handles
        async def echo(self, text: str) -> str:
            return text

    Late.dispatcher = dispatcher
    ref = swarm.spawn(Late, "a")
    assert ticked.wait(5)
    for _ in range(5):
        assert ref.ask("x", timeout=2).get() == "x"


def test_a_constructor_that_fails_after_it_spawned_leaves_no_child_behind(swarm: Swarm) -> None:
    class Broken(Agent):
        def __init__(self) -> None:
            super().__init__()
            self.spawn(Hooked, "child", [])
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        swarm.spawn(Broken, "a")
    eventually(lambda: not swarm._running.directory.cells)


def test_an_agent_that_stops_can_have_no_new_child(swarm: Swarm) -> None:
    refused: list[str] = []

    class Parent(Agent):
        def on_stop(self) -> None:
            try:
                self.spawn(Hooked, "late", [])
            except AgentDeadError as error:
                refused.append(str(error))

    swarm.spawn(Parent, "a").stop().get()
    assert refused == ["parent/a cannot answer: it is stopping, and can have no new child"]
    assert not swarm._running.directory.cells


@pytest.mark.parametrize("name", ["handler_deadline_s", "idle_after_s", "durable"])
def test_attributes_that_are_not_available_yet_are_declared(name: str) -> None:
    assert getattr(Agent, name) in (None, False)
