"""A handler that holds the loop is named, with its stack, once per handler and minute; nobody else is."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from types import FunctionType
from typing import Any

import pytest

from covey import Agent, Swarm, every, handles, subscribes
from covey.framework.events import LoopHeld
from tests.framework.waiting import eventually

HOLD_S = 0.1
"""The watchdog's limit here. What must not be reported takes far less, what must be takes until it was."""


class Told(list[LoopHeld]):
    """The reports of a node; also what a handler that holds the loop waits for."""

    def hold(self) -> None:
        """Hold the thread until the next report has come: blocking code that a test need not time."""
        before, end = len(self), monotonic() + 5
        while len(self) == before and monotonic() < end:
            sleep(0.001)

    def hold_for(self, seconds: float) -> None:
        sleep(seconds)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def swarm(told: Told) -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0, watchdog_s=HOLD_S) as running:
        running.on_event(lambda event: told.append(event) if isinstance(event, LoopHeld) else None)
        yield running
        running.stop(0.3)


class Holder(Agent):
    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told

    @handles
    def plain(self, number: int) -> int:
        self.told.hold()
        return number

    @handles
    async def first_step(self, text: str) -> str:
        self.told.hold()
        return text

    @handles
    async def later_step(self, number: float) -> float:
        await asyncio.sleep(0)
        self.told.hold()
        return number

    @handles
    def short(self, nothing: None) -> None: ...


class HookHolder(Holder):
    async def on_start(self) -> None:  # type: ignore[override]
        self.told.hold()


class PlainHookHolder(Holder):
    def on_start(self) -> None:
        self.told.hold()


class TickHolder(Holder):
    ticked = False

    @every(0.01)
    def tick(self) -> None:
        if not self.ticked:
            self.ticked = True
            self.told.hold()


class Subscriber(Holder):
    @subscribes("news.*")
    def hear(self, news: bytes) -> None:
        self.told.hold()


@pytest.mark.parametrize(
    ("message", "name", "type_name"),
    [(1, "plain", "int"), ("x", "first_step", "str"), (0.5, "later_step", "float")],
)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
def test_a_handler_that_holds_the_loop_is_named_with_its_stack(
    swarm: Swarm,
    told: Told,
    caplog: pytest.LogCaptureFixture,
    message: Any,
    name: str,
    type_name: str,
    asked: bool,
) -> None:
    ref = swarm.spawn(Holder, "a", told)
    with caplog.at_level(logging.WARNING, "covey.watchdog"):
        if asked:
            assert ref.ask(message).get() == message
        else:
            ref.tell(message)
        ref.ask(None).get()
    (event,) = told
    assert (event.address, event.node) == ("holder/a", swarm.node_name)
    assert event.handler == f"Holder.{name}"
    assert event.message_type.endswith(type_name)
    assert event.held_s >= HOLD_S
    assert f"in {name}" in event.stack
    assert "self.told.hold()" in event.stack
    assert "in hold" in event.stack
    assert "covey/framework" not in event.stack
    (record,) = [r for r in caplog.records if r.name == "covey.watchdog"]
    assert f"holder/a holds the loop of node {swarm.node_name}: Holder.{name}" in record.message
    assert event.stack in record.message
    assert "dispatcher = 'thread'" in record.message


def test_a_handler_is_reported_once_a_minute_and_another_one_by_itself(swarm: Swarm, told: Told) -> None:
    ref = swarm.spawn(Holder, "a", told)
    ref.ask(1).get()
    other = swarm.spawn(Holder, "b", told)
    ref.ask("x").get()
    assert [event.handler for event in told] == ["Holder.plain", "Holder.first_step"]
    watchdog: Any = swarm._running._watchdog
    cell = other._cell
    for _ in range(2):
        watchdog._report(cell, "Holder.plain", "", 1.0, "")
    assert len(told) == 2
    watchdog._reported_at = {key: at - 61 for key, at in watchdog._reported_at.items()}
    other.ask(1).get()
    assert [event.address for event in told] == ["holder/a", "holder/a", "holder/b"]


