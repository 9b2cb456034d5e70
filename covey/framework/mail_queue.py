"""The mailbox at work: bounded, with its overflow policy and those who wait for room.

An idle agent has no queues: an empty deque takes 600 bytes, and most of a million agents are idle. They
are made at first use, and a made one stays.

Senders call this from any thread. Three rules keep messages from being lost: a sender appends first and
looks at `scheduled` then, a turn clears `scheduled` first and looks at the mailbox then; the end sets
`scheduled` and `STOPPED` first and buries then, and a sender that appended later sees `STOPPED` and buries
itself; who waits for room joins `waiters` first and wakes the agent then.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pykka.messages import _ActorStop

from covey.framework.envelope import Envelope, ReplyPort, opened
from covey.framework.errors import AgentDeadError, MailboxFullError
from covey.framework.state import NEW, RUNNING, STOPPED
from covey.framework.terminated import Terminated

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.errors import CoveyError
    from covey.framework.node import Node
    from covey.framework.timers import PeriodicTimer as Tick

__all__ = ["MailQueue"]


_MAKING = threading.RLock()  # re-entrant: a garbage collection inside may end a tell


def _renew_lock() -> None:
    global _MAKING
    _MAKING = threading.RLock()  # a thread of the parent may have held it at the fork


os.register_at_fork(after_in_child=_renew_lock)


class Waiters(deque[Callable[[], None]]):
    """Those who wait for room in a mailbox, in order."""

    __slots__ = ("admitting",)

    def __init__(self) -> None:
        super().__init__()
        self.admitting = False
        """Whether one is being called: nobody overtakes it before it has offered."""

    def __bool__(self) -> bool:
        # In this order: between the two looks the last one may be called, which is told of first.
        return len(self) > 0 or self.admitting


class MailQueue:
    """The messages that wait for one agent."""

    __slots__ = (
        "__weakref__",
        "actor_class",
        "address",
        "capacity",
        "dropped",
        "end_reason",
        "executor",
        "handled",
        "mail",
        "node",
        "scheduled",
        "stalled",
        "state",
        "ticks",
        "waiters",
    )

    def __init__(self, node: Node, actor_class: type[Agent], address: Address, executor: Executor) -> None:
        self.node = node
        self.actor_class = actor_class
        self.address = address
        self.executor = executor
        self.capacity = actor_class.mailbox.capacity
        self.state = NEW
        self.mail: deque[Any] | None = None
        self.ticks: deque[Tick] | None = None
        """Timers that are due; they wait for no message."""
        self.waiters: Waiters | None = None
        self.scheduled = True  # until it runs: its start is posted, and that schedules it
        self.stalled = False
        """Whether it took no further message because as many handlers run as may."""
        self.handled = 0
        """Messages handled so far."""
        self.end_reason = ""
        """Why it ended, once it has."""
        self.dropped = 0
        """Messages that the overflow policy made dead letters of."""

    def turn(self, limit: int, until: float) -> int:
        """Handle up to `limit` messages, none after `until`; returns how many. For the executor only."""
        raise NotImplementedError

    def offer(self, item: Any) -> bool:
        """Put a message or envelope into the mailbox; False when it is full under backpressure.

        Raises:
            MailboxFullError: it is full and the policy is `fail`.
        """
        mail = self.mail
        if mail is None:
            mail = self._make_mail()
        if len(mail) >= self.capacity and not self._make_room(item):
            return self.actor_class.mailbox.overflow != "backpressure"
        mail.append(item)
        if not self.scheduled:
            self.scheduled = True
            self.executor.schedule(self)
        elif self.state == STOPPED:
            self.bury()  # it stopped between our look and our append
        return True

    def offer_all(self, items: Sequence[Any]) -> int:
        """Put in as many of these, in order, as there is room for under backpressure; returns how many.

        By any other policy all are taken, or become dead letters.
        """
        if self.actor_class.mailbox.overflow != "backpressure":
            for item in items:
                with suppress(MailboxFullError):  # it is a dead letter, and its asker has been told
                    self.offer(item)
            return len(items)
        mail = self.mail
        if mail is None:
            mail = self._make_mail()
        taken = items[: max(0, self.capacity - len(mail))]
        mail.extend(taken)
        if taken and not self.scheduled:
            self.scheduled = True
            self.executor.schedule(self)
        elif self.state == STOPPED:
            self.bury()  # as in `offer`
        return len(taken)

    def _make_mail(self) -> deque[Any]:
        """The queue of messages, made once."""
        with _MAKING:
            if self.mail is None:
                self.mail = deque()
            return self.mail

    def _make_waiters(self) -> Waiters:
        with _MAKING:
            if self.waiters is None:
                self.waiters = Waiters()
            return self.waiters

    def put(self, item: Any) -> None:
        """Put in what has room even in a full mailbox: requests to stop, `Terminated`, `after`."""
        mail = self.mail
        (self._make_mail() if mail is None else mail).append(item)
        if self.state == STOPPED:
            self.bury()
        elif not self.scheduled:
            self.resume()

    def put_back(self, item: Any) -> None:
        """Handle this again, ahead of all other mail; in the executor."""
        (self._make_mail() if self.mail is None else self.mail).appendleft(item)

    def put_stop(self, reply: ReplyPort | None) -> None:
        """Let the agent stop after the mail that it has now."""
        self.put(Envelope(_ActorStop(), reply))

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the agent's executor between two turns, whatever waits in the mailbox."""
        self.executor.call(function, *args)

    def post_tick(self, tick: Tick) -> None:
        """Let a timer's method run, ahead of the mail; in the node's loop thread."""
        if self.ticks is None:
            self.ticks = deque()  # one thread posts ticks
        self.ticks.append(tick)
        if not self.scheduled:
            self.resume()

    def resume(self) -> None:
        """Take turns again."""
        self.stalled = False
        self.scheduled = True
        self.executor.schedule(self)

    def turn_broke(self) -> None:
        """A turn has raised, which is an error of the runtime: the agent goes on."""
        if self.state == RUNNING:
            self.resume()

    def rest(self) -> None:
        """Take turns again once there is something to do."""
        self.scheduled = False
        # What came before the flag has scheduled nothing.
        if (self.mail or self.ticks or self.waiters) and not self.scheduled:
            self.resume()

    def wait_for_room(self, waiter: Callable[[], None]) -> None:
        """Call the waiter when there may be room, after those who wait already."""
        (self._make_waiters() if self.waiters is None else self.waiters).append(waiter)
        if self.state == STOPPED:
            self.bury()
        elif not self.scheduled:
            self.resume()  # room came between the sender's look and now

    def refuse(self, item: Any, error: CoveyError) -> None:
        """A message that found no room and is not offered again."""
        self.discard(item, "mailbox full", error)

    def full_error(self) -> MailboxFullError:
        """The error that names this mailbox and its bound."""
        return MailboxFullError(str(self.address), self.capacity)

    def discard(self, item: Any, reason: str, error: CoveyError | None = None) -> None:
        """Make a dead letter of an item; an asker gets the error."""
        envelope = opened(item)
        message, reply = envelope.message, envelope.reply
        if type(message) is _ActorStop:
            if reply is not None:
                reply.resolve(None)
            return
        detail = str(error or "")
        if reply is not None and not reply.fail(error or AgentDeadError(str(self.address), reason)):
            reason, detail = "expired", "its asker waits no longer"
        self.node.dead_letter(self.address, envelope, reason, detail)

    def waiting_stops(self) -> int:
        """How many requests to stop the mailbox holds."""
        items = () if self.mail is None else self.mail.copy()
        return sum(type(item) is Envelope and type(item.message) is _ActorStop for item in items)

    def end_error(self) -> AgentDeadError:
        """Why the mail of a stopped agent is not handled."""
        reason = self.end_reason or "stopped"
        return AgentDeadError(
            str(self.address), f"it ended ({reason}) before it handled the message: spawn it again"
        )

    def bury(self) -> None:
        """Make dead letters of all that waits in the mailbox of a stopped agent."""
        woken = []
        while self.waiters is not None and len(self.waiters):
            try:
                woken.append(self.waiters.popleft())
            except IndexError:
                break  # another thread buries too
        error = self.end_error() if self.mail else None
        while self.mail:
            try:
                item = self.mail.popleft()
            except IndexError:
                break  # as above
            if not self.send_on(item):
                self.discard(item, "stopped", error or self.end_error())
        for waiter in woken:
            waiter()  # offers to a stopped agent, and so buries its message by itself

    def send_on(self, item: Any) -> bool:
        """Hand over what an agent that has moved did not handle; False when it becomes a dead letter."""
        raise NotImplementedError

    def _make_room(self, item: Any) -> bool:
        overflow = self.actor_class.mailbox.overflow
        assert self.mail is not None
        if overflow == "drop_oldest":
            try:
                oldest = self.mail.popleft()
            except IndexError:
                return True  # the agent has just drained it
            if self._is_kept(oldest):
                self.mail.appendleft(oldest)
                self._drop(item)
                return False
            self._drop(oldest)
            return True
        if overflow == "drop_newest":
            self._drop(item)
        elif overflow == "fail":
            self.discard(item, "mailbox full", self.full_error())
            raise self.full_error()
        return False

    def _is_kept(self, item: Any) -> bool:
        """Whether it is of those that `put` finds room for, and is therefore never dropped."""
        envelope = opened(item)
        if type(envelope.message) in (_ActorStop, Terminated):
            return True
        # A tell of the agent to itself is a pair; in an envelope it comes from `after`.
        return type(item) is Envelope and item.reply is None and item.sender == self.address

    def _drop(self, item: Any) -> None:
        self.dropped += 1
        self.discard(item, "dropped", self.full_error())

    def _admit(self) -> None:
        """Call as many waiters as there is room for; within a turn."""
        waiters = self.waiters
        assert waiters is not None
        room = self.capacity - len(self.mail or ())
        waiters.admitting = True
        try:
            while room > 0:
                try:
                    waiter = waiters.popleft()
                except IndexError:
                    return
                waiter()
                room -= 1
        finally:
            waiters.admitting = False
