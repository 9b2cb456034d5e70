"""The probe: what it records, what it waits for, what it answers, and whom it stands in for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from covey import Agent, AgentDeadError, AskTimeoutError, Swarm, every, handles
from covey.framework.watching import Terminated
from covey.testing import ExpectationError, ManualClock, Probe
from tests.testing.messages import Fail, Level, Lookup, Report, Sleep


class Stock(Agent):
    """The real one, which the tests replace."""

    def __init__(self, database: object) -> None:
        super().__init__()

    @handles
    def look_up(self, question: Lookup) -> Level:
        raise AssertionError("the real stock was asked")


class Shop(Agent):
    """Asks its stock, waits a second and asks once more when there is no answer."""

    retry_s = 1.0

    @handles
    async def sell(self, order: Lookup) -> int:
        for _ in range(2):
            try:
                level = await self.agent(Stock, order.sku).ask(order, timeout=0.5)
            except AskTimeoutError:
                self.after(self.retry_s, Report())
                continue
            self.publish(f"sold.{order.sku}", level)
            return level.amount
        return -1

    @handles
    def report(self, order: Report) -> None: ...


class Courier(Agent):
    """Sends a message every ten seconds."""

    def __init__(self, to: object) -> None:
        super().__init__()
        self.to = to
        self.count = 0

    @every(10.0)
    def send(self) -> None:
        self.count += 1
        self.to.tell(Level(amount=self.count))  # type: ignore[attr-defined]

    @handles
    def fail(self, order: Fail) -> None:
        raise ValueError("as told")


@pytest.fixture(params=["virtual", "real"])
def either(request: pytest.FixtureRequest) -> Iterator[Swarm]:
    """On virtual time, and on the machine's."""
    clock = ManualClock() if request.param == "virtual" else None
    with Swarm.local(clock=clock, trace_ratio=0.0) as running:
        yield running


def test_a_probe_records_messages_and_senders_in_order(either: Swarm) -> None:
    probe = Probe.spawn(either)
    probe.ref.tell(Level(amount=1))
    probe.ref.tell(Lookup(sku="tea"))
    assert probe.expect(Lookup) == Lookup(sku="tea")
    assert probe.messages == [Level(amount=1), Lookup(sku="tea")]
    assert probe.senders == [None, None]


def test_a_probe_knows_the_agent_that_sent(swarm: Swarm) -> None:
    probe = Probe.spawn(swarm)
    courier = swarm.spawn(Courier, "c", probe.ref)
    probe.expect(Level, within_s=10)
    assert probe.senders == [courier]


def test_an_expected_message_is_given_once_and_others_stay(either: Swarm) -> None:
    probe = Probe.spawn(either)
    for amount in (1, 2, 3):
        probe.ref.tell(Level(amount=amount))
    assert probe.expect(lambda message: message.amount > 1) == Level(amount=2)
    assert probe.expect(Level(amount=3)) == Level(amount=3)
    assert probe.expect() == Level(amount=1)
    probe.expect_nothing(for_s=0.01)


def test_a_wait_moves_the_clock_to_the_message_and_no_further(swarm: Swarm, clock: ManualClock) -> None:
    probe = Probe.spawn(swarm)
    swarm.spawn(Courier, "c", probe.ref)
    assert probe.expect(lambda message: message.amount == 3, within_s=60) == Level(amount=3)
    assert clock.monotonic() == 30.0


def test_the_error_lists_what_came_instead(either: Swarm) -> None:
    probe = Probe.spawn(either)
    probe.ref.tell(Level(amount=7))
    with pytest.raises(ExpectationError) as caught:
        probe.expect(Lookup, within_s=0.05)
    assert "probe/probe got no Lookup within 0.05 s" in str(caught.value)
    assert "Level(amount=7) from the test" in str(caught.value)
    with pytest.raises(ExpectationError, match="got no message that fits second"):
        probe.expect(second, within_s=0.01)


def second(message: object) -> bool:
    return message == Level(amount=2)


def test_expecting_nothing_fails_when_something_comes_within_the_time(
    swarm: Swarm, clock: ManualClock
) -> None:
    probe = Probe.spawn(swarm)
    swarm.spawn(Courier, "c", probe.ref)
    probe.expect_nothing(for_s=9.9)
    with pytest.raises(ExpectationError, match=r"Level\(amount=1\) from courier/c at 10 s"):
        probe.expect_nothing(for_s=1)


