"""The load of the soak: rounds of mixed traffic from threads, an event loop and agents."""

from __future__ import annotations

import asyncio
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from covey import (
    Agent,
    AgentRef,
    AskTimeoutError,
    Backoff,
    Child,
    MailboxFullError,
    Reply,
    Supervisor,
    Swarm,
    gather,
)
from tests.soak.messages import Breed, Fail, Flood, Refuse, Slow, Unknown, Work
from tests.soak.population import (
    ADDERS,
    NARROW,
    Adder,
    Blocker,
    Breaker,
    Crowd,
    Decider,
    Flooder,
    Idler,
    LateBreaker,
    Later,
    Listener,
    Middle,
    Mortal,
    Nursery,
    ThreadMiddle,
    Ticker,
)
from tests.soak.tally import TALLY

__all__ = ["Load"]

STANDING: dict[type[Agent], int] = {
    Adder: ADDERS,
    Middle: 300,
    Crowd: 50,
    Later: 100,
    Ticker: 50,
    Decider: 20,
    Listener: 10,
    Nursery: 10,
    Flooder: 4,
    ThreadMiddle: 4,
    Blocker: 4,
} | dict.fromkeys(NARROW, 4)
"""How many of each live all the time."""

SUPERVISED = 10
IDLERS = 300
CALLERS = 3
"""Threads that send side by side, besides an event loop."""


