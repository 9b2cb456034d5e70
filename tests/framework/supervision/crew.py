"""The agents that the tests of supervision supervise, and looks at what became of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from covey import Agent, Child, Supervisor, Swarm, handles
from tests.framework.waiting import eventually

__all__ = [
    "AsyncWorker",
    "Tagged",
    "ThreadWorker",
    "Worker",
    "all_up",
    "cell_of",
    "count",
    "fail",
    "limits",
    "nested",
    "starts_of",
    "states",
]


class Worker(Agent):
    """Notes the numbers that it gets and says how many its instance has had; negative ones are failures."""

    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log = [] if log is None else log
        self.count = 0

    @handles
    def work(self, number: int) -> int:
        if number < 0:
            raise ValueError(f"bad {number}")
        self.count += 1
        self.log.append(number)
        return self.count

    @handles
    def stop_yourself(self, text: str) -> None:
        self.stop()


class ThreadWorker(Worker):
    dispatcher = "thread"


class AsyncWorker(Worker):
    @handles
    async def work(self, number: int) -> int:  # type: ignore[override]
        return super().work(number)


class Tagged(Agent):
    """Says which constructor argument it was made with; the default is what placement would give."""

    def __init__(self, tag: str = "placed") -> None:
        super().__init__()
        self.tag = tag

    @handles
    def say(self, text: str) -> str:
        return self.tag


def count(events: list[Any], kind: type) -> int:
    """How many events of a kind there were."""
    return sum(isinstance(event, kind) for event in events)


def cell_of(swarm: Swarm, ref: Any) -> Any:
    """The cell behind a ref; None once it has ended."""
    return swarm._running.directory.find(ref._address, activate=False)


def fail(ref: Any, number: int = -1) -> None:
    """Let a worker fail, and wait until it has."""
    try:
        ref.ask(number).get()
    except ValueError:
        return
    raise AssertionError("it did not fail")


def states(supervisor: Any) -> dict[str, str]:
    """The children of a running supervisor and the states that they are in."""
    return {child.id: child.state for child in supervisor.which_children()}


def starts_of(events: list[Any]) -> Counter[str]:
    """How many instances of each address were announced, restarts included."""
    return Counter(
        event.address for event in events if type(event).__name__ in ("AgentStarted", "AgentRestarted")
    )


def all_up(supervisor: Any) -> None:
    """Wait until every child runs."""
    eventually(lambda: all(state in ("running", "passive") for state in states(supervisor).values()))


def limits(strategy: str = "one_for_one", **more: Any) -> dict[str, Any]:
    """Arguments of a `Supervisor` that restarts at once."""
    return {"strategy": strategy, "backoff": None, **more}


def nested(depth: int, child: Child, **options: Any) -> Supervisor:
    """A child below that many supervisors."""
    spec = Supervisor([child], name="s0", **options)
    for number in range(1, depth):
        spec = Supervisor([spec], name=f"s{number}", **options)
    return spec
