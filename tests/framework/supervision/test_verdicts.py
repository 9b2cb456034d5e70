"""What is decided about an error: by the child's verdicts, else by the supervisor's `decide`."""

from __future__ import annotations

from typing import Any

import pytest

from covey import Agent, Child, Reject, Supervisor, Swarm, handles
from covey.framework.events import AgentEscalated, AgentFailed, AgentRestarted
from covey.framework.supervision.verdict import verdict_of
from tests.framework.supervision.crew import cell_of, count, states
from tests.framework.waiting import eventually


class Broken(OSError):
    pass


class BrokenPipe(Broken):
    pass


class Raises(Agent):
    """Raises what it is told to, and says how many messages its instance has had."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @handles
    def note(self, number: int) -> int:
        self.count += 1
        return self.count

    @handles
    def go(self, error: Exception) -> None:
        self.count += 1
        raise error


class AsyncRaises(Raises):
    @handles
    async def go(self, error: Exception) -> None:  # type: ignore[override]
        super().go(error)


class ThreadRaises(Raises):
    dispatcher = "thread"


KINDS = [Raises, AsyncRaises, ThreadRaises]


class Deciding(Supervisor):
    """Decides by what the error carries."""

    def decide(self, error: BaseException) -> Any:
        if isinstance(error.args[0], BaseException):
            raise error.args[0]
        return error.args[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BrokenPipe(), "stop"),
        (Broken(), "resume"),
        (OSError(), "resume"),
        (FileNotFoundError(), "resume"),
        (ValueError(), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_the_verdict_on_the_most_specific_class_counts(error: BaseException, expected: str | None) -> None:
    assert verdict_of(error, {OSError: "resume", BrokenPipe: "stop"}) == expected


@pytest.mark.parametrize("cls", KINDS)
def test_a_resumed_child_keeps_its_instance_and_loses_only_the_message(
    swarm: Swarm, events: list[Any], cls: Any
) -> None:
    supervisor = swarm.supervise(Supervisor([Child(cls, "a", verdicts={OSError: "resume"})], intensity=0))
    ref = swarm.agent(cls, "a")
    assert ref.ask(1).get() == 1
    with pytest.raises(OSError, match="asked"):
        ref.ask(OSError("asked")).get()
    ref.tell(OSError("told"))
    assert ref.ask(1).get() == 4
    assert [(letter.reason, letter.payload) for letter in swarm.dead_letters()] == [
        ("failed", "OSError('told')")
    ]
    failed = [event for event in events if isinstance(event, AgentFailed)]
    assert [(event.verdict, event.supervisor) for event in failed] == [("resume", "supervisor")] * 2
    assert count(events, AgentRestarted) == 0
    assert states(supervisor) == {f"{cls.kind}/a": "running"}


def test_a_child_that_cannot_be_resumed_is_restarted(swarm: Swarm, events: list[Any]) -> None:
    class Shaky(Raises):
        tries: list[int] = []

        def on_start(self) -> None:
            self.tries.append(1)
            if len(self.tries) == 1:
                raise OSError("not yet")

    swarm.supervise(Supervisor([Child(Shaky, "a", verdicts={OSError: "resume"})]))
    assert swarm.agent(Shaky, "a").ask(1).get() == 1
    assert count(events, AgentRestarted) == 1


@pytest.mark.parametrize("cls", KINDS)
def test_a_rejected_message_is_no_failure_whatever_the_verdicts_say(
    swarm: Swarm, events: list[Any], cls: Any
) -> None:
    spec = Deciding([Child(cls, "a", verdicts={Exception: "stop"})])
    swarm.supervise(spec)
    ref = swarm.agent(cls, "a")
    with pytest.raises(Reject, match="not today"):
        ref.ask(Reject("not today")).get()
    assert ref.ask(1).get() == 2
    assert count(events, AgentFailed) == 0


@pytest.mark.parametrize("cls", KINDS)
def test_decide_is_asked_about_what_the_verdicts_do_not_name(
    swarm: Swarm, events: list[Any], cls: Any
) -> None:
    swarm.supervise(Deciding([Child(cls, "a", verdicts={OSError: "restart"})]))
    ref = swarm.agent(cls, "a")
    ref.tell(ValueError("resume"))
    assert ref.ask(1).get() == 2
    ref.tell(OSError("stop"))
    assert ref.ask(1).get() == 1
    ref.tell(ValueError("restart"))
    assert ref.ask(1).get() == 1
    ref.tell(ValueError("stop"))
    eventually(lambda: cell_of(swarm, ref) is None)
    verdicts = [event.verdict for event in events if isinstance(event, AgentFailed)]
    assert verdicts == ["resume", "restart", "restart", "stop"]


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("answer", [KeyError("bug"), "explode", None, 7], ids=repr)
def test_a_supervisor_whose_decide_raises_or_talks_rubbish_has_crashed_and_escalates(
    swarm: Swarm, events: list[Any], cls: Any, answer: object
) -> None:
    inner = Deciding([Child(cls, "a"), Child(cls, "b")], name="inner")
    outer = swarm.supervise(Supervisor([inner], name="outer"))
    ref = swarm.agent(cls, "a")
    swarm.agent(cls, "b").ask(1).get()
    ref.tell(ValueError(answer))
    ref.tell(1)
    assert ref.ask(1).get() == 2
    assert swarm.agent(cls, "b").ask(1).get() == 1
    (escalated,) = [event for event in events if isinstance(event, AgentEscalated)]
    assert (escalated.supervisor, escalated.child) == ("outer/inner", f"{cls.kind}/a")
    child = outer.supervisor("inner").which_children()[0]
    assert child.last_error.startswith("ValueError")
    assert outer.which_children()[0].last_error == f"gave up on {cls.kind}/a"


@pytest.mark.parametrize("verdict", ["restart", "resume"])
def test_a_temporary_child_is_stopped_where_another_would_be_restarted(swarm: Swarm, verdict: Any) -> None:
    child = Child(Raises, "a", restart="temporary", verdicts={OSError: verdict})
    swarm.supervise(Supervisor([child]))
    ref = swarm.agent(Raises, "a")
    ref.tell(OSError("x"))
    if verdict == "resume":
        assert ref.ask(1).get() == 2
    else:
        eventually(lambda: cell_of(swarm, ref) is None)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_handlers_that_run_go_on_when_another_ones_failure_is_resumed(swarm: Swarm, concurrency: int) -> None:
    import asyncio

    class Several(AsyncRaises):
        @handles
        async def wait(self, seconds: float) -> str:
            await gate.wait()
            return "done"

        @handles
        def open(self, text: str) -> None:
            gate.set()

    gate = asyncio.Event()
    Several.concurrency = concurrency
    swarm.supervise(Supervisor([Child(Several, "a", verdicts={OSError: "resume"})], intensity=0))
    ref = swarm.agent(Several, "a")
    if concurrency > 1:
        waiting = ref.ask(1.0)
        ref.tell(OSError("x"))
        ref.tell("open")
        assert waiting.get() == "done"
    else:
        ref.tell(OSError("x"))
    assert ref.ask(1).get() == 2
