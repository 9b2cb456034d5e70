"""Agents that placement activated: restarted each by itself, never at the cost of the node."""

from __future__ import annotations

from typing import Any

import pytest

from covey import Agent, AgentDeadError, Swarm, handles
from covey.framework.events import AgentEscalated
from tests.framework.supervision.crew import Worker, count
from tests.framework.waiting import eventually


def test_a_placed_agent_restarts_and_one_that_fails_too_often_is_stopped_alone(
    swarm: Swarm, events: list[Any]
) -> None:
    class Placed(Agent):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            type(self).made += 1

        @handles
        def work(self, number: int) -> int:
            if number < 0:
                raise ValueError("bad")
            return self.made

    ref = swarm.agent(Placed, "a")
    ref.tell(-1)
    assert ref.ask(1).get() == 2
    swarm._running.directory._placed.backoff = None
    for _ in range(5):
        ref.tell(-1)
    eventually(lambda: count(events, AgentEscalated) == 1, timeout_s=10)
    assert swarm._running.failure is None
    assert ref.ask(1).get() == 7


def test_the_asker_learns_why_a_placed_agent_cannot_be_made(swarm: Swarm) -> None:
    class NoDb(Worker):
        def __init__(self) -> None:
            super().__init__()
            raise RuntimeError("no db")

    swarm._running.directory._placed.backoff = None
    name = swarm.node_name
    sentence = rf"RuntimeError: no db \(message: none; supervisor: placed; failures: 6; restarts: 5\).*{name}"
    with pytest.raises(AgentDeadError, match=sentence) as caught:
        swarm.agent(NoDb, "a").ask(1).get()
    assert isinstance(caught.value.__cause__, RuntimeError)
