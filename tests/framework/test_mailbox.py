"""Bounds, overflow policies and backpressure: nothing is lost without a dead letter."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

import covey.framework.ref
from covey import Agent, AskTimeoutError, ConfigurationError, Mailbox, MailboxFullError, Swarm, handles
from tests.framework.waiting import eventually


class Held(Agent):
    """Holds its thread until the test lets it go on; so its mailbox fills."""

    dispatcher = "thread"
    mailbox = Mailbox(capacity=2)

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.began = threading.Event()
        self.seen: list[int] = []

    @handles
    def hold(self, text: str) -> None:
        self.began.set()
        self.gate.wait(10)

    @handles
    def take(self, number: int) -> int:
        self.seen.append(number)
        return number


class OldestDropped(Held):
    mailbox = Mailbox(capacity=2, overflow="drop_oldest")


class NewestDropped(Held):
    mailbox = Mailbox(capacity=2, overflow="drop_newest")


class Failing(Held):
    mailbox = Mailbox(capacity=2, overflow="fail")


def full(swarm: Swarm, cls: type[Held]) -> tuple[Any, Any]:
    """An agent that holds its thread, with a full mailbox."""
    ref = swarm.spawn(cls, "a")
    actor: Any = swarm._running.directory.find(ref._address).actor  # type: ignore[union-attr]
    ref.tell("hold")
    assert actor.began.wait(5)
    ref.tell(1)
    ref.tell(2)
    return ref, actor


def short(swarm: Swarm, timeout_s: float = 0.05) -> None:
    swarm._running.ask_timeout_s = timeout_s


def test_drop_oldest_makes_a_dead_letter_of_the_oldest(swarm: Swarm) -> None:
    ref, actor = full(swarm, OldestDropped)
    ref.tell(3)
    actor.gate.set()
    eventually(lambda: actor.seen == [2, 3])
    assert [letter.payload for letter in swarm.dead_letters()] == ["1"]


def test_drop_newest_makes_a_dead_letter_of_the_newest_and_fails_an_ask(swarm: Swarm) -> None:
    ref, actor = full(swarm, NewestDropped)
    ref.tell(3)
    with pytest.raises(MailboxFullError, match="newest_dropped/a is full"):
        ref.ask(4).get()
    actor.gate.set()
    eventually(lambda: actor.seen == [1, 2])
    assert swarm.dead_letters().counts == {"dropped": 2}


def test_fail_raises_at_the_teller_and_in_the_reply(swarm: Swarm) -> None:
    ref, actor = full(swarm, Failing)
    with pytest.raises(MailboxFullError) as caught:
        ref.tell(3)
    assert (caught.value.target, caught.value.capacity) == ("failing/a", 2)
    with pytest.raises(MailboxFullError):
        ref.ask(4).get()
    actor.gate.set()
    eventually(lambda: actor.seen == [1, 2])
    assert swarm.dead_letters().counts == {"mailbox full": 2}


def test_a_stop_is_never_dropped_for_a_newer_message(swarm: Swarm) -> None:
    ref, actor = full(swarm, OldestDropped)
    stopped = ref.stop()
    for number in range(3, 8):
        ref.tell(number)
    actor.gate.set()
    assert stopped.get(5) is None


def test_a_thread_waits_for_room(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)
    sent = threading.Event()

    def send() -> None:
        for number in (3, 4, 5):
            ref.tell(number)
        sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    eventually(lambda: bool(swarm._running.directory.find(ref._address).waiters))  # type: ignore[union-attr]
    assert not sent.is_set()
    actor.gate.set()
    assert sent.wait(5)
    thread.join(5)
    eventually(lambda: actor.seen == [1, 2, 3, 4, 5])
    assert len(swarm.dead_letters()) == 0


def test_a_thread_that_finds_no_room_in_time_gets_the_error_and_leaves_no_waiter(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)
    short(swarm)
    with pytest.raises(MailboxFullError, match=r"held/a is full \(2 messages\)"):
        ref.tell(3)
    assert not swarm._running.directory.find(ref._address).waiters  # type: ignore[union-attr]
    assert swarm.dead_letters().counts == {"mailbox full": 1}
    actor.gate.set()


def test_a_coroutine_waits_for_room_at_await(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)

    async def send() -> None:
        pending = ref.tell(3)
        asyncio.get_running_loop().call_later(0.01, actor.gate.set)
        await pending
        await pending
        await ref.tell(4)

    asyncio.run(asyncio.wait_for(send(), 5))
    eventually(lambda: actor.seen == [1, 2, 3, 4])


def test_a_coroutine_that_finds_no_room_in_time_gets_the_error(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)
    short(swarm)

    async def send() -> None:
        await ref.tell(3)

    with pytest.raises(MailboxFullError):
        asyncio.run(send())
    assert swarm.dead_letters().counts == {"mailbox full": 1}
    actor.gate.set()


def test_a_cancelled_wait_for_room_leaves_a_dead_letter(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)

    async def send() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ref.tell(3)

    asyncio.run(send())
    assert swarm.dead_letters().counts == {"mailbox full": 1}
    actor.gate.set()


def test_a_pending_tell_that_nobody_awaits_becomes_a_dead_letter(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)

    async def send() -> None:
        ref.tell(3)

    asyncio.run(send())
    gc.collect()
    assert [letter.payload for letter in swarm.dead_letters()] == ["3"]
    actor.gate.set()


def test_a_plain_handler_on_the_loop_gets_the_error_and_an_async_one_waits(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)

    class Sender(Agent):
        @handles
        def plain(self, number: int) -> str:
            try:
                self.agent(Held, "a").tell(number)
            except MailboxFullError:
                return "full"
            return "sent"

        @handles
        async def patient(self, text: str) -> str:
            await self.agent(Held, "a").tell(int(text))
            return "sent"

    sender = swarm.spawn(Sender, "s")
    assert sender.ask(3).get() == "full"
    waiting = sender.ask("4")
    eventually(lambda: bool(swarm._running.directory.find(ref._address).waiters))  # type: ignore[union-attr]
    actor.gate.set()
    assert waiting.get() == "sent"
    eventually(lambda: actor.seen == [1, 2, 4])


def test_asks_wait_for_room_in_order_and_no_tell_overtakes_them(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)
    replies = [ref.ask(number) for number in (3, 4)]
    threading.Timer(0.02, actor.gate.set).start()
    ref.tell(5)
    assert [reply.get() for reply in replies] == [3, 4]
    eventually(lambda: actor.seen == [1, 2, 3, 4, 5])


def test_an_ask_that_finds_no_room_in_time_times_out_and_leaves_a_dead_letter(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)
    with pytest.raises(AskTimeoutError):
        ref.ask(3, timeout=0.02).get()
    actor.gate.set()
    eventually(lambda: swarm.dead_letters().counts == {"expired": 1})
    assert ref.ask(4).get() == 4


def test_more_asks_than_may_wait_for_room_are_refused(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covey.framework.ref, "MAX_WAITING", 2)
    ref, actor = full(swarm, Held)
    waiting = [ref.ask(number) for number in (3, 4)]
    with pytest.raises(MailboxFullError):
        ref.ask(5).get()
    actor.gate.set()
    assert [reply.get() for reply in waiting] == [3, 4]


def test_many_waiting_asks_of_an_agent_that_stops_all_resolve() -> None:
    class Wide(Held):
        mailbox = Mailbox(capacity=3000)

    with Swarm.local() as swarm:
        ref = swarm.spawn(Wide, "a")
        actor: Any = swarm._running.directory.find(ref._address).actor  # type: ignore[union-attr]
        ref.tell("hold")
        assert actor.began.wait(5)
        replies = [ref.ask(number, timeout=60) for number in range(5999)]
        swarm.stop(0.05)
        assert all(reply.done() for reply in replies)
        assert swarm.dead_letters().counts == {"stopped": 5999}
        actor.gate.set()


def test_many_senders_with_little_room_lose_nothing(swarm: Swarm) -> None:
    class Tiny(Agent):
        mailbox = Mailbox(capacity=1)
        count = 0

        @handles
        def take(self, number: int) -> None:
            self.count += 1

        @handles
        async def breathe(self, text: str) -> None:
            await asyncio.sleep(0)
            self.count += 1

    ref = swarm.spawn(Tiny, "a")
    actor: Any = swarm._running.directory.find(ref._address).actor  # type: ignore[union-attr]

    def send(name: int) -> None:
        for number in range(100):
            ref.tell(number)

    async def send_awaiting() -> None:
        for _ in range(100):
            await ref.tell("x")

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    threads += [threading.Thread(target=lambda: asyncio.run(send_awaiting())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    eventually(lambda: actor.count == 600)
    assert len(swarm.dead_letters()) == 0


@pytest.mark.parametrize(
    "options", [{"capacity": 0}, {"capacity": 1.5}, {"overflow": "explode"}], ids=lambda o: str(o)
)
def test_a_mailbox_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Mailbox"):
        Mailbox(**options)


def test_tells_that_are_gathered_later_keep_their_order(swarm: Swarm) -> None:
    ref, actor = full(swarm, Held)

    async def main() -> None:
        pending = [ref.tell(number) for number in range(3, 30)]
        actor.gate.set()
        # There is room now, and again: the next tell must not take the place of those that wait.
        await asyncio.to_thread(eventually, lambda: len(actor.seen) > 4)
        pending.append(ref.tell(30))
        await asyncio.gather(*pending)
        await ref.ask(31)

    asyncio.run(main())
    assert actor.seen == list(range(1, 32))
    assert len(swarm.dead_letters()) == 0
