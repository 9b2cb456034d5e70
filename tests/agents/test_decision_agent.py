"""The loop observe, decide, act, update."""

from __future__ import annotations

from typing import Any

import pytest

from covey import ConfigurationError, DecisionAgent, Swarm, handles
from tests.framework.waiting import eventually


class Thermostat(DecisionAgent):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []

    def observe(self, stimulus: Any) -> Any:
        return stimulus

    async def decide(self, observation: float) -> str | None:
        return "heat" if observation < 20 else None

    def act(self, decision: str) -> str:
        self.log.append(decision)
        return "warmer"

    async def update(self, decision: str, outcome: str) -> None:
        self.log.append((decision, outcome))

    @handles
    async def measured(self, degrees: float) -> str | None:
        result: str | None = await self.run_cycle(degrees)
        return result

    @handles
    def report(self, text: str) -> list[Any]:
        return list(self.log)


@pytest.fixture
def swarm() -> Any:
    with Swarm.local(trace_ratio=0.0) as running:
        yield running


def test_a_message_drives_one_cycle_and_gets_the_outcome(swarm: Swarm) -> None:
    ref = swarm.spawn(Thermostat, "a")
    assert ref.ask(18.0).get() == "warmer"
    assert ref.ask("report").get() == ["heat", ("heat", "warmer")]


def test_a_cycle_ends_where_there_is_nothing_to_do(swarm: Swarm) -> None:
    ref = swarm.spawn(Thermostat, "a")
    assert ref.ask(21.0).get() is None
    assert ref.ask("report").get() == []


def test_a_period_drives_cycles_until_a_subclass_takes_it_away(swarm: Swarm) -> None:
    class Ticking(Thermostat):
        period_s = 0.005

        def observe(self, stimulus: Any) -> float:
            assert stimulus is None
            return 18.0

    class Still(Ticking):
        period_s = None

    ticking, still = swarm.spawn(Ticking, "a"), swarm.spawn(Still, "b")
    eventually(lambda: len(ticking.ask("report").get()) >= 6)
    assert still.ask("report").get() == []


def test_an_error_in_a_phase_fails_the_agent(swarm: Swarm) -> None:
    ref = swarm.spawn(DecisionAgentWithoutDecide, "a")
    with pytest.raises(NotImplementedError, match="needs a method decide"):
        ref.ask(1).get()


class DecisionAgentWithoutDecide(DecisionAgent):
    @handles
    async def go(self, number: int) -> Any:
        return await self.run_cycle(number)


@pytest.mark.parametrize("period_s", [0, -1])
def test_a_period_that_makes_no_sense_is_refused(period_s: float) -> None:
    with pytest.raises(ConfigurationError, match="period_s"):
        type("Wrong", (DecisionAgent,), {"period_s": period_s})
