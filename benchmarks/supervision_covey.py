"""One sample of Covey's supervision: `crash TRACING COUNT`, `storm TRACING AGENTS ROUNDS`,
`group TRACING CHILDREN ["with hooks"]` or `idle supervised|spawned COUNT SECONDS`."""

from __future__ import annotations

import gc
import sys
import threading
import time

import psutil

from benchmarks.child import give_sample
from benchmarks.local_swarm import TRACED, local_swarm
from benchmarks.log_file import logging_to_file
from benchmarks.statistics import median, quantile
from covey import Agent, Child, Supervisor, handles, message

WITHIN_S = 120.0
ASK_S = 5.0
KEY = "1"
GROUP_RESTARTS = 3
UNLIMITED = 1_000_000_000
SETTLE_S = 1.0
"""After many have started: what comes later by itself is no idling."""


@message
class Crash:
    number: int


@message
class Question:
    number: int


@message
class Answer:
    number: int


class Instances:
    """Counts the instances that come up; they note it on one thread, the node's, once it is armed."""

    def __init__(self) -> None:
        self.missing = -1
        self.done = threading.Event()
        self.failed_at = self.done_at = 0.0

    def expect(self, instances: int) -> None:
        self.done.clear()
        self.missing = instances

    def note(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.done_at = time.perf_counter()
            self.done.set()

    def wait(self) -> None:
        if not self.done.wait(WITHIN_S):
            sys.exit(f"{self.missing} agents were not up again within {WITHIN_S:g} s")


INSTANCES = Instances()
WAITS_S: list[float] = []


class Fragile(Agent):
    """Fails when it is told to; the next instance notes how long that took when it is asked."""

    @handles
    def crash(self, crash: Crash) -> None:
        INSTANCES.failed_at = time.perf_counter()
        raise RuntimeError(f"crash {crash.number}")

    @handles
    def answer(self, question: Question) -> Answer:
        WAITS_S.append(time.perf_counter() - INSTANCES.failed_at)
        return Answer(number=question.number)


class Tormentor(Agent):
    """Crashes the fragile one as often as it is asked to, and asks it a question each time."""

    @handles
    async def torment(self, times: Question) -> Answer:
        fragile = self.agent(Fragile, KEY)
        for number in range(times.number):
            fragile.tell(Crash(number=number))
            await fragile.ask(Question(number=number), timeout=ASK_S)
        return Answer(number=times.number)


class Member(Fragile):
    """Is up once it was constructed."""

    def __init__(self) -> None:
        super().__init__()
        INSTANCES.note()


class HookedMember(Fragile):
    """Is up once `on_start` has run."""

    def on_start(self) -> None:
        INSTANCES.note()

    def on_stop(self) -> None:
        pass


class Idle(Agent):
    """Has one attribute and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @handles
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number)


def crash(tracing: str, count: int) -> None:
    """Measure so many crashes of one agent that a thread asks, then as many of one that an agent asks."""
    with logging_to_file(), local_swarm(tracing) as swarm:
        swarm.supervise(Supervisor([Child(Fragile, KEY)], intensity=UNLIMITED, period_s=1.0, backoff=None))
        ref = swarm.agent(Fragile, KEY)
        warm_up = count // 10
        for number in range(warm_up + count):
            ref.tell(Crash(number=number))
            ref.ask(Question(number=number), timeout=ASK_S).get()
        by_thread_s = WAITS_S[warm_up:]
        WAITS_S.clear()
        tormentor = swarm.spawn(Tormentor, KEY)
        tormentor.ask(Question(number=warm_up + count), timeout=WITHIN_S).get()
        by_agent_s = WAITS_S[warm_up:]
        give_sample(
            thread_p50_ms=quantile(by_thread_s, 0.5) * 1e3,
            thread_p99_ms=quantile(by_thread_s, 0.99) * 1e3,
            agent_p50_ms=quantile(by_agent_s, 0.5) * 1e3,
            agent_p99_ms=quantile(by_agent_s, 0.99) * 1e3,
        )


def storm(tracing: str, agents: int, rounds: int) -> None:
    """Measure restarts a second while all agents of a supervisor fail one after the other, in rounds."""
    with logging_to_file(), local_swarm(tracing) as swarm:
        children = [Child(Member, str(number)) for number in range(agents)]
        INSTANCES.expect(agents)
        swarm.supervise(Supervisor(children, intensity=UNLIMITED, period_s=1.0, backoff=None))
        INSTANCES.wait()
        refs = [swarm.agent(Member, child.key) for child in children]
        started = time.perf_counter()
        for number in range(rounds):
            INSTANCES.expect(agents)
            for ref in refs:
                ref.tell(Crash(number=number))
            INSTANCES.wait()
        give_sample(restarts_per_s=agents * rounds / (INSTANCES.done_at - started))


def group(tracing: str, count: int, *, with_hooks: bool) -> None:
    """Measure how long it takes until all children are up again after the failure of one."""
    cls = HookedMember if with_hooks else Member
    with logging_to_file(), local_swarm(tracing) as swarm:
        children = [Child(cls, str(number)) for number in range(count)]
        INSTANCES.expect(count)
        swarm.supervise(Supervisor(children, "one_for_all", intensity=UNLIMITED, period_s=1.0, backoff=None))
        INSTANCES.wait()
        ref = swarm.agent(cls, str(count // 2))
        waits_s = []
        for number in range(GROUP_RESTARTS):
            INSTANCES.expect(count)
            ref.tell(Crash(number=number))
            INSTANCES.wait()
            waits_s.append(INSTANCES.done_at - INSTANCES.failed_at)
        group_s = median(waits_s)
        give_sample(group_s=group_s, group_us=group_s / count * 1e6)


def idle(how: str, count: int, idle_s: float) -> None:
    """Measure the start of so many agents, their memory, and the processor time of the process at rest."""
    with local_swarm(TRACED) as swarm:
        swarm.spawn(Idle, "warm-up").ask(Question(number=1), timeout=ASK_S).get()
        before_bytes = _resident_bytes()
        started = time.perf_counter()
        if how == "supervised":
            swarm.supervise(Supervisor([Child(Idle, str(number)) for number in range(count)]))
        else:
            for number in range(count):
                swarm.spawn(Idle, str(number))
        last = "warm-up" if count == 0 else str(count - 1)
        swarm.agent(Idle, last).ask(Question(number=1), timeout=WITHIN_S).get()
        start_s = time.perf_counter() - started
        grown_bytes = _resident_bytes() - before_bytes
        time.sleep(SETTLE_S)
        began, used_s = time.perf_counter(), time.process_time()
        time.sleep(idle_s)
        used_s, idle_s = time.process_time() - used_s, time.perf_counter() - began
        give_sample(
            idle_ms_per_s=used_s / idle_s * 1e3,
            kib_per_agent=grown_bytes / max(1, count) / 1024,
            starts_per_s=count / start_s,
        )


def _resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "crash":
        crash(given[0], int(given[1]))
    elif what == "storm":
        storm(given[0], int(given[1]), int(given[2]))
    elif what == "group":
        group(given[0], int(given[1]), with_hooks=given[2:] == ["with hooks"])
    else:
        idle(given[0], int(given[1]), float(given[2]))
