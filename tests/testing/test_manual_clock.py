"""Virtual time: what moves with it, what waits for it, and what it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covey import (
    Agent,
    AskTimeoutError,
    Backoff,
    BlockingCallError,
    Child,
    ConfigurationError,
    Supervisor,
    Swarm,
    every,
    handles,
)
from covey.framework.events import AgentPassivated, AgentRestarted, Event
from covey.testing import ManualClock, NeverQuietError
from tests.testing.messages import Bounce, Fail, Level, Lookup, Report, Sleep

SHORT_S = 0.2
"""Real seconds that a test allows where an agent never ends."""


class Sleeper(Agent):
    @handles
    async def sleep(self, order: Sleep) -> float:
        loop = asyncio.get_running_loop()
        since = loop.time()
        await asyncio.sleep(order.seconds)
        return loop.time() - since

    @handles
    async def give_up(self, order: Lookup) -> str:
        try:
            async with asyncio.timeout(7.0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "gave up"
        return "never"


class Ticker(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    @every(1.0)
    def tick(self) -> None:
        self.at.append(self._own.node.now())

    @handles
    def report(self, question: Report) -> list[float]:
        return self.at


class Alarm(Agent):
    """Sets its alarms by `after`, and notes when each goes off."""

    def __init__(self) -> None:
        super().__init__()
        self.rang: list[tuple[float, float]] = []

    @handles
    def set(self, order: Sleep) -> None:
        self.after(order.seconds, order.seconds)

    @handles
    def ring(self, delay_s: float) -> None:
        self.rang.append((self._own.node.now(), delay_s))

    @handles
    def report(self, question: Report) -> list[tuple[float, float]]:
        return list(self.rang)


class Fragile(Agent):
    @handles
    def fail(self, order: Fail) -> None:
        raise ValueError("as told")


class Forgetful(Agent):
    idle_after_s = 60.0


class Blocking(Agent):
    """Holds whatever it runs on until the test lets it go."""

    let_go = threading.Event()

    @handles
    def block(self, order: Sleep) -> None:
        type(self).let_go.wait(10.0)


class BlockingThread(Blocking):
    dispatcher = "thread"


class Outsourcing(Agent):
    let_go = threading.Event()

    @handles
    async def outsource(self, order: Sleep) -> str:
        await asyncio.to_thread(type(self).let_go.wait, 10.0)
        return "done"


class Partner(Agent):
    """Sends what it gets back and forth, until it was sent often enough."""

    @handles
    def bounce(self, ball: Bounce) -> None:
        if ball.left:
            other = "b" if self.key == "a" else "a"
            self.agent(self.kind, other).tell(Bounce(left=ball.left - 1))
        else:
            self.agent("alarm", "clock").tell(1.0)


class ThreadPartner(Partner):
    dispatcher = "thread"


class Endless(Agent):
    going = True

    @handles
    def go_on(self, order: Sleep) -> None:
        if type(self).going:
            self.ref.tell(order)


# -- what is virtual --------------------------------------------------------------------------------


def test_an_hour_has_3600_ticks_each_at_its_own_second(swarm: Swarm, clock: ManualClock) -> None:
    ticker = swarm.spawn(Ticker, "hourly")
    clock.advance(3600)
    assert ticker.ask(Report()).get() == [float(second) for second in range(1, 3601)]


def test_time_stands_still_unless_it_is_advanced(swarm: Swarm, clock: ManualClock) -> None:
    ticker = swarm.spawn(Ticker, "still")
    clock.settle()
    assert ticker.ask(Report()).get() == []
    assert clock.monotonic() == 0.0


def test_an_ask_that_needs_no_timer_is_answered_while_time_stands(swarm: Swarm, clock: ManualClock) -> None:
    class Echo(Agent):
        @handles
        def echo(self, level: Level) -> Level:
            return level

    assert swarm.spawn(Echo, "now").ask(Level(amount=3)).get() == Level(amount=3)
    assert clock.monotonic() == 0.0


def test_the_deadline_of_an_ask_passes_only_when_time_does(swarm: Swarm, clock: ManualClock) -> None:
    reply = swarm.spawn(Sleeper, "late").ask(Sleep(seconds=1000), timeout=5)
    clock.advance(4.99)
    assert not reply.done()
    clock.advance(0.02)
    assert isinstance(reply.error(), AskTimeoutError)


def test_a_get_that_needs_time_to_move_fails_at_the_asks_timeout_and_moves_nothing(
    swarm: Swarm, clock: ManualClock
) -> None:
    reply = swarm.spawn(Sleeper, "waiting").ask(Sleep(seconds=1000), timeout=0.05)
    with pytest.raises(AskTimeoutError):
        reply.get()
    assert clock.monotonic() == 0.0


def test_sleep_in_a_handler_is_virtual(swarm: Swarm, clock: ManualClock) -> None:
    reply = swarm.spawn(Sleeper, "long").ask(Sleep(seconds=3_000), timeout=1e6)
    clock.advance(3_000 - 1)
    assert not reply.done()
    clock.advance(1)
    assert reply.get() == 3_000


def test_timeouts_in_a_handler_are_virtual(swarm: Swarm, clock: ManualClock) -> None:
    reply = swarm.spawn(Sleeper, "impatient").ask(Lookup(sku="tea"), timeout=60)
    clock.advance(6.9)
    assert not reply.done()
    clock.advance(0.1)
    assert reply.get() == "gave up"


def test_a_supervised_agent_waits_its_backoff_in_virtual_time(swarm: Swarm, clock: ManualClock) -> None:
    restarts: list[tuple[float, int]] = []

    def note(event: Event) -> None:
        if isinstance(event, AgentRestarted):
            restarts.append((clock.monotonic(), event.restarts))

    swarm.on_event(note)
    backoff = Backoff(initial_s=20.0, max_s=100.0, jitter=0.0, reset_s=1000.0)
    swarm.supervise(Supervisor(children=[Child(Fragile, "cup")], intensity=9, backoff=backoff))
    cup = swarm.agent(Fragile, "cup")
    for _ in range(3):
        cup.tell(Fail())
    clock.settle()
    assert restarts == [(0.0, 1)]  # the first is immediate
    clock.advance(19.9)
    assert len(restarts) == 1
    clock.advance(0.1)
    assert restarts[1:] == [(20.0, 2)]
    clock.advance(40)
    assert restarts[2:] == [(60.0, 3)]


def test_an_idle_agent_is_passivated_after_virtual_time(swarm: Swarm, clock: ManualClock) -> None:
    passivated: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, AgentPassivated):
            passivated.append(clock.monotonic())

    swarm.on_event(note)
    swarm.spawn(Forgetful, "idle")
    clock.advance(59)
    assert passivated == []
    clock.advance(40)
    assert len(passivated) == 1
    assert 60 <= passivated[0] <= 91


def test_ten_steps_of_a_tenth_are_a_second(swarm: Swarm, clock: ManualClock) -> None:
    ticker = swarm.spawn(Ticker, "steps")
    for _ in range(10):
        clock.advance(0.1)
    assert ticker.ask(Report()).get() == [1.0]


def test_the_time_that_people_read_begins_with_the_epoch_that_was_given() -> None:
    clock = ManualClock(epoch_s=1_000_000.0)
    clock.advance(12.5)
    assert clock.time() == 1_000_012.5


def test_nodes_that_share_a_clock_share_its_time(clock: ManualClock) -> None:
    with Swarm.local("one", clock=clock) as one, Swarm.local("two", clock=clock) as two:
        tickers = [one.spawn(Ticker, "x"), two.spawn(Ticker, "x")]
        before = clock.monotonic()
        clock.advance(3)
        assert [ticker.ask(Report()).get() for ticker in tickers] == [[before + n for n in (1, 2, 3)]] * 2


# -- how far it goes --------------------------------------------------------------------------------


def test_a_wait_for_a_condition_stops_at_the_timer_that_made_it_true(
    swarm: Swarm, clock: ManualClock
) -> None:
    ticker = swarm.spawn(Ticker, "until")
    assert clock.advance_until(lambda: len(ticker.ask(Report()).get()) == 3, within_s=60)
    assert clock.monotonic() == 3.0
    assert not clock.advance_until(lambda: False, within_s=7)
    assert clock.monotonic() == 10.0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delays=st.lists(st.floats(0, 50, allow_nan=False), max_size=20),
    advances=st.lists(st.floats(0, 20, allow_nan=False), max_size=10),
)
def test_timers_fire_in_order_each_at_its_time_and_none_too_early(
    swarm: Swarm, clock: ManualClock, delays: list[float], advances: list[float]
) -> None:
    start = clock.monotonic()
    alarm = swarm.spawn(Alarm, f"{id(delays)}-{start}")
    for delay_s in delays:
        alarm.tell(Sleep(seconds=delay_s))
    clock.settle()
    for seconds in advances:
        clock.advance(seconds)
        rang = alarm.ask(Report()).get()
        passed = clock.monotonic() - start
        assert [at for at, _ in rang] == sorted(at for at, _ in rang)
        assert all(at == pytest.approx(start + delay_s, abs=1e-6) for at, delay_s in rang)
        assert sum(d < passed - 1e-6 for d in delays) <= len(rang) <= sum(d <= passed + 1e-6 for d in delays)
    alarm.stop().get()


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_time_does_not_move_backwards_or_without_end(clock: ManualClock, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="0 or more"):
        clock.advance(seconds)


def test_an_agent_cannot_move_the_clock_that_waits_for_it(swarm: Swarm, clock: ManualClock) -> None:
    class Hasty(Agent):
        @handles
        def hurry(self, order: Sleep) -> None:
            clock.advance(order.seconds)

    with pytest.raises(BlockingCallError, match="in the test"):
        swarm.spawn(Hasty, "one").ask(Sleep(seconds=1)).get()


# -- what it waits for ------------------------------------------------------------------------------


@pytest.mark.parametrize("partner", [Partner, ThreadPartner])
def test_a_settled_swarm_has_handled_everything_that_agents_sent_each_other(
    swarm: Swarm, clock: ManualClock, partner: type[Agent]
) -> None:
    alarm = swarm.spawn(Alarm, "clock")
    first, _ = swarm.spawn(partner, "a"), swarm.spawn(partner, "b")
    for rounds in range(1, 6):
        first.tell(Bounce(left=200))
        clock.settle()
        assert alarm._cell is not None
        assert len(alarm._cell.actor.rang) == rounds  # type: ignore[union-attr]


def test_time_waits_for_a_function_in_another_thread(swarm: Swarm, clock: ManualClock) -> None:
    with held(Outsourcing):
        reply = swarm.spawn(Outsourcing, "pool").ask(Sleep(seconds=1), timeout=60)
        with pytest.raises(NeverQuietError, match=r"asyncio\.to_thread"):
            clock.advance(1, real_timeout_s=SHORT_S)
        assert clock.monotonic() == 0.0
    clock.advance(1)
    assert reply.get() == "done"


@pytest.mark.parametrize("cls", [Blocking, BlockingThread])
def test_the_guard_names_the_agent_that_is_busy(
    swarm: Swarm, clock: ManualClock, cls: type[Blocking]
) -> None:
    with held(cls):
        swarm.spawn(cls, "stuck").tell(Sleep(seconds=1))
        with pytest.raises(NeverQuietError) as caught:
            clock.advance(1, real_timeout_s=SHORT_S)
        assert len(caught.value.busy) == 1
        assert f"{cls.kind}/stuck" in caught.value.busy[0]
        assert "Blocking.block" in caught.value.busy[0]
    clock.advance(1)
    assert clock.monotonic() == 1.0


def test_the_guard_names_an_agent_that_sends_itself_messages_without_end(
    swarm: Swarm, clock: ManualClock
) -> None:
    swarm.spawn(Endless, "loop").tell(Sleep(seconds=0))
    try:
        with pytest.raises(NeverQuietError, match="endless/loop"):
            clock.settle(real_timeout_s=SHORT_S)
    finally:
        Endless.going = False
    clock.settle()


# -- starting and stopping --------------------------------------------------------------------------


def test_a_stopping_swarm_lets_its_agents_time_pass(clock: ManualClock) -> None:
    with Swarm.local(clock=clock, trace_ratio=0.0) as swarm:
        reply = swarm.spawn(Sleeper, "last").ask(Sleep(seconds=2), timeout=4)
    assert reply.get() == 2.0


def test_a_clock_outlives_its_swarms(clock: ManualClock) -> None:
    for _ in range(2):
        with Swarm.local(clock=clock, trace_ratio=0.0) as swarm:
            swarm.spawn(Ticker, "x")
            clock.advance(1)
    before = clock.monotonic()
    clock.advance(5)
    assert clock.monotonic() == before + 5


@contextmanager
def held(cls: type[Blocking] | type[Outsourcing]) -> Iterator[None]:
    """Handlers of the class block within."""
    cls.let_go = threading.Event()
    try:
        yield
    finally:
        cls.let_go.set()
