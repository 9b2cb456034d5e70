"""One child stops, or is asked to: who answers at its address meanwhile, and afterwards."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from covey import AgentDeadError, Child, Supervisor, Swarm
from covey.framework.events import AgentStarted
from tests.framework.supervision.crew import Tagged, Worker, all_up, count
from tests.framework.waiting import eventually, held_up


def test_mail_that_comes_while_a_stopped_permanent_child_is_replaced_is_handled(swarm: Swarm) -> None:
    class SlowToStop(Tagged):
        async def on_stop(self) -> None:  # type: ignore[override]
            stopping.set()
            await asyncio.to_thread(go_on.wait, 5)

    stopping, go_on = threading.Event(), threading.Event()
    swarm.supervise(Supervisor([Child(SlowToStop, "a", ("supervised",))]))
    ref = swarm.agent(SlowToStop, "a")
    stopped = ref.stop()
    assert stopping.wait(5)
    replies = [swarm.agent(SlowToStop, "a").ask("x") for _ in range(10)]
    go_on.set()
    stopped.get()
    assert {reply.get() for reply in replies} == {"supervised"}
    assert len(swarm.dead_letters()) == 0


def test_several_requests_to_stop_replace_a_permanent_child_once(swarm: Swarm, events: list[Any]) -> None:
    swarm.supervise(Supervisor([Child(Tagged, "a", ("supervised",))], intensity=1))
    ref = swarm.agent(Tagged, "a")
    ref.ask("x").get()
    with held_up(swarm):
        stops = [ref.stop() for _ in range(5)]
    for reply in stops:
        reply.get()
    assert ref.ask("x").get() == "supervised"
    assert count(events, AgentStarted) == 2


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_no_placed_agent_answers_for_a_child_that_ended_for_good(swarm: Swarm, restart: Any) -> None:
    swarm.supervise(Supervisor([Child(Tagged, "a", ("supervised",), restart=restart)]))
    ref = swarm.agent(Tagged, "a")
    ref.stop().get()
    for _ in range(3):
        with pytest.raises(AgentDeadError, match="it has stopped"):
            ref.ask("x").get()
        ref.tell("x")
    assert swarm.dead_letters().counts["stopped"] >= 3
    eventually(lambda: swarm._running.presence.registered_on(ref._address) is None)
    assert swarm.spawn(Tagged, "a", "anew").ask("x").get() == "anew"


def test_every_request_to_stop_a_supervisor_is_answered(swarm: Swarm) -> None:
    class SlowToStop(Worker):
        async def on_stop(self) -> None:  # type: ignore[override]
            await asyncio.to_thread(go_on.wait, 5)

    go_on = threading.Event()
    supervisor = swarm.supervise(Supervisor([Child(SlowToStop, "a")]))
    all_up(supervisor)
    stops = [supervisor.stop() for _ in range(3)]
    go_on.set()
    for reply in stops:
        reply.get(5)
    supervisor.stop().get(5)
    assert not supervisor.is_running
    assert swarm.supervisors() == ()
    assert swarm._running.failure is None


def test_a_supervisor_of_a_stopped_swarm_answers_that_all_has_ended() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        supervisor = swarm.supervise(Supervisor([Child(Worker, "a")]))
    supervisor.stop().get(1)
    supervisor.terminate_child("worker/a").get(1)
    supervisor.delete_child("worker/a").get(1)
    with pytest.raises(AgentDeadError, match="the supervisor has ended"):
        supervisor.start_child(Child(Worker, "b"))