@pytest.mark.parametrize("cls", [HookHolder, PlainHookHolder])
def test_a_hook_that_holds_the_loop_is_named(swarm: Swarm, told: Told, cls: type[Holder]) -> None:
    ref = swarm.spawn(cls, "a", told)
    ref.ask(None, timeout=20).get()
    assert [event.handler for event in told] == [f"{cls.__name__}.on_start"]
    assert told[0].message_type == ""
    assert "in on_start" in told[0].stack


def test_a_tick_that_holds_the_loop_is_named_and_the_mail_behind_it_is_not(swarm: Swarm, told: Told) -> None:
    class Busy(TickHolder):
        @every(0.01)
        def tick(self) -> None:
            if not self.ticked:
                self.ref.tell(None)
            super().tick()

    ref = swarm.spawn(Busy, "a", told)
    eventually(lambda: len(told) == 1)
    ref.ask(None).get()
    assert [event.handler.rpartition(".")[2] for event in told] == ["tick"]


def test_a_subscription_that_holds_the_loop_is_named_once(swarm: Swarm, told: Told) -> None:
    ref = swarm.spawn(Subscriber, "a", told)
    ref.ask(None).get()
    swarm.publish("news.x", b"x")
    eventually(lambda: len(told) == 1)
    ref.ask(None).get()
    assert [event.handler for event in told] == ["Subscriber.hear"]


@pytest.mark.parametrize("message", [1, "x", 0.5])
def test_an_inherited_handler_is_reported_once(swarm: Swarm, told: Told, message: Any) -> None:
    class Heir(Holder):
        pass

    ref = swarm.spawn(Heir, "a", told)
    ref.ask(message).get()
    ref.ask(None).get()
    assert len(told) == 1
    assert told[0].stack


class Doer(Agent):
    @handles(FunctionType)
    def do(self, what: Callable[[Any], Any]) -> Any:
        return what(self)


def test_many_short_messages_and_long_waits_are_reported_of_nobody(told: Told) -> None:
    limit_s = 0.4  # a busy machine may take a thread off its processor for a while

    class Patient(Agent):
        @handles
        async def wait(self, number: int) -> int:
            await asyncio.sleep(1.5 * limit_s)
            return number

        @handles
        def count(self, text: str) -> None: ...

    with Swarm.local(trace_ratio=0.0, watchdog_s=limit_s) as swarm:
        swarm.on_event(lambda event: told.append(event) if isinstance(event, LoopHeld) else None)
        waiting = [swarm.spawn(Patient, str(number)).ask(number) for number in range(10)]
        flooded = swarm.spawn(Patient, "flooded")
        for _ in range(20_000):
            flooded.tell("x")
        assert [reply.get() for reply in waiting] == list(range(10))
    assert not told


def test_a_thread_agent_may_take_its_time(told: Told) -> None:
    class Blocking(Holder):
        dispatcher = "thread"

        @handles
        def plain(self, number: int) -> int:
            self.told.hold_for(2 * HOLD_S)
            return number

        @handles
        async def first_step(self, text: str) -> str:
            self.told.hold_for(2 * HOLD_S)
            return text

    with Swarm.local(trace_ratio=0.0, watchdog_s=HOLD_S) as swarm:
        swarm.on_event(lambda event: told.append(event) if isinstance(event, LoopHeld) else None)
        ref = swarm.spawn(Blocking, "a", told)
        assert (ref.ask(1).get(), ref.ask("x").get()) == (1, "x")
    assert not told


def _watchdogs(swarm: Swarm) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == f"covey-watchdog-{swarm.node_name}"]


def test_the_watchdog_ends_with_its_node() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert len(_watchdogs(swarm)) == 1
    assert not _watchdogs(swarm)


def test_there_is_no_watchdog_when_it_is_off(told: Told) -> None:
    with Swarm.local(trace_ratio=0.0, watchdog_s=0) as swarm:
        swarm.on_event(lambda event: told.append(event) if isinstance(event, LoopHeld) else None)
        assert not _watchdogs(swarm)
        swarm.spawn(Doer, "a").ask(lambda agent: sleep(2 * HOLD_S)).get()
    assert not told


def test_the_environment_sets_and_ends_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_WATCHDOG_S", "0")
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert not _watchdogs(swarm)
    monkeypatch.setenv("COVEY_WATCHDOG_S", "0.5")
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert swarm._running._watchdog_s == 0.5
        assert len(_watchdogs(swarm)) == 1
