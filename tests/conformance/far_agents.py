"""What the other node hosts in the tests of a swarm. `covey node` runs this module as a process, too."""

from __future__ import annotations

import asyncio
import os
import time

from covey import (
    Agent,
    Child,
    Mailbox,
    Reject,
    Supervisor,
    handles,
    subscribes,
)
from tests.conformance.shared_messages import (
    Add,
    Bulk,
    Call,
    Crash,
    Forget,
    Hold,
    ListNumbers,
    Noted,
    Numbers,
    Refuse,
    ReplyOfBytes,
    TellDeadline,
    Where,
    Whereabouts,
)

__all__ = ["Far", "Listener", "Slow", "Warden", "supervisor"]


class Far(Agent):
    """Answers in each way that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self.cancelled = 0

    @handles
    def where(self, question: Where) -> Whereabouts:
        return Whereabouts(pid=os.getpid(), key=self.key, sender=self.sender.address if self.sender else "")

    @handles
    def add(self, add: Add) -> None:
        self.numbers.append(add.number)

    @handles
    def numbers_so_far(self, question: ListNumbers) -> Numbers:
        return Numbers(values=self.numbers)

    @handles
    def forget(self, order: Forget) -> None:
        self.numbers.clear()

    @handles
    def crash(self, order: Crash) -> None:
        raise KeyError(order.text)

    @handles
    def refuse(self, order: Refuse) -> None:
        raise Reject(order.text)

    @handles
    def bulk(self, bulk: Bulk) -> Numbers:
        return Numbers(values=[len(bulk.data)])

    @handles
    def grow(self, order: ReplyOfBytes) -> Bulk:
        return Bulk(data=bytes(order.size))

    @handles
    async def hold(self, order: Hold) -> Numbers:
        try:
            await asyncio.sleep(order.seconds)
        except asyncio.CancelledError:
            self.publish("held.cancelled", Noted(topic="held.cancelled", text=self.key))
            raise
        return Numbers(values=[1])

    @handles
    async def call(self, call: Call) -> Whereabouts:
        return await self.agent(call.kind, call.key).ask(Where(), timeout=2.0)

    @handles
    def time_left_ms(self, question: TellDeadline) -> Numbers:
        left_ms = round((self.deadline or 0.0) * 1e3)
        return Numbers(values=[left_ms])


class Slow(Agent):
    """Takes its time, with a small mailbox and a thread of its own."""

    dispatcher = "thread"
    mailbox = Mailbox(capacity=4)

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    @handles
    def add(self, add: Add) -> None:
        time.sleep(0.0005)  # it is what makes its mailbox full
        self.numbers.append(add.number)

    @handles
    def numbers_so_far(self, question: ListNumbers) -> Numbers:
        return Numbers(values=self.numbers)


class Listener(Agent):
    """Passes on what it hears on topics."""

    @handles
    def where(self, question: Where) -> Whereabouts:
        return Whereabouts(pid=os.getpid(), key=self.key, sender="")

    @subscribes("news.*")
    def heard(self, noted: Noted) -> None:
        self.publish(f"heard.{self.key}", noted)


class Warden(Agent):
    """Started by the supervisor of this module; not placed."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    @handles
    def where(self, question: Where) -> Whereabouts:
        return Whereabouts(pid=os.getpid(), key=self.label, sender="")

    @handles
    def crash(self, order: Crash) -> None:
        raise KeyError(order.text)


def supervisor() -> Supervisor:
    return Supervisor([Child(Warden, "gate", ("supervised",))], backoff=None)
