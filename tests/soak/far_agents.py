"""What the two nodes of the soak over a server host, what travels between them, and the books of each."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from covey import Agent, AgentRef, Mailbox, Reply, Request, handles, message, subscribes

__all__ = [
    "BOOKS",
    "ECHOES",
    "WITHIN_S",
    "Answer",
    "Asker",
    "Blob",
    "Chore",
    "Doze",
    "Item",
    "News",
    "Question",
    "Roll",
    "hosted",
]

ECHOES = 20
"""How many the asker has to choose from."""
AT_ONCE = 32
TOLD = 10
WITHIN_S = 10.0
"""An ask waits for what was told before it. So long takes the warm-up: then the deadline wheel is full."""


@message
class Item:
    """Numbered in each lane, separately for each taker."""

    lane: int
    number: int
    text: str


@message
class Blob:
    """Larger than many frames."""

    data: bytes


@message
class Answer:
    number: int


@message
class Question(Request[Answer]):
    """Answered with the number plus one."""

    number: int


@message
class Doze(Request[Answer]):
    """Answered after a while, when nobody waits any more."""

    number: int


@message
class Chore(Request[Answer]):
    """Ask the other node's echoes so many questions from within a handler; answered with the count."""

    side: str
    count: int


@message
class News:
    """Published by the node of that side."""

    side: str
    number: int


@message
class Roll(Request[Answer]):
    """Asked of every agent at the end of a round: each is then left with the same last message."""

    number: int


@dataclass
class Books:
    """What this process has sent to the other node and got from it; counted on several threads."""

    sent: Counter[str] = field(default_factory=Counter)
    got: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    """Asks made, and how they ended: `answer`, or the error's name."""
    disorder: list[str] = field(default_factory=list)
    """The first items that were not the next one of their lane, in words."""
    kept: list[Reply[Any]] | None = None
    """A list makes the soak leak on purpose: it keeps every reply."""
    _lock: Any = field(default_factory=threading.RLock)

    def send(self, what: str, count: int = 1) -> None:
        with self._lock:
            self.sent[what] += count

    def misplaced(self, what: str, expected: int) -> None:
        if len(self.disorder) < TOLD:
            self.disorder.append(f"{what}, and {expected} was next")

    def ask(self, ref: AgentRef, question: Any, timeout_s: float | None = None) -> Reply[Any]:
        """Ask, and count the ask and how it ends."""
        with self._lock:
            self.asked["made"] += 1
        reply = ref.ask(question, timeout=timeout_s)
        if self.kept is not None:
            self.kept.append(reply)
        reply.add_done_callback(lambda: self._ended(reply))
        return reply

    def _ended(self, reply: Reply[Any]) -> None:
        error = reply.error()
        with self._lock:
            self.asked["answer" if error is None else type(error).__name__] += 1

    @property
    def unanswered(self) -> int:
        with self._lock:
            return 2 * self.asked["made"] - self.asked.total()


BOOKS = Books()
"""Of this process: agents that are placed construct without arguments, so they cannot be given one."""


class Listed(Agent):
    @handles
    def answer_roll(self, roll: Roll) -> Answer:
        return Answer(roll.number)


class Taker(Listed):
    """Takes items, which must come in order and without a hole, and blobs."""

    mailbox = Mailbox(capacity=5_000)  # less than a round brings: its senders are held back

    def __init__(self) -> None:
        super().__init__()
        self.expected: Counter[int] = Counter()

    @handles
    def take(self, item: Item) -> None:
        BOOKS.got["item"] += 1
        if item.number != self.expected[item.lane]:
            BOOKS.misplaced(
                f"{self.address} got item {item.number} of lane {item.lane}", self.expected[item.lane]
            )
        self.expected[item.lane] = item.number + 1

    @handles
    def take_blob(self, blob: Blob) -> None:
        BOOKS.got["blob"] += 1


class Echo(Listed):
    """Answers at once."""

    @handles
    def answer(self, question: Question) -> Answer:
        return Answer(question.number + 1)


class LateEcho(Listed):
    """Answers from a coroutine; and so late that nobody waits any more."""

    concurrency = 100

    @handles
    async def answer(self, question: Question) -> Answer:
        await asyncio.sleep(0)
        return Answer(question.number + 1)

    @handles
    async def doze(self, doze: Doze) -> Answer:
        await asyncio.sleep(0.05)
        return Answer(doze.number + 1)


class Asker(Listed):
    """Asks agents of the other node, many at once."""

    @handles
    async def do(self, chore: Chore) -> Answer:
        numbers = iter(range(chore.count))

        async def go_on() -> int:
            right = 0
            for number in numbers:
                echo = self.agent(f"{chore.side}_echo", f"{number % ECHOES}")
                right += await BOOKS.ask(echo, Question(number), WITHIN_S) == Answer(number + 1)
            return right

        return Answer(sum(await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))))


class Listener(Listed):
    """Hears what the other node publishes."""

    @subscribes("soak.*")
    def hear(self, news: News) -> None:
        if not self.address.startswith(news.side):
            BOOKS.got["news"] += 1


def hosted(side: str) -> list[type[Agent]]:
    """The kinds of one side: `left_taker` lives on the left node and nowhere else."""
    return [
        type(cls.__name__, (cls,), {"kind": f"{side}_{cls.kind}", "__module__": __name__})
        for cls in (Taker, Echo, LateEcho, Asker, Listener)
    ]
