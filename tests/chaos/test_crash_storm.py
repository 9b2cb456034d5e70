"""A crash storm: thousands of agents in a tree of supervisors fail at random, told to from several threads.

In the end every message was handled or is a dead letter, the tree and its cells agree, and nothing is left
behind: no thread, no task, no object of the runtime.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from covey import Agent, Child, Supervisor, Swarm, handles
from covey.framework.state import RUNNING
from covey.framework.supervision.running import RunningSupervisor
from tests.framework.waiting import eventually
from tests.soak.census import Census, take_census

GROUPS = 60
AGENTS_EACH = 50
THREAD_AGENTS = 20
SENDERS = 3
STORM_S = 3.0
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
LEAKED = ("Cell", "AgentUnit", "RunningSupervisor", "Task", "Handling", "ThreadExecutor", "Context", "Reply")
DEEDS = ("note",) * 8 + ("fail", "fail later", "escalate", "stop")


class Escalating(Exception):
    """What the children's verdicts say `escalate` to."""


class Books:
    """How much was told by each sender, and with how much a handler began."""

    def __init__(self) -> None:
        self.told = [0] * SENDERS
        self.handled = 0
        """By agents on the loop, whose thread alone counts them."""
        self.handled_in_threads: list[int] = []


BOOKS = Books()


class Victim(Agent):
    def note(self) -> None:
        BOOKS.handled += 1

    @handles
    def take(self, deed: str) -> None:
        self.note()
        if deed == "fail":
            raise ValueError(self.key)
        if deed == "escalate":
            raise Escalating(self.key)

    @handles
    async def take_late(self, deed: tuple) -> None:  # type: ignore[type-arg]
        self.note()
        await asyncio.sleep(0)
        raise ValueError(self.key)


class HookedVictim(Victim):
    async def on_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)


class ThreadVictim(Victim):
    dispatcher = "thread"

    def note(self) -> None:
        BOOKS.handled_in_threads.append(1)


def tree() -> Supervisor:
    """Three levels; the two lower ones give up now and then."""
    numbers = itertools.count()
    verdicts: dict[type[BaseException], Any] = {Escalating: "escalate"}

    def children(count: int, *classes: type[Agent]) -> list[Child]:
        kinds = itertools.islice(itertools.cycle(classes), count)
        return [Child(cls, f"{next(numbers)}", verdicts=verdicts) for cls in kinds]

    def group(number: int) -> Supervisor:
        agents = children(AGENTS_EACH, Victim, Victim, HookedVictim)
        strategy: Any = STRATEGIES[number % 3]
        return Supervisor(agents, strategy, intensity=3, period_s=1.0, backoff=None, name=f"g{number}")

    groups = iter([group(number) for number in range(GROUPS)])
    halls = [
        Supervisor(list(itertools.islice(groups, 10)), intensity=20, backoff=None, name=f"h{number}")
        for number in range(GROUPS // 10)
    ]
    threads = children(THREAD_AGENTS, ThreadVictim)
    halls.append(Supervisor(threads, intensity=100_000, backoff=None, name="threads"))
    return Supervisor(halls, intensity=1_000_000, backoff=None, name="root")


def storm(swarm: Swarm, sender: int, addresses: list[tuple[str, str]]) -> None:
    """Tell random agents random deeds until the time is over."""
    dice = random.Random(sender)
    refs = [swarm.agent(kind, key) for kind, key in addresses]
    end = time.monotonic() + STORM_S
    while time.monotonic() < end:
        for ref in dice.choices(refs, k=10):
            deed = dice.choice(DEEDS)
            if deed == "stop":
                ref.stop()
                continue
            BOOKS.told[sender] += 1
            ref.tell(("late",) if deed == "fail later" else deed)
        threading.Event().wait(0.005)  # the restarts need some of the machine, too


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0) as running:
        yield running


def supervisors_below(running: RunningSupervisor) -> list[RunningSupervisor]:
    found = [running]
    for supervisor in found:
        found += [unit for unit in supervisor.units if isinstance(unit, RunningSupervisor)]
    return found


def weather(swarm: Swarm, root: RunningSupervisor) -> None:
    """Go through the storm until all are up again and every message is accounted for."""
    addresses = [(unit.spec.address.kind, unit.spec.address.key) for unit in root.agents()]
    assert len(addresses) == GROUPS * AGENTS_EACH + THREAD_AGENTS
    eventually(lambda: all(unit.state == "running" for unit in root.agents()), 20)
    senders = [threading.Thread(target=storm, args=(swarm, n, addresses)) for n in range(SENDERS)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    told = sum(BOOKS.told)
    eventually(lambda: accounted(swarm) == told, 20)
    eventually(lambda: all(unit.state == "running" for unit in root.agents()), 20)
    assert accounted(swarm) == told, "a message was handled twice"


def accounted(swarm: Swarm) -> int:
    """Messages that a handler began with, and those that became dead letters before."""
    letters = swarm.dead_letters().counts
    unhandled = sum(count for reason, count in letters.items() if reason != "failed")
    return BOOKS.handled + len(BOOKS.handled_in_threads) + unhandled


def check_tree(swarm: Swarm, root: RunningSupervisor) -> None:
    """The supervisors and the cells agree, and the agents answer."""
    cells = swarm._running.directory.cells
    for supervisor in supervisors_below(root):
        assert supervisor.phase == "running"
        assert {unit.state for unit in supervisor.units} == {"running"}
    assert {unit.cell for unit in root.agents()} == set(cells)
    assert {cell.state for cell in cells} == {RUNNING}
    assert not any(cell.tasks for cell in cells)
    for cell in random.Random(0).sample(cells, 50):
        swarm.agent(cell.address.kind, cell.address.key).ask("note").get()


def left_since(before: Census) -> dict[str, int]:
    """Objects and threads that there are more of now."""
    after = take_census(0.0, 0, 0)
    more = {name: after.objects[name] - before.objects[name] for name in LEAKED}
    more["threads"] = after.threads - before.threads
    return {name: count for name, count in more.items() if count > 0}


def test_a_crash_storm_leaves_the_tree_consistent_the_books_even_and_nothing_behind(
    swarm: Swarm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # thousands of reports
    happened: Counter[str] = Counter()
    swarm.on_event(lambda event: happened.update((type(event).__name__,)))
    before = take_census(0.0, 0, 0)

    supervisor = swarm.supervise(tree())
    weather(swarm, supervisor._running)
    check_tree(swarm, supervisor._running)
    failures = swarm.dead_letters().counts["failed"]
    assert happened["AgentFailed"] == failures > 100
    assert happened["AgentEscalated"] > 10
    assert happened["AgentRestarted"] >= failures

    supervisor.stop().get(20)
    del supervisor
    assert not swarm.supervisors()
    assert not swarm._running.directory.cells
    # The last of the loop's frames and of the threads go a moment after the answer.
    eventually(lambda: not left_since(before), 10)
