"""What the next instance knows of the one before it, and of the message that it failed with."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest

from covey import Agent, AgentDeadError, Child, Supervisor, Swarm, handles
from covey.framework.events import AgentFailed, AgentRestarted
from tests.framework.supervision.crew import AsyncWorker, ThreadWorker, Worker, count, fail
from tests.framework.waiting import held_up

KINDS = [Worker, ThreadWorker, AsyncWorker]
MARK: ContextVar[str] = ContextVar("mark", default="unset")


@pytest.mark.parametrize("cls", KINDS)
def test_the_next_instance_is_fresh(swarm: Swarm, cls: Any) -> None:
    swarm.supervise(Supervisor([Child(cls, "a")]))
    ref = swarm.agent(cls, "a")
    assert [ref.ask(1).get(), ref.ask(1).get()] == [1, 2]
    fail(ref)
    assert ref.ask(1).get() == 1


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_context_variables_that_an_instance_set_end_with_it(swarm: Swarm, dispatcher: Any) -> None:
    class Marks(Agent):
        @handles
        def mark(self, text: str) -> str:
            before = MARK.get()
            MARK.set(text)
            return before

        @handles
        def go(self, error: Exception) -> None:
            raise error

    Marks.dispatcher = dispatcher
    swarm.supervise(Supervisor([Child(Marks, "a")]))
    ref = swarm.agent(Marks, "a")
    assert [ref.ask("one").get(), ref.ask("two").get()] == ["unset", "one"]
    ref.tell(OSError("x"))
    assert ref.ask("three").get() == "unset"


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("where", ["class", "child"])
def test_state_that_is_preserved_is_handed_to_the_next_instance(swarm: Swarm, cls: Any, where: str) -> None:
    class Keeper(cls):  # type: ignore[misc]
        preserve_state = where == "class"

    swarm.supervise(Supervisor([Child(Keeper, "a", preserve_state=True if where == "child" else None)]))
    ref = swarm.agent(Keeper, "a")
    assert ref.ask(1).get() == 1
    fail(ref)
    assert ref.ask(1).get() == 2


def test_a_child_may_refuse_what_its_class_preserves(swarm: Swarm) -> None:
    class Keeper(Worker):
        preserve_state = True

    swarm.supervise(Supervisor([Child(Keeper, "a", preserve_state=False)]))
    ref = swarm.agent(Keeper, "a")
    assert ref.ask(1).get() == 1
    fail(ref)
    assert ref.ask(1).get() == 1


def test_state_is_restored_after_the_constructor_and_before_on_start(swarm: Swarm) -> None:
    class Keeper(Worker):
        preserve_state = True

        def __init__(self) -> None:
            super().__init__()
            order.append(("init", self.count))

        def restore_state(self, state: dict[str, Any]) -> None:
            order.append(("restore", self.count))
            self.count = state["count"] * 10

        def on_start(self) -> None:
            order.append(("start", self.count))

    order: list[tuple[str, int]] = []
    swarm.supervise(Supervisor([Child(Keeper, "a")]))
    ref = swarm.agent(Keeper, "a")
    assert ref.ask(1).get() == 1
    fail(ref)
    assert ref.ask(1).get() == 11
    assert order == [("init", 0), ("start", 0), ("init", 0), ("restore", 0), ("start", 10)]


def test_state_that_cannot_be_restored_is_given_up(swarm: Swarm, events: list[Any]) -> None:
    class Damaged(Worker):
        preserve_state = True

        def restore_state(self, state: dict[str, Any]) -> None:
            raise ValueError("damaged")

    swarm.supervise(Supervisor([Child(Damaged, "a")], backoff=None))
    ref = swarm.agent(Damaged, "a")
    assert ref.ask(1).get() == 1
    fail(ref)
    assert ref.ask(1).get() == 1
    errors = [str(event.error) for event in events if isinstance(event, AgentFailed)]
    assert errors == ["bad -1", "damaged"]
    assert swarm.agents(Damaged)[0].restarts == 2


def test_a_sibling_that_goes_down_with_its_group_keeps_its_state_too(swarm: Swarm) -> None:
    class Keeper(Worker):
        preserve_state = True

    swarm.supervise(Supervisor([Child(Keeper, "a"), Child(Worker, "b")], "one_for_all"))
    ref = swarm.agent(Keeper, "a")
    assert ref.ask(1).get() == 1
    fail(swarm.agent(Worker, "b"))
    swarm.agent(Worker, "b").ask(1).get()
    assert ref.ask(1).get() == 2


class Trying(Agent):
    """Fails with a number as often as it says, counted over all instances."""

    max_retries = 2

    def __init__(self, log: list[Any], failures: dict[int, int]) -> None:
        super().__init__()
        self.log, self.failures = log, failures

    @handles
    def work(self, number: int) -> int:
        self.log.append(number)
        if self.failures.get(number, 0) > 0:
            self.failures[number] -= 1
            raise OSError(f"no disk for {number}")
        return number


class AsyncTrying(Trying):
    @handles
    async def work(self, number: int) -> int:  # type: ignore[override]
        return super().work(number)


class ThreadTrying(Trying):
    dispatcher = "thread"


TRYING = [Trying, AsyncTrying, ThreadTrying]


@pytest.mark.parametrize("cls", TRYING)
def test_a_message_is_tried_again_ahead_of_all_other_mail(swarm: Swarm, cls: Any) -> None:
    log: list[Any] = []
    swarm.supervise(Supervisor([Child(cls, "a", (log, {2: 2}))], backoff=None))
    ref = swarm.agent(cls, "a")
    with held_up(swarm):
        for number in range(5):
            ref.tell(number)
    assert ref.ask(5).get() == 5
    assert log == [0, 1, 2, 2, 2, 3, 4, 5]
    assert len(swarm.dead_letters()) == 0


@pytest.mark.parametrize("cls", TRYING)
def test_an_ask_is_answered_by_the_try_that_works(swarm: Swarm, events: list[Any], cls: Any) -> None:
    log: list[Any] = []
    swarm.supervise(Supervisor([Child(cls, "a", (log, {1: 2}))], backoff=None))
    assert swarm.agent(cls, "a").ask(1).get() == 1
    assert log == [1, 1, 1]
    assert count(events, AgentRestarted) == 2


@pytest.mark.parametrize("cls", TRYING)
def test_after_the_last_try_the_message_is_a_dead_letter_and_an_asker_gets_the_error(
    swarm: Swarm, cls: Any
) -> None:
    log: list[Any] = []
    spec = Supervisor([Child(cls, "a", (log, {1: 3, 2: 3}))], backoff=None, intensity=10)
    swarm.supervise(spec)
    ref = swarm.agent(cls, "a")
    ref.tell(1)
    with pytest.raises(OSError, match="no disk for 2"):
        ref.ask(2).get()
    assert ref.ask(3).get() == 3
    assert log == [1, 1, 1, 2, 2, 2, 3]
    assert [(letter.reason, letter.payload, letter.attempts) for letter in swarm.dead_letters()] == [
        ("failed", "1", 3)
    ]


def test_a_message_that_waits_for_its_next_try_when_its_agent_ends_is_a_dead_letter(swarm: Swarm) -> None:
    log: list[Any] = []
    supervisor = swarm.supervise(Supervisor([Child(Trying, "a", (log, {1: 9}))]))
    ref = swarm.agent(Trying, "a")
    with held_up(swarm):
        asked = ref.ask(1)
        stopped = supervisor.stop()
    stopped.get(5)
    with pytest.raises((OSError, AgentDeadError)):
        asked.get()
    assert log.count(1) <= 3


def test_an_ask_that_nobody_waits_for_any_more_is_not_tried_again(swarm: Swarm) -> None:
    class CancelledTrying(Trying):
        @handles
        def work(self, number: int) -> int:  # type: ignore[override]
            if number == 1:
                replies[0].cancel()
            return super().work(number)

    log: list[Any] = []
    replies: list[Any] = []
    swarm.supervise(Supervisor([Child(CancelledTrying, "a", (log, {1: 9}))]))
    ref = swarm.agent(CancelledTrying, "a")
    with held_up(swarm):
        replies.append(ref.ask(1))
    assert ref.ask(2).get() == 2
    assert log == [1, 2]


def test_without_a_restart_there_is_no_retry(swarm: Swarm) -> None:
    log: list[Any] = []
    child = Child(Trying, "a", (log, {1: 9}), restart="temporary")
    swarm.supervise(Supervisor([child]))
    with pytest.raises(OSError, match="no disk for 1"):
        swarm.agent(Trying, "a").ask(1).get()
    assert log == [1]
