"""The load of one node on the other: rounds at full speed from threads, and from an agent's handler."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from covey import AskTimeoutError, Swarm, gather
from tests.soak.far_agents import (
    BOOKS,
    ECHOES,
    WITHIN_S,
    Answer,
    Blob,
    Chore,
    Doze,
    Item,
    News,
    Question,
    Roll,
)

__all__ = ["FarLoad"]

LANES = 2
"""Threads that tell side by side."""
ITEMS = 10_000
"""That each of them sends in a round."""
COUNTS = {"taker": 5, "echo": ECHOES, "late_echo": 5, "asker": 1, "listener": 3}
LATE = 100
NEWS = 50
ASKS = 400
TEXT = "x" * 100
BLOB = bytes(200_000)


class FarLoad:
    """What the node of this side does to the other one."""

    def __init__(self, swarm: Swarm, side: str) -> None:
        self._swarm = swarm
        self._side = side
        self._other = {"left": "right", "right": "left"}[side]
        self._far = {
            kind: [swarm.agent(f"{self._other}_{kind}", f"{n}") for n in range(count)]
            for kind, count in COUNTS.items()
        }
        self._asker = swarm.agent(f"{side}_asker", "0")
        self._next: Counter[tuple[int, int]] = Counter()

    def round(self) -> None:
        """Send one round and return when all askers have their answers; the rest may be on its way."""
        with ThreadPoolExecutor(LANES + 2) as pool:
            senders = [pool.submit(self._tell, lane) for lane in range(LANES)]
            senders += [pool.submit(self._ask), pool.submit(self._be_late)]
            chore = BOOKS.ask(self._asker, Chore(self._other, ASKS), WITHIN_S)
            for sender in senders:
                sender.result()
            assert chore.get() == Answer(ASKS)

    def call_the_roll(self) -> None:
        """Ask every agent of the other node once."""
        refs = list(itertools.chain(*self._far.values()))
        asks = [BOOKS.ask(ref, Roll(number), WITHIN_S) for number, ref in enumerate(refs)]
        answers: list[Answer] = gather(*asks).get()
        assert answers == [Answer(number) for number in range(len(refs))]

    def _tell(self, lane: int) -> None:
        takers = self._far["taker"]
        for count in range(ITEMS):
            number = count % len(takers)
            takers[number].tell(Item(lane, self._next[lane, number], TEXT))
            self._next[lane, number] += 1
        BOOKS.send("item", ITEMS)
        for taker in takers:
            taker.tell(Blob(BLOB))
        BOOKS.send("blob", len(takers))

    def _ask(self) -> None:
        for kind in ("echo", "late_echo"):
            refs = itertools.cycle(self._far[kind])
            asks = [BOOKS.ask(next(refs), Question(number), WITHIN_S) for number in range(ASKS)]
            answers: list[Answer] = gather(*asks).get()
            assert answers == [Answer(number + 1) for number in range(ASKS)]
        for number in range(NEWS):
            self._swarm.publish(f"soak.{self._side}", News(self._side, number))
        BOOKS.send("news", NEWS * COUNTS["listener"])

    def _be_late(self) -> None:
        """Asks that time out, and that are cancelled, on their way or over there."""
        refs = itertools.cycle(self._far["late_echo"])
        late = [BOOKS.ask(next(refs), Doze(number), timeout_s=0.01) for number in range(LATE)]
        for number in range(LATE):
            BOOKS.ask(next(refs), Doze(number)).cancel()
        for reply in late:
            try:
                reply.get(10.0)
            except AskTimeoutError:
                continue
            raise AssertionError("a late answer came in time")
