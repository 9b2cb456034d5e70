"""Links: agents that crash together, within a node and between nodes; monitors beside them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from covey import (
    Agent,
    AgentFailed,
    AgentRef,
    AgentRestarted,
    Child,
    LinkedAgentError,
    Supervisor,
    Swarm,
    handles,
    message,
)
from covey.testing import ManualClock, swarm_of


@message
class LinkTo:
    key: str
    undo: bool = False


@message
class Fail:
    pass


@message
class Stop:
    pass


@message
class Alive:
    pass


class Partner(Agent):
    @handles
    def link_to(self, order: LinkTo) -> Alive:
        other = self.agent(Partner, order.key)
        self.unlink(other) if order.undo else self.link(other)
        return Alive()

    @handles
    def fail(self, order: Fail) -> None:
        raise ValueError("by order")

    @handles
    def end(self, order: Stop) -> None:
        self.stop()

    @handles
    def answer(self, alive: Alive) -> Alive:
        return alive


class ThreadPartner(Partner):
    kind = "partner"
    dispatcher = "thread"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


class Pair:
    """Two swarms, or one twice, on a clock of their own, with an agent `one` on the first and `other`."""

    def __init__(self, first: Swarm, second: Swarm, clock: ManualClock, cls: type[Partner] = Partner) -> None:
        self.clock = clock
        self.failed: list[tuple[str, BaseException]] = []
        self.restarted: list[str] = []
        for swarm in {first, second}:
            swarm.on_event(lambda e: self.failed.append((e.address, e.error)), AgentFailed)
            swarm.on_event(lambda e: self.restarted.append(e.address), AgentRestarted)
        first.supervise(Supervisor([Child(cls, "one", restart="transient")], backoff=None, name="first"))
        second.supervise(Supervisor([Child(cls, "other", restart="transient")], backoff=None, name="second"))
        clock.advance(0.5)
        self.one: AgentRef = first.agent(Partner, "one")
        self.other: AgentRef = second.agent(Partner, "other")

    def tell(self, ref: AgentRef, message: Any) -> None:
        ref.tell(message)
        self.clock.advance(0.5)

    def link(self) -> None:
        self.tell(self.one, LinkTo(key="other"))

    @property
    def who_failed(self) -> list[str]:
        return sorted(address for address, _ in self.failed)


@pytest.fixture(params=["one node", "two nodes", "threads"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    clock = ManualClock()
    if request.param == "two nodes":
        with swarm_of(2, hosts=[Partner], clock=clock) as (a, b):
            yield Pair(a, b, clock)
    else:
        cls = ThreadPartner if request.param == "threads" else Partner
        with Swarm.local(clock=clock, trace_ratio=0.0) as swarm:
            yield Pair(swarm, swarm, clock, cls)


@pytest.mark.parametrize("first", ["one", "other"])
def test_when_either_of_two_linked_agents_fails_so_does_the_other(pair: Pair, first: str) -> None:
    pair.link()
    pair.tell(getattr(pair, first), Fail())
    assert pair.who_failed == ["partner/one", "partner/other"]
    second = {"one": "partner/other", "other": "partner/one"}[first]
    error = dict(pair.failed)[second]
    assert isinstance(error, LinkedAgentError)
    assert (error.target, error.other) == (second, f"partner/{first}")
    assert "ValueError: by order" in str(error)
    assert sorted(pair.restarted) == ["partner/one", "partner/other"]


def test_a_link_ends_with_the_instances_so_restarted_agents_are_not_linked(pair: Pair) -> None:
    pair.link()
    pair.tell(pair.one, Fail())
    pair.failed.clear()
    pair.tell(pair.one, Fail())
    pair.tell(pair.other, Fail())
    assert [address for address, _ in pair.failed] == ["partner/one", "partner/other"]


def test_an_agent_that_just_stops_does_its_partner_no_harm(pair: Pair) -> None:
    pair.link()
    pair.tell(pair.other, Stop())
    assert pair.failed == []
    reply = pair.one.ask(Alive())
    pair.clock.advance(0.5)
    assert reply.get(timeout=5) == Alive()


def test_agents_that_were_unlinked_fail_alone(pair: Pair) -> None:
    pair.link()
    pair.tell(pair.one, LinkTo(key="other", undo=True))
    pair.tell(pair.one, Fail())
    pair.tell(pair.other, Fail())
    assert [address for address, _ in pair.failed] == ["partner/one", "partner/other"]


def test_linking_twice_is_one_link(pair: Pair) -> None:
    pair.link()
    pair.link()
    pair.tell(pair.other, LinkTo(key="one"))
    pair.tell(pair.one, Fail())
    assert pair.who_failed == ["partner/one", "partner/other"]
    assert len(pair.failed) == 2


def test_a_link_to_an_agent_that_is_not_alive_is_a_failure_at_once(pair: Pair) -> None:
    pair.tell(pair.other, Stop())
    pair.link()
    assert pair.who_failed == ["partner/one"]
    assert "it is not alive" in str(pair.failed[0][1])


def test_an_agent_fails_when_the_node_of_its_partner_is_lost() -> None:
    from covey.testing import Faults

    clock, faults = ManualClock(), Faults()
    with swarm_of(2, hosts=[Partner], clock=clock, faults=faults) as (a, b):
        pair = Pair(a, b, clock)
        pair.link()
        faults.cut("a", "b")
        clock.advance(4.0)
        assert pair.who_failed == ["partner/one", "partner/other"]
        assert all(isinstance(error, LinkedAgentError) for _, error in pair.failed)
        assert "gone" in str(pair.failed[0][1])


def test_a_watch_tells_of_the_end_and_no_restart_while_a_link_tells_of_every_failure(pair: Pair) -> None:
    watch = pair.other.watch()
    pair.link()
    pair.tell(pair.other, Fail())
    assert pair.who_failed == ["partner/one", "partner/other"]
    assert not watch.done()
    pair.tell(pair.other, Stop())
    assert watch.get(timeout=5).reason == "stopped"
