"""The agents of the soak: one class for each way in which the runtime runs them."""

from __future__ import annotations

import asyncio
from typing import Any

from covey import (
    Agent,
    DecisionAgent,
    Mailbox,
    MailboxFullError,
    Reject,
    Terminated,
    every,
    gather,
    handles,
    subscribes,
)
from tests.soak.messages import Breed, Fail, Flood, Refuse, Slow, Work
from tests.soak.tally import TALLY

__all__ = [
    "ADDERS",
    "NARROW",
    "Adder",
    "Blocker",
    "Breaker",
    "Broken",
    "Crowd",
    "Decider",
    "Flooder",
    "Idler",
    "LateBreaker",
    "Later",
    "Listener",
    "Middle",
    "Mortal",
    "Nursery",
    "ThreadMiddle",
    "Ticker",
]

ADDERS = 2_000
"""How many plain agents there are; the others ask them."""


class Broken(Exception):
    """What agents fail with here."""


class Adder(Agent):
    """Plain handlers: most of the population."""

    @handles
    def add(self, work: Work) -> int:
        TALLY.begin()
        return work.number + 1

    @handles
    def refuse(self, refuse: Refuse) -> None:
        TALLY.begin()
        raise Reject("not today")


class Middle(Agent):
    """Asks another agent from a coroutine."""

    @handles
    async def add(self, work: Work) -> int:
        TALLY.begin()
        answer: int = await TALLY.ask(self.agent(Adder, f"{work.number % ADDERS}"), work)
        return answer

    @handles
    async def add_slowly(self, slow: Slow) -> int:
        TALLY.begin()
        await asyncio.sleep(0.02)
        return slow.number + 1


class Crowd(Middle):
    """As `Middle`, several at once."""

    concurrency = 4


class ThreadMiddle(Middle):
    """As `Middle`, in a thread of its own."""

    dispatcher = "thread"


class Blocker(Agent):
    """Blocks its own thread for the answer."""

    dispatcher = "thread"

    @handles
    def add(self, work: Work) -> int:
        TALLY.begin()
        answer: int = TALLY.ask(self.agent(Adder, f"{work.number % ADDERS}"), work).get()
        return answer


class Ticker(Agent):
    """Lives by its timer, and has mail as well."""

    @every(0.02)
    def tick(self) -> None:
        TALLY.note("tick")

    @handles
    def add(self, work: Work) -> int:
        TALLY.begin()
        return work.number + 1


class Later(Agent):
    """Sends itself one message later and takes another one back."""

    @handles
    def put_off(self, work: Work) -> int:
        TALLY.begin()
        self.after(60.0, work).cancel()
        TALLY.send()
        self.after(0.01, Refuse())
        return work.number + 1

    @handles
    def late(self, refuse: Refuse) -> None:
        TALLY.begin()


class Idler(Adder):
    """Gives its instance up in the pauses between rounds."""

    idle_after_s = 0.05


class Mortal(Adder):
    """Lives for a few messages; fails when it is told to, and waits for more that never comes."""

    def on_start(self) -> None:
        self.after(3_600.0, Refuse())

    @every(1.0)
    def tick(self) -> None:
        TALLY.note("tick of a mortal")

    @handles
    def fail(self, fail: Fail) -> None:
        TALLY.begin()
        raise Broken("told to")


class Breaker(Adder):
    """Supervised: fails and is restarted."""

    @handles
    def fail(self, fail: Fail) -> None:
        TALLY.begin()
        raise Broken("told to")


class LateBreaker(Middle):
    """Fails in a coroutine while others of its handlers wait."""

    concurrency = 2

    @handles
    async def fail(self, fail: Fail) -> None:
        TALLY.begin()
        await asyncio.sleep(0.001)
        raise Broken("told to, later")


class Nursery(Adder):
    """Has children, watches them, asks them all at once, and lets them go in different ways."""

    @handles
    async def breed(self, breed: Breed) -> int:
        TALLY.begin()
        children = [self.spawn(Mortal, f"{breed.name}-{n}") for n in range(breed.count)]
        for child in children:
            TALLY.note("watched")
            child.watch()
        answers: list[int] = await gather(*(TALLY.ask(child, Work(n)) for n, child in enumerate(children)))
        for number, child in enumerate(children):
            if number % 3 == 0:
                TALLY.send()
                await child.tell(Fail())
            else:
                child.stop()
        return sum(answers)

    @handles
    def ended(self, end: Terminated) -> None:
        TALLY.note("terminated")


class Listener(Adder):
    """Hears what is published."""

    @subscribes("soak.*")
    def hear(self, work: Work) -> None:
        TALLY.begin()


class Decider(DecisionAgent):
    """Goes through the decision loop for each message, and by itself."""

    period_s = 0.05

    @handles
    async def add(self, work: Work) -> Any:
        TALLY.begin()
        return await self.run_cycle(work)

    def observe(self, stimulus: Work | None) -> int | None:
        return None if stimulus is None else stimulus.number

    async def decide(self, observation: int) -> int:
        return observation + 1

    def act(self, decision: int) -> int:
        return decision


class _Narrow(Agent):
    """Has room for four messages."""

    @handles
    async def add(self, work: Work) -> int:
        TALLY.begin()
        await asyncio.sleep(0)
        return work.number + 1


class Patient(_Narrow):
    mailbox = Mailbox(capacity=4, overflow="backpressure")


class Forgetful(_Narrow):
    mailbox = Mailbox(capacity=4, overflow="drop_oldest")


class Deaf(_Narrow):
    mailbox = Mailbox(capacity=4, overflow="drop_newest")


class Strict(_Narrow):
    mailbox = Mailbox(capacity=4, overflow="fail")


NARROW: tuple[type[Agent], ...] = (Patient, Forgetful, Deaf, Strict)
"""One for each overflow policy."""


class Flooder(Adder):
    """Tells the narrow ones more than they have room for, from a plain handler: it cannot wait."""

    @handles
    def flood(self, flood: Flood) -> None:
        TALLY.begin()
        for cls in NARROW:
            ref = self.agent(cls, self.key)
            for number in range(flood.count):
                TALLY.send()
                try:
                    ref.tell(Work(number))
                except MailboxFullError:
                    TALLY.note("no room for a plain handler")