def test_a_probe_stands_in_for_an_agent_that_others_address_by_class(swarm: Swarm) -> None:
    stock = Probe.standing_in(swarm, Stock, "tea")
    stock.reply_with(Level(amount=5), to=Lookup)
    assert swarm.spawn(Shop, "x").ask(Lookup(sku="tea")).get() == 5
    assert stock.expect(Lookup) == Lookup(sku="tea")


def test_an_ask_stays_open_until_its_time_is_up(swarm: Swarm, clock: ManualClock) -> None:
    stock = Probe.standing_in(swarm, Stock, "tea")
    sold = swarm.spawn(Shop, "x").ask(Lookup(sku="tea"), timeout=60)
    stock.expect(Lookup, within_s=0)
    stock.expect(Lookup, within_s=1)  # the second attempt
    assert not sold.done()
    clock.advance(1)
    assert sold.get() == -1


def test_an_open_ask_is_answered_later(swarm: Swarm, clock: ManualClock) -> None:
    stock = Probe.standing_in(swarm, Stock, "tea")
    sold = swarm.spawn(Shop, "x").ask(Lookup(sku="tea"))
    stock.expect(Lookup)
    clock.advance(0.4)
    assert not sold.done()
    stock.reply_with(Level(amount=2))
    assert sold.get() == 2


def test_an_answer_may_be_computed_or_an_error_and_later_rules_go_first(either: Swarm) -> None:
    probe = Probe.spawn(either)
    probe.reply_with(lambda question: Level(amount=len(question.sku)))
    assert probe.ref.ask(Lookup(sku="four")).get() == Level(amount=4)
    probe.reply_with(KeyError("gone"), to=Lookup(sku="tea"))
    with pytest.raises(KeyError, match="gone"):
        probe.ref.ask(Lookup(sku="tea")).get()
    assert probe.ref.ask(Lookup(sku="five5")).get() == Level(amount=5)


def test_a_function_that_fails_answers_with_its_error_and_the_probe_lives(either: Swarm) -> None:
    probe = Probe.spawn(either)
    probe.reply_with(lambda question: question.no_such_field)
    with pytest.raises(AttributeError):
        probe.ref.ask(Lookup(sku="tea")).get()
    probe.ref.tell(Report())
    probe.expect(Report)


def test_asks_that_a_stopped_probe_had_not_answered_fail(either: Swarm) -> None:
    probe = Probe.spawn(either)
    asked = probe.ref.ask(Lookup(sku="tea"))
    probe.ref.stop().get()
    with pytest.raises(AgentDeadError, match="had not answered"):
        asked.get()


def test_a_probe_hears_what_is_published_on_its_topics(swarm: Swarm) -> None:
    ear = Probe.spawn(swarm, "ear", topics=["sold.*"])
    stock = Probe.standing_in(swarm, Stock, "tea")
    stock.reply_with(Level(amount=5))
    swarm.spawn(Shop, "x").tell(Lookup(sku="tea"))
    assert ear.expect() == Level(amount=5)
    assert [sender and sender.address for sender in ear.senders] == ["shop/x"]


def test_a_probe_is_told_of_the_end_of_an_agent_that_it_watches(either: Swarm) -> None:
    probe = Probe.spawn(either)
    courier = either.spawn(Courier, "c", probe.ref)
    other = either.spawn(Courier, "d", probe.ref)
    probe.watch(courier)
    probe.watch(other)
    other.stop()
    courier.tell(Fail())
    end = probe.expect_terminated(courier)
    assert isinstance(end, Terminated)
    assert "as told" in end.reason
    assert probe.expect_terminated(other).reason == "stopped"
    with pytest.raises(ExpectationError, match="the end of courier/c"):
        probe.expect_terminated(courier, within_s=0.01)


def test_a_message_of_any_kind_reaches_a_probe(either: Swarm) -> None:
    probe = Probe.spawn(either, kind="anything")
    assert probe.ref.address == "anything/probe"
    for item in ("text", 7, Sleep(seconds=1.0)):
        probe.ref.tell(item)
    assert [probe.expect() for _ in range(3)] == ["text", 7, Sleep(seconds=1.0)]
