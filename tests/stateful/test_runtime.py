"""A real node with agents of every kind of life under random traffic, from outside and from agents.

What has to hold: each message is handled once or is a dead letter, by its number; each ask resolves once;
what one sender sent to one receiver is handled in that order; nobody stands still while there is mail.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    AgentRef,
    AskCancelledError,
    AskTimeoutError,
    Child,
    Mailbox,
    MailboxFullError,
    NoHostError,
    Supervisor,
    handles,
)
from covey.framework.node import Node
from covey.framework.watching import Terminated
from tests.framework.waiting import eventually

KINDS = ("spawned", "supervised", "placed")
DEEDS = ("plain", "plain", "async", "later", "hold", "fail", "fail later", "stop", "after")
HANDLED_TOO = ("failed", "cancelled")
"""Reasons of dead letters whose handler had begun."""
EXPECTED = (AgentDeadError, AskCancelledError, AskTimeoutError, MailboxFullError, NoHostError)


@dataclass(frozen=True, slots=True)
class Plain:
    """A message with a number, for a plain handler; `then` is the number of one sent by `after`."""

    number: int
    sender: str
    deed: str
    then: int = 0

    def __repr__(self) -> str:
        return f"#{self.number}#"


class Async(Plain):
    """The same for an `async def` handler."""

    __slots__ = ()


@dataclass
class World:
    """What the agents of one run share, over all their instances."""

    gate: threading.Event
    handled: list[tuple[str, Plain]]
    relayed: list[Any]
    ended: list[Terminated]


class Subject(Agent):
    idle_after_s = 3600.0  # the test does the looking
    world: ClassVar[World]

    async def on_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)

    async def on_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)

    @handles
    def take(self, message: Plain) -> int:
        self.world.handled.append((self.address, message))
        if message.deed == "fail":
            raise ValueError(message.number)
        if message.deed == "stop":
            self.stop()
        elif message.deed == "after":
            self.after(0, Plain(message.then, f"after {message.sender}", "plain"))
        return message.number

    @handles
    async def take_async(self, message: Async) -> int:
        self.world.handled.append((self.address, message))
        while message.deed == "hold" and not self.world.gate.is_set():
            await asyncio.sleep(0.001)
        if message.deed != "async":
            await asyncio.sleep(0)
        if message.deed == "fail later":
            raise ValueError(message.number)
        return message.number


class Relay(Agent):
    """Sends on from inside of an agent, and watches from there."""

    concurrency = 4
    world: ClassVar[World]

    @handles
    async def send(self, job: tuple) -> None:  # type: ignore[type-arg]
        ref, message, timeout_s = job
        try:
            if timeout_s is None:
                await ref.tell(message)
            else:
                self.world.relayed.append(ref.ask(message, timeout=timeout_s))
        except MailboxFullError:
            return  # a dead letter, which the end counts

    @handles
    def watch(self, ref: AgentRef) -> None:
        ref.watch()

    @handles
    def hear(self, end: Terminated) -> None:
        self.world.ended.append(end)


class Ask:
    """An ask with a count of its resolutions."""

    def __init__(self, message: Plain, reply: Any) -> None:
        self.message = message
        self.reply = reply
        self.calls = 0
        reply.add_done_callback(self._resolved)

    def _resolved(self) -> None:
        self.calls += 1


class Runtime(RuleBasedStateMachine):
    @initialize(
        capacity=st.integers(1, 4),
        overflow=st.sampled_from(["backpressure", "drop_oldest", "drop_newest", "fail"]),
        dispatcher=st.sampled_from(["loop", "loop", "thread"]),
        hooks=st.booleans(),
    )
    def start(self, capacity: int, overflow: Any, dispatcher: Any, hooks: bool) -> None:
        self.world = World(threading.Event(), [], [], [])
        common = {
            "world": self.world,
            "mailbox": Mailbox(capacity=capacity, overflow=overflow),
            "dispatcher": dispatcher,
            "__module__": __name__,
        }
        if not hooks:
            common |= {"on_start": Agent.on_start, "on_stop": Agent.on_stop}
        self.classes = {kind: type(kind.title(), (Subject,), {**common, "kind": kind}) for kind in KINDS}
        relay = type("Relay", (Relay,), {"world": self.world, "kind": "relay", "__module__": __name__})
        self.node = Node("stateful", "n", hosts=[self.classes["placed"]], ask_timeout_s=0.02, watchdog_s=None)
        self.node.directory._placed.backoff = None
        self.node.start()
        self.numbers: Iterator[int] = itertools.count(1)
        self.sent: dict[int, Plain] = {}
        self.may_vanish: set[int] = set()
        """Sent by `after`, which the end of an instance cancels."""
        self.asks: list[Ask] = []
        self.watches: list[Any] = []
        self.node.trees.supervise(
            Supervisor([Child(self.classes["supervised"], "a")], intensity=1_000, backoff=None)
        )
        self.relay = self.node.ref_of(self.node.spawn(relay, "r"))
        self.spawn()

    def message(self, sender: str, deed: str) -> Plain:
        cls = Async if deed in ("async", "later", "hold", "fail later") else Plain
        message = cls(next(self.numbers), sender, deed, next(self.numbers) if deed == "after" else 0)
        self.sent[message.number] = message
        if message.then:
            self.may_vanish.add(message.then)
        return message

    def ref(self, kind: str) -> AgentRef:
        return self.node.agent(kind, "a")

    # -- traffic -----------------------------------------------------------------------------------

    @rule()
    def spawn(self) -> None:
        try:
            self.node.spawn(self.classes["spawned"], "a")
        except AddressInUseError:
            return

    @rule(kind=st.sampled_from(KINDS), deeds=st.lists(st.sampled_from(DEEDS), min_size=1, max_size=6))
    def tell(self, kind: str, deeds: list[str]) -> None:
        ref = self.ref(kind)
        for deed in deeds:
            try:
                ref.tell(self.message("outside", deed))
            except MailboxFullError:
                continue  # it is a dead letter then, which the end counts

    @rule(kind=st.sampled_from(KINDS), deed=st.sampled_from(DEEDS), timeout_s=st.sampled_from([0.001, 30.0]))
    def ask(self, kind: str, deed: str, timeout_s: float) -> None:
        message = self.message("outside", deed)
        self.asks.append(Ask(message, self.ref(kind).ask(message, timeout=timeout_s)))

    @rule(
        kind=st.sampled_from(KINDS),
        deeds=st.lists(st.sampled_from(DEEDS), min_size=1, max_size=4),
        timeout_s=st.sampled_from([None, None, 0.005, 30.0]),
    )
    def relay_on(self, kind: str, deeds: list[str], timeout_s: float | None) -> None:
        for deed in deeds:
            self.relay.tell((self.ref(kind), self.message("relay", deed), timeout_s))

    @rule(index=st.integers(0, 30))
    def cancel_an_ask(self, index: int) -> None:
        if self.asks:
            self.asks[index % len(self.asks)].reply.cancel()

    # -- lives -------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS))
    def passivate(self, kind: str) -> None:
        for cell in self.node.directory.cells:
            if cell.address.kind == kind:
                for _ in range(3):
                    cell.post(self.look, cell)

    def look(self, cell: Any) -> None:
        """As passivation does when long enough has passed."""
        look = cell.idle_look
        if look is not None:
            look.quiet_since = float("-inf")
            self.node.passivation.look(cell, look)

    @rule(kind=st.sampled_from(KINDS))
    def stop(self, kind: str) -> None:
        self.ref(kind).stop()

    @rule(kind=st.sampled_from(["spawned", "placed"]))
    def kill(self, kind: str) -> None:
        for cell in self.node.directory.cells:
            if cell.address.kind == kind:
                self.node.life.request_kill(cell, "it was killed")

    @rule(kind=st.sampled_from(KINDS), inside=st.booleans())
    def watch(self, kind: str, inside: bool) -> None:
        if inside:
            self.relay.tell(self.ref(kind))
        else:
            self.watches.append(self.ref(kind).watch())

    @rule()
    def cancel_a_watch(self) -> None:
        if self.watches:
            self.watches[-1].cancel()

    # -- what holds --------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """With nobody held up all mail is handled by itself, and all asks are answered."""
        self.world.gate.set()
        eventually(lambda: not self.unaccounted() and all(ask.reply.done() for ask in self.asks), 10)
        self.world.gate.clear()
        self.check()

    def letters(self) -> list[tuple[int, str]]:
        return [
            (int(letter.payload.strip("#")), letter.reason)
            for letter in self.node.dead_letters
            if letter.payload.startswith("#")
        ]

    def unaccounted(self) -> set[int]:
        done = {message.number for _, message in tuple(self.world.handled)}
        return set(self.sent) - done - {number for number, _ in self.letters()}

    def check(self) -> None:
        handled = tuple(self.world.handled)
        letters = [number for number, reason in self.letters() if reason not in HANDLED_TOO]
        ends = Counter([message.number for _, message in handled] + letters)
        assert max(ends.values(), default=1) == 1, [n for n, count in ends.items() if count > 1]
        assert set(ends) <= set(self.sent) | self.may_vanish
        last: dict[tuple[str, str], int] = {}
        for address, message in handled:
            assert message.number > last.get((address, message.sender), 0)
            last[address, message.sender] = message.number

    def teardown(self) -> None:
        if not hasattr(self, "relay"):
            return
        self.settle()
        self.world.gate.set()
        self.node.stop(5.0)
        assert not self.node.directory.cells
        assert not self.unaccounted()
        self.check()
        numbers = {message.number for _, message in self.world.handled}
        for ask in self.asks:
            assert ask.calls == 1
            try:
                assert ask.reply.get() == ask.message.number
                assert ask.message.number in numbers
            except EXPECTED:
                continue
            except ValueError:
                assert ask.message.deed in ("fail", "fail later")
        assert all(reply.done() for reply in self.world.relayed)
        assert all(watch.done() for watch in self.watches)


Runtime.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRuntime = Runtime.TestCase
