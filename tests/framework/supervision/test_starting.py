"""How a tree starts: in order, each child once the one before it is up; constructors run in the caller."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from covey import Agent, Child, Supervisor, Swarm
from covey.framework.events import AgentRestarted
from tests.framework.supervision.crew import Worker, all_up, states
from tests.framework.waiting import eventually


class Gated(Agent):
    """Is up once the test lets it; which of the four ways it starts is its subclass's affair."""

    def __init__(self, log: list[str], gate: threading.Event) -> None:
        super().__init__()
        self.log, self.gate = log, gate


class Waits(Gated):
    async def on_start(self) -> None:  # type: ignore[override]
        self.log.append(f"begin {self.key}")
        await asyncio.to_thread(self.gate.wait, 5)
        self.log.append(f"end {self.key}")


class WaitsInThread(Gated):
    dispatcher = "thread"

    def on_start(self) -> None:
        self.log.append(f"begin {self.key}")
        self.gate.wait(5)
        self.log.append(f"end {self.key}")


class AwaitsInThread(Waits):
    dispatcher = "thread"


@pytest.mark.parametrize("cls", [Waits, WaitsInThread, AwaitsInThread])
def test_a_child_starts_only_once_the_one_before_it_is_up(swarm: Swarm, cls: Any) -> None:
    log: list[str] = []
    gates = {key: threading.Event() for key in "abc"}
    inner = Supervisor([Child(cls, "b", (log, gates["b"]))], name="inner")
    children = [Child(cls, "a", (log, gates["a"])), inner, Child(cls, "c", (log, gates["c"]))]
    supervisor = swarm.supervise(Supervisor(children))
    expected: list[str] = []
    for key in "abc":
        expected.append(f"begin {key}")
        eventually(lambda: log == expected)
        waiting = states(supervisor)
        assert list(waiting.values()).count("starting") == 1, waiting
        gates[key].set()
        expected.append(f"end {key}")
    all_up(supervisor)
    assert log == expected


def test_mail_waits_for_a_child_whose_turn_to_start_has_not_come(swarm: Swarm) -> None:
    log: list[Any] = []
    gate = threading.Event()
    swarm.supervise(Supervisor([Child(Waits, "a", (log, gate)), Child(Worker, "b", (log,))]))
    asked = [swarm.agent(Worker, "b").ask(number) for number in range(3)]
    eventually(lambda: log == ["begin a"])
    assert not any(reply.done() for reply in asked)
    gate.set()
    assert [reply.get() for reply in asked] == [1, 2, 3]
    assert log == ["begin a", "end a", 0, 1, 2]


def test_a_child_that_cannot_be_constructed_raises_in_the_caller_and_stops_its_siblings(
    swarm: Swarm,
) -> None:
    class Broken(Agent):
        def __init__(self) -> None:
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        swarm.supervise(Supervisor([Child(Worker, "a"), Child(Broken, "b")]))
    eventually(lambda: not swarm._running.directory.cells)


def test_a_child_that_fails_while_its_supervisor_starts_is_restarted(swarm: Swarm) -> None:
    class Quick(Worker):
        def on_start(self) -> None:
            if not self.log:
                self.log.append("failed")
                raise OSError("at once")

    class SlowToMake(Agent):
        def __init__(self, log: list[Any]) -> None:
            super().__init__()
            eventually(lambda: log == ["failed"])

    log: list[Any] = []
    done = threading.Event()
    swarm.on_event(lambda event: done.set() if isinstance(event, AgentRestarted) else None)
    swarm.supervise(Supervisor([Child(Quick, "a", (log,)), Child(SlowToMake, "b", (log,))]))
    assert done.wait(5)
    assert swarm.agent(Quick, "a").ask(1).get() == 1


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_child_that_fails_to_start_holds_up_those_after_it_until_it_is_up(
    swarm: Swarm, strategy: Any
) -> None:
    class Shaky(Agent):
        def __init__(self, log: list[str]) -> None:
            super().__init__()
            self.log = log

        async def on_start(self) -> None:  # type: ignore[override]
            self.log.append("try")
            if self.log.count("try") < 3:
                raise OSError("not yet")

    class Second(Agent):
        def __init__(self, log: list[str]) -> None:
            super().__init__()
            self.log = log

        def on_start(self) -> None:
            self.log.append("second")

    log: list[str] = []
    children = [Child(Shaky, "a", (log,)), Child(Second, "b", (log,))]
    all_up(swarm.supervise(Supervisor(children, strategy=strategy, backoff=None)))
    assert log == ["try", "try", "try", "second"]