class Load:
    """The standing population of a swarm, and rounds of traffic for it."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._names = itertools.count()
        self._refs = {
            cls: [swarm.spawn(cls, f"{n}") for n in range(count)] for cls, count in STANDING.items()
        }
        children = [Child(cls, f"{n}") for cls in (Breaker, LateBreaker) for n in range(SUPERVISED)]
        swarm.supervise(
            Supervisor(children, intensity=1_000_000, backoff=Backoff(initial_s=0.005, max_s=0.02))
        )
        for cls in (Breaker, LateBreaker):
            self._refs[cls] = [swarm.agent(cls, f"{n}") for n in range(SUPERVISED)]

    def __len__(self) -> int:
        return sum(map(len, self._refs.values())) + IDLERS

    def round(self, number: int) -> None:
        """Send one round and return when all senders have their answers; what was told may be on its way."""
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            senders = [pool.submit(self._call, random.Random(f"{number} {n}")) for n in range(CALLERS)]
            senders.append(pool.submit(asyncio.run, self._await(random.Random(number))))
            for sender in senders:
                sender.result()

    def call_the_roll(self) -> None:
        """Ask every standing agent once: each is then left with what its last message leaves, the same."""
        refs = [ref for refs in self._refs.values() for ref in refs]
        asks = [TALLY.ask(ref, Work(number)) for number, ref in enumerate(refs)]
        answers: list[int] = gather(*asks).get()
        assert answers == [number + 1 for number in range(len(refs))]

    # -- from a thread -----------------------------------------------------------------------------

    def _call(self, rng: random.Random) -> None:
        self._tell_many(rng)
        for cls in (Adder, Middle, Blocker, Ticker, Later, Decider):
            number = rng.randrange(ADDERS)
            answer: int = self._ask(rng, cls, number).get()
            assert answer == number + 1
        kinds = rng.choices((Adder, Middle, Crowd, ThreadMiddle, Blocker), (10, 5, 3, 1, 1), k=300)
        answers: list[int] = gather(*(self._ask(rng, cls, n) for n, cls in enumerate(kinds))).get()
        assert answers == [n + 1 for n in range(len(kinds))]
        self._be_late(rng)
        self._break(rng)
        self._live_and_die(rng)
        self._wake_the_idle(rng)
        self._fill(rng)
        self._use_pykka()

    def _tell_many(self, rng: random.Random) -> None:
        for cls in rng.choices((Adder, Middle, Ticker, Later, Decider), (40, 5, 1, 1, 1), k=600):
            TALLY.send()
            self._pick(rng, cls).tell(Work(rng.randrange(ADDERS)))
        for message in (Unknown(), Refuse()):
            TALLY.send()
            self._pick(rng, Adder).tell(message)
        TALLY.send(STANDING[Listener])
        self._swarm.publish("soak.work", Work(0))

    def _be_late(self, rng: random.Random) -> None:
        """Asks that time out, that are cancelled, and that nobody waits for."""
        for cls in (Middle, Crowd):
            for _ in range(10):
                TALLY.ask(self._pick(rng, cls), Slow(1), timeout_s=0.005)
                TALLY.ask(self._pick(rng, cls), Slow(1)).cancel()
        impatient = TALLY.ask(self._pick(rng, Middle), Slow(1))
        try:
            impatient.get(timeout=0.001)
        except AskTimeoutError:
            TALLY.note("get gave up")
        asks = [TALLY.ask(self._pick(rng, Crowd), Slow(n)) for n in range(10)]
        gather(*asks, return_errors=True).cancel()

    def _break(self, rng: random.Random) -> None:
        for cls in (Breaker, LateBreaker):
            for _ in range(3):
                ref = self._pick(rng, cls)
                TALLY.send(2)
                ref.tell(Fail())
                ref.tell(Work(1))  # the next instance gets it
            TALLY.ask(self._pick(rng, cls), Fail())

    def _live_and_die(self, rng: random.Random) -> None:
        for number in range(60):
            ref = self._swarm.spawn(Mortal, f"{next(self._names)}")
            watch = ref.watch()
            TALLY.send(2)
            ref.tell(Work(1))
            ref.tell(Fail() if number % 2 else Refuse())
            TALLY.ask(ref, Work(1))
            if number % 3 == 0:
                watch.cancel()
                watch = ref.watch()
            stopped = ref.stop()
            watch.get(timeout=30.0)
            stopped.get(timeout=30.0)
            TALLY.send()
            ref.tell(Work(1))
        nursery = self._pick(rng, Nursery)
        assert TALLY.ask(nursery, Breed(f"{next(self._names)}", 12)).get() == sum(range(1, 13))

    def _wake_the_idle(self, rng: random.Random) -> None:
        refs = [self._swarm.agent(Idler, f"{rng.randrange(IDLERS)}") for _ in range(100)]
        TALLY.send(len(refs))
        for ref in refs:
            ref.tell(Work(1))
        gather(*(TALLY.ask(ref, Work(1)) for ref in refs)).get()

    def _fill(self, rng: random.Random) -> None:
        TALLY.send()
        self._pick(rng, Flooder).tell(Flood(12))
        for cls in NARROW:
            ref = self._pick(rng, cls)
            for number in range(12):
                TALLY.send()
                try:
                    ref.tell(Work(number))
                except MailboxFullError:
                    TALLY.note("no room for a thread")
            for number in range(12):
                TALLY.ask(ref, Work(number))

    def _use_pykka(self) -> None:
        """As Pykka's users do: by Pykka's ref and proxy, on the process's own node."""
        ref = Adder.start()
        TALLY.send()
        assert ref.ask(Work(1)) == 2
        assert ref.is_alive()
        ref.stop()

    # -- from an event loop ------------------------------------------------------------------------

    async def _await(self, rng: random.Random) -> None:
        answers: list[int] = await gather(*(self._ask(rng, Middle, n) for n in range(100)))
        assert answers == [n + 1 for n in range(100)]
        async with asyncio.TaskGroup() as group:
            for cls in NARROW:
                group.create_task(self._fill_patiently(self._pick(rng, cls)))
        for _ in range(10):
            waiting = asyncio.ensure_future(_answer(TALLY.ask(self._pick(rng, Middle), Slow(1))))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        try:
            async with asyncio.timeout(0.005):
                await TALLY.ask(self._pick(rng, Crowd), Slow(1))
        except TimeoutError:
            TALLY.note("await gave up")
        self._swarm.spawn(Mortal, f"{next(self._names)}").stop()

    async def _fill_patiently(self, ref: AgentRef) -> None:
        for number in range(12):
            TALLY.send()
            try:
                await ref.tell(Work(number))
            except MailboxFullError:
                TALLY.note("no room for a coroutine")

    # -- whom --------------------------------------------------------------------------------------

    def _pick(self, rng: random.Random, cls: type[Agent]) -> AgentRef:
        return rng.choice(self._refs[cls])

    def _ask(self, rng: random.Random, cls: type[Agent], number: int) -> Reply[Any]:
        return TALLY.ask(self._pick(rng, cls), Work(number))


async def _answer(reply: Reply[Any]) -> Any:
    return await reply
