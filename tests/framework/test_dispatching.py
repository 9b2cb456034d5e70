"""The shared dispatcher: fair between agents, bounded turns, and nothing that a handler does ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic, sleep
from types import FunctionType
from typing import Any, ClassVar

import pytest

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    AgentRef,
    AskTimeoutError,
    RemoteError,
    Swarm,
    handles,
    message,
)
from covey.framework.dispatcher import BATCH, BUDGET_S
from covey.transports import MemoryHub, MemoryTransport
from tests.framework.waiting import eventually, held_up


class Doer(Agent):
    """Does what it is told; `log` has who did so, in order."""

    log: ClassVar[list[str]] = []

    @handles(FunctionType)
    def do(self, what: Callable[[Any], Any]) -> Any:
        return what(self)

    @handles
    def note(self, number: int) -> int:
        self.log.append(self.key)
        return number


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Doer.log.clear()


# -- fairness ----------------------------------------------------------------------------------------


def test_a_flooded_agent_lets_each_other_one_have_its_turn(swarm: Swarm) -> None:
    flooded, quiet = swarm.spawn(Doer, "flooded"), [swarm.spawn(Doer, key) for key in "abc"]
    with held_up(swarm):
        for number in range(50 * BATCH):
            flooded.tell(number)
        for number in range(6):
            for ref in quiet:
                ref.tell(number)
    eventually(lambda: len(Doer.log) == 50 * BATCH + 18)
    for ref in quiet:
        assert Doer.log.index(ref.key) <= BATCH + 12
    # All that the quiet ones had was handled while most of the flood still waited.
    assert len(Doer.log) - Doer.log[::-1].index("c") <= 2 * BATCH + 18


def test_agents_that_keep_each_other_busy_for_ever_hold_nobody_up(swarm: Swarm) -> None:
    over = threading.Event()

    class Busy(Doer):
        @handles
        def note(self, number: int) -> int:
            if not over.is_set():
                self.ref.tell(number)
                self.count = number
            return number

    for key in "xyz":
        for number in range(2 * BATCH):
            swarm.spawn(Busy, f"{key}{number}").tell(number)
    quiet = swarm.spawn(Doer, "quiet")
    try:
        assert [quiet.ask(number).get() for number in range(20)] == list(range(20))
    finally:
        over.set()


def test_an_endless_chain_of_system_calls_holds_nobody_up(swarm: Swarm) -> None:
    dispatcher = swarm._running.dispatcher
    over, calls = threading.Event(), 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if not over.is_set():
            dispatcher.call(call)

    dispatcher.call(call)
    quiet = swarm.spawn(Doer, "quiet")
    try:
        assert [quiet.ask(number).get() for number in range(20)] == list(range(20))
        before = calls
        eventually(lambda: calls > before)
    finally:
        over.set()


def test_a_turn_ends_after_its_time_though_mail_is_left(swarm: Swarm) -> None:
    seen_by_the_loop: list[int] = []
    loop = swarm._running.dispatcher.loop

    class Taking(Agent):
        count = 0

        @handles
        def take(self, number: int) -> None:
            if number == 0:
                loop.call_soon(lambda: seen_by_the_loop.append(self.count))
            self.count += 1
            end = monotonic() + BUDGET_S
            while monotonic() <= end:
                sleep(0.001)

    ref = swarm.spawn(Taking, "a")
    with held_up(swarm):
        for number in range(10):
            ref.tell(number)
    eventually(lambda: seen_by_the_loop != [])
    assert seen_by_the_loop == [1]


def test_a_system_call_goes_ahead_of_a_flood(swarm: Swarm) -> None:
    ref = swarm.spawn(Doer, "a")
    with held_up(swarm):
        for number in range(20 * BATCH):
            ref.tell(number)
        handled: list[int] = []
        swarm._running.dispatcher.call(lambda: handled.append(len(Doer.log)))
    eventually(lambda: handled != [])
    assert handled[0] <= BATCH


def test_one_wake_up_serves_what_many_threads_send(swarm: Swarm) -> None:
    refs = [swarm.spawn(Doer, str(number)) for number in range(20)]

    def send() -> None:
        for number in range(100):
            for ref in refs:
                ref.tell(number)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    eventually(lambda: len(Doer.log) == 6_000)
    assert not swarm.dead_letters().counts


# -- what a handler may do to itself ---------------------------------------------------------------------


class Ending(Agent):
    """Raises what it is given, in every way."""

    @handles
    def plain(self, error: BaseException) -> None:
        raise error

    @handles
    async def at_once(self, box: list) -> None:  # type: ignore[type-arg]
        raise box[0]

    @handles
    async def later(self, box: tuple) -> None:  # type: ignore[type-arg]
        await asyncio.sleep(0)
        raise box[0]


class EndingThread(Ending):
    dispatcher = "thread"


@pytest.mark.parametrize("cls", [Ending, EndingThread])
@pytest.mark.parametrize(
    "wrap", [lambda e: e, lambda e: [e], lambda e: (e,)], ids=["plain", "first", "later"]
)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, GeneratorExit])
def test_whatever_a_handler_raises_fails_its_agent_only(
    swarm: Swarm, cls: type[Agent], wrap: Any, error: type[BaseException]
) -> None:
    ref, other = swarm.spawn(cls, "a"), swarm.spawn(Doer, "other")
    reply, behind = ref.ask(wrap(error("x"))), ref.ask(wrap(ValueError("behind")))
    with pytest.raises(error):
        reply.get(2)
    with pytest.raises(AgentDeadError, match=error.__name__):
        behind.get(2)
    assert other.ask(1).get(2) == 1
    eventually(lambda: len(swarm._running.directory) == 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_failure", "__init__"])
def test_whatever_a_hook_raises_ends_its_agent_only(
    swarm: Swarm, hook: str, error: type[BaseException]
) -> None:
    def boom(self: Agent, *_: Any) -> None:
        raise error(hook)

    cls = type("Hooked", (Doer,), {hook: boom, "__module__": __name__})
    ref, other = swarm.agent(cls, "a"), swarm.spawn(Doer, "other")
    if hook in ("on_start", "__init__"):
        with pytest.raises((AgentDeadError, AskTimeoutError)) as caught:
            ref.ask(1, timeout=3).get()
        assert isinstance(caught.value, AgentDeadError)
    elif hook == "on_stop":
        ref.ask(1).get()
        ref.stop().get(2)
    else:
        with pytest.raises(ZeroDivisionError):
            ref.ask(lambda agent: 1 / 0).get()
        assert ref.ask(1).get(2) == 1  # placement has started it anew
    assert other.ask(1).get(2) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_task_raises_that_was_left_behind_loses_nobodys_turn(
    swarm: Swarm, error: type[BaseException]
) -> None:
    class Leaving(Agent):
        @handles
        async def leave(self, ref: AgentRef) -> None:
            async def left() -> None:
                await ref.ask("x", timeout=60)
                raise error

            self.task = asyncio.create_task(left())

    class Gated(Agent):
        @handles
        async def wait(self, text: str) -> None:
            await asyncio.sleep(60)

    gated, others = swarm.spawn(Gated, "g"), [swarm.spawn(Doer, str(number)) for number in range(5)]
    swarm.spawn(Leaving, "l").ask(gated).get()
    cell: Any = gated._cell
    eventually(lambda: cell.running == 1)
    replies: list[Any] = []

    def all_at_once() -> None:
        next(iter(cell.tasks.values())).envelope.reply.resolve(None)
        replies.extend(ref.ask(number, timeout=60) for number, ref in enumerate(others))

    swarm._running.dispatcher.call(all_at_once)
    eventually(lambda: len(replies) == 5 and all(reply.done() for reply in replies))
    assert [reply.get() for reply in replies] == list(range(5))


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_an_async_handler_that_stops_its_agent_still_answers(swarm: Swarm, dispatcher: Any) -> None:
    class Leaving(Agent):
        @handles
        async def leave(self, number: int) -> int:
            self.stop()
            await asyncio.sleep(0)
            return number

    Leaving.dispatcher = dispatcher
    ref = swarm.spawn(Leaving, "a")
    reply, behind = ref.ask(1), ref.ask(2)
    assert reply.get() == 1
    try:
        assert behind.get() == 2  # it stood in the mailbox before the request to stop
    except AgentDeadError:
        assert len(swarm.dead_letters()) == 1  # or came after it
    eventually(lambda: not swarm._running.directory.cells)


def test_of_many_threads_that_spawn_one_address_one_wins(swarm: Swarm) -> None:
    won: list[AgentRef] = []
    lost: list[AddressInUseError] = []
    start = threading.Barrier(8)

    def spawn() -> None:
        start.wait(5)
        for key in range(20):
            try:
                won.append(swarm.spawn(Doer, str(key)))
            except AddressInUseError as error:
                lost.append(error)

    threads = [threading.Thread(target=spawn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(int(ref.key) for ref in won) == list(range(20))
    assert len(lost) == 140
    assert [ref.ask(1).get() for ref in won] == [1] * 20


def test_a_placed_agent_that_cannot_be_made_says_so_to_its_askers(swarm: Swarm) -> None:
    class Broken(Doer):
        def __init__(self) -> None:
            raise ValueError("no luck")

    with pytest.raises(AgentDeadError, match="ValueError: no luck"):
        swarm.agent(Broken, "a").ask(1, timeout=30).get()


def test_a_handler_that_never_returns_holds_up_its_agent_only_and_ends_with_the_node() -> None:
    ended: list[str] = []

    class Endless(Agent):
        @handles
        async def wait(self, text: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(text)

    with Swarm.local(trace_ratio=0.0) as swarm:
        ref, other = swarm.spawn(Endless, "a"), swarm.spawn(Doer, "other")
        first, second = ref.ask("x", timeout=60), ref.ask("y", timeout=0.01)
        with pytest.raises(AskTimeoutError):
            second.get()
        assert other.ask(1).get() == 1
        swarm.stop(0.05)
        with pytest.raises(AgentDeadError):
            first.get(2)
    assert ended == ["x"]


def test_an_answer_after_the_deadline_is_a_dead_letter_and_changes_nothing(swarm: Swarm) -> None:
    gate, answered = asyncio.Event(), threading.Event()

    class Late(Agent):
        @handles
        async def wait(self, text: str) -> str:
            await gate.wait()
            self._own.post(answered.set)
            return text

    reply = swarm.spawn(Late, "a").ask("x", timeout=0.01)
    calls: list[int] = []
    reply.add_done_callback(lambda: calls.append(1))
    with pytest.raises(AskTimeoutError):
        reply.get()
    swarm._running.dispatcher.call(gate.set)
    assert answered.wait(5)
    with pytest.raises(AskTimeoutError):
        reply.get()
    assert calls == [1]
    eventually(lambda: swarm.dead_letters().counts == {"late reply": 1})


@message
class Wanted:
    what: str


class Answering(Agent):
    @handles
    def answer(self, wanted: Wanted) -> Any:
        return {"bare": object(), "large": Wanted(what="x" * (2 << 20)), "good": wanted}[wanted.what]


@pytest.mark.parametrize(("what", "type_name"), [("bare", "NotSerializable"), ("large", "PayloadTooLarge")])
def test_an_answer_that_cannot_travel_is_told_to_the_asker(what: str, type_name: str) -> None:
    hub = MemoryHub()

    def node(name: str, *hosts: type[Agent]) -> Swarm:
        return Swarm("pair", transport=lambda: MemoryTransport(hub), hosts=hosts, node=name, trace_ratio=0.0)

    with node("far", Answering), node("near") as near:
        assert near.wait_for_nodes(2)
        ref = near.agent(Answering, "a")
        with pytest.raises((RemoteError, TypeError, ValueError)) as caught:
            ref.ask(Wanted(what=what), timeout=10).get()
        assert type_name in f"{type(caught.value).__name__} {caught.value!r}"
        assert ref.ask(Wanted(what="good")).get() == Wanted(what="good")
