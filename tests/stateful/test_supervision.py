"""A random tree of supervisors on a real node, under random failures and changes of its children.

What has to hold: the tree, the cells and the registry agree in the end; each message is handled once or is a
dead letter, by its number; each ask and each change resolves once; what one sender sent to one child is
handled in that order; a supervisor that runs has all its permanent children running.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    Backoff,
    Child,
    ConfigurationError,
    NoHostError,
    Supervisor,
    handles,
)
from covey.framework.address import Address
from covey.framework.node import Node
from covey.framework.state import RUNNING
from covey.framework.supervision.supervisor_ref import SupervisorRef
from tests.framework.waiting import eventually

STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
TYPES = st.sampled_from(["permanent", "permanent", "transient", "temporary"])
DEEDS = ("note", "note", "note", "fail", "stop", "escalate", "end", "resume", "fail later")
FINAL = {"running", "ended", "passive"}
HANDLED_TOO = ("failed", "cancelled")
"""Reasons of dead letters whose handler had begun."""


class Fatal(Exception):
    """What a verdict says `escalate` to."""


class Final(Exception):
    """What a verdict says `stop` to."""


class Harmless(Exception):
    """What a verdict says `resume` to."""


VERDICTS: dict[type[BaseException], Any] = {Fatal: "escalate", Final: "stop", Harmless: "resume"}
ERRORS: dict[str, type[Exception]] = {"fail": ValueError, "escalate": Fatal, "end": Final, "resume": Harmless}


@dataclass(frozen=True, slots=True)
class Order:
    """A message with a number, and what to do with it."""

    number: int
    deed: str

    def __repr__(self) -> str:
        return f"#{self.number}#"


class LateOrder(Order):
    """The same for an `async def` handler."""

    __slots__ = ()


@dataclass
class World:
    """What the agents of one run share."""

    handled: list[tuple[str, int]] = field(default_factory=list)


class Subject(Agent):
    world: ClassVar[World]

    @handles
    def take(self, order: Order) -> int:
        self.world.handled.append((self.address, order.number))
        if order.deed in ERRORS:
            raise ERRORS[order.deed](order.number)
        if order.deed == "stop":
            self.stop()
        return order.number

    @handles
    async def take_late(self, order: LateOrder) -> int:
        self.world.handled.append((self.address, order.number))
        await asyncio.sleep(0)
        raise ValueError(order.number)


class Plain(Subject):
    pass


class Hooked(Subject):
    async def on_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)

    async def on_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)

    async def on_failure(self, *args: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)


class Threaded(Subject):
    dispatcher = "thread"

    def on_start(self) -> None:
        threading.Event().wait(0.0005)


KINDS = (Plain, Hooked, Threaded)
LEAF = st.tuples(st.sampled_from(range(3)), TYPES)
TREE = st.recursive(
    st.lists(LEAF, min_size=1, max_size=3),
    lambda below: st.tuples(STRATEGIES, st.lists(st.one_of(LEAF, below), min_size=1, max_size=3)),
    max_leaves=8,
)


class Tree(RuleBasedStateMachine):
    @initialize(
        tree=TREE,
        strategy=STRATEGIES,
        intensity=st.integers(0, 3),
        backoff=st.sampled_from([None, Backoff(initial_s=0.001, max_s=0.004)]),
    )
    def start(self, tree: Any, strategy: Any, intensity: int, backoff: Any) -> None:
        self.world = World()
        self.classes = [
            type(cls.__name__, (cls,), {"world": self.world, "kind": cls.kind, "__module__": __name__})
            for cls in KINDS
        ]
        self.numbers: Iterator[int] = itertools.count(1)
        self.keys: Iterator[int] = itertools.count(1)
        self.limits = {"intensity": intensity, "period_s": 60.0, "backoff": backoff}
        self.addresses: list[Address] = []
        self.sent: dict[int, Order] = {}
        self.asks: list[tuple[Order, Any, list[int]]] = []
        self.changes: list[Any] = []
        self.has_deleted = False
        self.node = Node("stateful", "n", ask_timeout_s=30.0, watchdog_s=None)
        self.node.start()
        inner = self.spec(tree, strategy)
        root = Supervisor([inner], name="root", intensity=100_000, backoff=None)
        self.root = SupervisorRef(self.node.trees.supervise(root))

    def spec(self, tree: Any, strategy: Any) -> Supervisor:
        if isinstance(tree, tuple):
            strategy, tree = tree
        children = [
            self.child(*part)
            if isinstance(part, tuple) and isinstance(part[0], int)
            else self.spec(part, strategy)
            for part in tree
        ]
        return Supervisor(children, strategy=strategy, name=f"s{next(self.keys)}", **self.limits)

    def child(self, kind: int, restart: Any) -> Child:
        child = Child(self.classes[kind], f"{next(self.keys)}", restart=restart, verdicts=VERDICTS)
        self.addresses.append(child.address)
        return child

    # -- traffic -----------------------------------------------------------------------------------

    def order(self, deed: str) -> Order:
        order = (LateOrder if deed == "fail later" else Order)(next(self.numbers), deed)
        self.sent[order.number] = order
        return order

    @rule(index=st.integers(0, 20), deeds=st.lists(st.sampled_from(DEEDS), min_size=1, max_size=6))
    def tell(self, index: int, deeds: list[str]) -> None:
        address = self.addresses[index % len(self.addresses)]
        for deed in deeds:
            self.node.agent(address.kind, address.key).tell(self.order(deed))

    @rule(index=st.integers(0, 20), deed=st.sampled_from(DEEDS))
    def ask(self, index: int, deed: str) -> None:
        address, order = self.addresses[index % len(self.addresses)], self.order(deed)
        reply, calls = self.node.agent(address.kind, address.key).ask(order), []
        reply.add_done_callback(lambda: calls.append(1))
        self.asks.append((order, reply, calls))

    @rule(index=st.integers(0, 20))
    def stop_an_agent(self, index: int) -> None:
        address = self.addresses[index % len(self.addresses)]
        self.node.agent(address.kind, address.key).stop()

    # -- changes -----------------------------------------------------------------------------------

    def supervisors(self) -> list[SupervisorRef]:
        """All that there are, the outer ones first."""
        found = [self.root]
        for ref in found:
            for child in ref.which_children():
                if child.is_supervisor:
                    with suppress(ConfigurationError):  # it was deleted meanwhile
                        found.append(ref.supervisor(child.id))
        return found

    def pick(self, index: int) -> tuple[SupervisorRef, str]:
        """A supervisor below the root, and one of its children."""
        refs = [ref for ref in self.supervisors()[1:] if ref.which_children()]
        if not refs:
            return self.root, "s0"
        ref = refs[index % len(refs)]
        children = ref.which_children()
        if not children:  # they were deleted meanwhile
            return self.root, "s0"
        return ref, children[index // 7 % len(children)].id

    @rule(index=st.integers(0, 20), kind=st.integers(0, 2), restart=TYPES)
    def start_a_child(self, index: int, kind: int, restart: Any) -> None:
        refs = self.supervisors()[1:]
        if refs and len(self.addresses) < 16:
            try:
                refs[index % len(refs)].start_child(self.child(kind, restart))
            except AgentDeadError:
                self.addresses.pop()

    @rule(index=st.integers(0, 20), what=st.sampled_from(["terminate", "terminate", "restart", "delete"]))
    def change_a_child(self, index: int, what: str) -> None:
        ref, child_id = self.pick(index)
        try:
            change = getattr(ref, f"{what}_child")(child_id)
        except (ConfigurationError, AddressInUseError, AgentDeadError):
            return  # there is none, it runs, or its supervisor has given up
        self.has_deleted |= what == "delete"
        if what != "restart":
            self.changes.append(change)

    # -- what holds --------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """Left alone, every agent comes to rest, every message is accounted for and every ask answered."""
        eventually(lambda: self.rests() and self.agrees(), 10)
        self.check()

    def rests(self) -> bool:
        return (
            not self.unaccounted()
            and all(reply.done() for _, reply, _ in self.asks)
            and all(change.done() for change in self.changes)
            and all(child.state in FINAL for ref in self.supervisors() for child in ref.which_children())
        )

    def letters(self) -> list[tuple[int, str]]:
        return [
            (int(letter.payload.strip("#")), letter.reason)
            for letter in self.node.dead_letters
            if letter.payload.startswith("#")
        ]

    def unaccounted(self) -> set[int]:
        done = {number for _, number in tuple(self.world.handled)}
        return set(self.sent) - done - {number for number, _ in self.letters()}

    def check(self) -> None:
        handled = tuple(self.world.handled)
        letters = [number for number, reason in self.letters() if reason not in HANDLED_TOO]
        ends = Counter([number for _, number in handled] + letters)
        assert max(ends.values(), default=1) == 1, [n for n, count in ends.items() if count > 1]
        last: dict[str, int] = {}
        for address, number in handled:
            assert number > last.get(address, 0)
            last[address] = number

    def check_tree(self) -> None:
        """The supervisors, the cells and the registry say the same."""
        assert self.root.is_running
        running: set[str] = set()
        for ref in self.supervisors():
            if not ref.is_running:
                assert {child.state for child in ref.which_children()} <= {"ended"}
                continue
            for child in ref.which_children():
                if not child.is_supervisor and child.state == "running":
                    running.add(child.id)
        live = {str(cell.address): cell for cell in self.node.directory.cells}
        assert set(live) == running
        assert {cell.supervisor.state for cell in live.values()} <= {"running"}
        assert {cell.state for cell in live.values()} <= {RUNNING}
        registered = {address for address in map(str, self.addresses) if self.is_registered(address)}
        assert registered == running

    def is_registered(self, address: str) -> bool:
        return self.node.presence.registered_on(Address.parse(address)) is not None

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        self.settle()
        self.check_tree()
        self.node.stop(5.0)
        assert not self.node.directory.cells
        assert not self.unaccounted()
        self.check()
        numbers = {number for _, number in self.world.handled}
        for order, reply, calls in self.asks:
            assert len(calls) == 1
            try:
                assert reply.get() == order.number
                assert order.number in numbers
            except AgentDeadError:
                continue
            except NoHostError:
                assert self.has_deleted  # nobody knows the address any more
            except (ValueError, Fatal, Final, Harmless):
                assert order.deed in (*ERRORS, "fail later")

    def agrees(self) -> bool:
        try:
            self.check_tree()
        except AssertionError:
            return False
        return True


Tree.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTree = Tree.TestCase
