"""A real node under random traffic: each message is handled once or a dead letter, each ask resolves once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    AskCancelledError,
    Mailbox,
    MailboxFullError,
    handles,
)
from covey.framework.node import Node
from tests.framework.waiting import eventually

OVERFLOWS = ("backpressure", "drop_oldest", "drop_newest", "fail")


class Numbered(tuple):
    """A message with a number; `fails` makes its handler raise."""

    __slots__ = ()


class Recorder(Agent):
    """Notes what it handles; holds when it is told to."""

    def __init__(self, handled: list[int], gate: threading.Event) -> None:
        super().__init__()
        self.handled = handled
        self.gate = gate

    @handles
    def take(self, message: Numbered) -> int:
        number, fails = message
        self.handled.append(number)
        if fails:
            raise ValueError(number)
        return int(number)

    @handles
    async def take_later(self, text: str) -> int:
        self.handled.append(int(text))
        return int(text)

    @handles
    def hold(self, seconds: float) -> None:
        self.gate.wait(seconds)


class Reply:
    """An ask with a count of its resolutions."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.calls = 0
        reply.add_done_callback(self._resolved)

    def _resolved(self) -> None:
        self.calls += 1


class MailboxAndLife(RuleBasedStateMachine):
    @initialize(
        capacity=st.integers(1, 4),
        overflow=st.sampled_from(OVERFLOWS),
        dispatcher=st.sampled_from(["loop", "thread"]),
    )
    def start(self, capacity: int, overflow: Any, dispatcher: Any) -> None:
        class Subject(Recorder):
            kind = "subject"
            mailbox = Mailbox(capacity=capacity, overflow=overflow)

        Subject.dispatcher = dispatcher
        self.cls = Subject
        self.node = Node("stateful", "n", ask_timeout_s=0.02)
        self.node.start()
        self.handled: list[int] = []
        self.gate = threading.Event()
        self.sent = 0
        self.asks: list[Reply] = []
        self.holding = False
        self.spawn()

    @rule()
    def spawn(self) -> None:
        self.gate.clear()
        try:
            cell = self.node.spawn(self.cls, "a", (self.handled, self.gate))
        except AddressInUseError:
            return
        self.ref = self.node.ref_of(cell)

    @rule(fails=st.sampled_from([False, False, False, True]))
    def tell(self, fails: bool) -> None:
        self.sent += 1
        try:
            self.ref.tell(Numbered((self.sent, fails)))
        except MailboxFullError:
            pass  # it is a dead letter then, which the end counts

    @rule(asynchronous=st.booleans(), timeout_s=st.sampled_from([0.001, 5.0]))
    def ask(self, asynchronous: bool, timeout_s: float) -> None:
        self.sent += 1
        message = str(self.sent) if asynchronous else Numbered((self.sent, False))
        self.asks.append(Reply(self.ref.ask(message, timeout=timeout_s)))

    @rule()
    def cancel_an_ask(self) -> None:
        if self.asks:
            self.asks[-1].reply.cancel()

    @rule()
    def hold(self) -> None:
        if self.cls.dispatcher == "thread":
            try:
                self.ref.tell(0.05)
            except MailboxFullError:
                pass  # a dead letter that is no number

    @rule()
    def let_go(self) -> None:
        self.gate.set()

    @rule()
    def stop(self) -> None:
        self.ref.stop()

    @invariant()
    def nothing_is_handled_twice(self) -> None:
        if hasattr(self, "handled"):
            seen = list(self.handled)
            assert len(seen) == len(set(seen))
            assert seen == sorted(seen)

    def teardown(self) -> None:
        if not hasattr(self, "node"):
            return
        self.gate.set()
        self.node.stop(2.0)
        eventually(lambda: all(ask.reply.done() for ask in self.asks))
        assert all(ask.calls == 1 for ask in self.asks)
        letters = [  # a late reply is an answer: its message was handled
            letter
            for letter in self.node.dead_letters
            if letter.message_type.rpartition(".")[2] != "float" and letter.reason != "late reply"
        ]
        failed = Counter(letter.reason for letter in letters)["failed"]
        assert len(self.handled) + len(letters) - failed == self.sent
        assert not self.node.directory.cells
        for ask in self.asks:
            try:
                assert ask.reply.get() in self.handled
            except (AgentDeadError, AskCancelledError, MailboxFullError, TimeoutError):
                continue


MailboxAndLife.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestMailboxAndLife = MailboxAndLife.TestCase
