"""Who is restarted, who keeps running and who ends: restart type by exit reason by strategy.

Three siblings, `a`, `b`, `c`, the outer two permanent; `b` goes down. The rules are Erlang/OTP's (stdlib,
supervisor), with the verdicts that OTP does not know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from covey import Agent, Child, Reject, Supervisor, Swarm, handles
from covey.framework.events import AgentEscalated
from tests.framework.supervision.crew import cell_of, count, states
from tests.framework.waiting import eventually, held_up

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
TYPES = ("permanent", "transient", "temporary")


class Given(Exception):
    """An error that the child's verdicts name."""


class Stopping(Given):
    pass


class Resuming(Given):
    pass


class Escalating(Given):
    pass


VERDICTS = {Stopping: "stop", Resuming: "resume", Escalating: "escalate"}


class Sibling(Agent):
    """Notes what it gets, with the number of its instance."""

    handler_deadline_s = 0.02

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log
        self.instance = sum(entry == (self.key, "born") for entry in log) + 1
        log.append((self.key, "born"))

    @handles
    def note(self, number: int) -> int:
        self.log.append((self.key, number))
        return self.instance

    @handles
    def go(self, error: Exception) -> None:
        raise error

    @handles
    async def hang(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @handles
    def stop_yourself(self, text: str) -> None:
        self.stop()


class Reason(NamedTuple):
    """How `b` goes down, and what becomes of it by its restart type: `restarted`, `ended`, `kept`, `all`."""

    leave: Callable[[Any], object]
    permanent: str
    transient: str
    temporary: str


REASONS = {
    "failed": Reason(lambda ref: ref.tell(OSError("no disk")), "restarted", "restarted", "ended"),
    "killed_as_stuck": Reason(lambda ref: ref.tell(3600.0), "restarted", "restarted", "ended"),
    "stopped_by_itself": Reason(lambda ref: ref.tell("stop"), "restarted", "ended", "ended"),
    "stopped_by_another": Reason(lambda ref: ref.stop(), "restarted", "ended", "ended"),
    "verdict_stop": Reason(lambda ref: ref.tell(Stopping()), "ended", "ended", "ended"),
    "verdict_resume": Reason(lambda ref: ref.tell(Resuming()), "kept", "kept", "kept"),
    "verdict_escalate": Reason(lambda ref: ref.tell(Escalating()), "all", "all", "all"),
    "rejected": Reason(lambda ref: ref.tell(Reject("no")), "kept", "kept", "kept"),
}

GROUPS = {"one_for_one": "b", "one_for_all": "abc", "rest_for_one": "bc"}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("restart", TYPES)
@pytest.mark.parametrize("reason", REASONS)
def test_who_is_restarted_who_keeps_running_and_who_ends(
    swarm: Swarm, events: list[Any], strategy: Any, restart: Any, reason: str
) -> None:
    log: list[Any] = []
    subject = Child(Sibling, "b", (log,), restart=restart, verdicts=VERDICTS)  # type: ignore[arg-type]
    children = [Child(Sibling, "a", (log,)), subject, Child(Sibling, "c", (log,))]
    inner = Supervisor(children, strategy=strategy, backoff=None, name="inner")
    supervisor = swarm.supervise(Supervisor([inner], name="outer")).supervisor("inner")
    refs = {key: swarm.agent(Sibling, key) for key in "abc"}
    assert [ref.ask(0).get() for ref in refs.values()] == [1, 1, 1]

    with held_up(swarm):
        for number in (1, 2):
            for ref in refs.values():
                ref.tell(number)
        REASONS[reason].leave(refs["b"])
        for number in (3, 4):
            for ref in refs.values():
                ref.tell(number)

    fate = getattr(REASONS[reason], restart)
    restarted = {"restarted": GROUPS[strategy], "all": "abc"}.get(fate, "")
    expected = {key: 2 if key in restarted else 1 for key in "abc"}
    if fate == "ended":
        del expected["b"]
        eventually(lambda: cell_of(swarm, refs["b"]) is None)
    eventually(lambda: sum(entry[1] == "born" for entry in log) == 3 + len(restarted))
    assert {key: refs[key].ask(5).get() for key in expected} == expected

    ends = fate == "ended" or (fate == "all" and restart == "temporary")
    lost = ends and reason != "stopped_by_itself"  # which is a request at the end of its mail
    for key in "abc":
        told = [1, 2] if key == "b" and lost else [1, 2, 3, 4]
        after = [] if key == "b" and fate == "ended" else [5]
        assert [entry[1] for entry in log if entry[0] == key and entry[1] != "born"] == [0, *told, *after]
    reasons = Counter(letter.reason for letter in swarm.dead_letters())
    assert reasons["stopped"] == (2 if lost else 0)
    assert reasons["failed"] == (not reason.startswith(("stopped", "rejected")))
    assert count(events, AgentEscalated) == (fate == "all")
    eventually(lambda: "starting" not in states(supervisor).values())
    ended = "ended" if fate == "ended" else "running"
    assert states(supervisor) == {"sibling/a": "running", "sibling/b": ended, "sibling/c": "running"}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("restart", TYPES)
def test_a_child_that_is_terminated_ends_alone_until_it_is_restarted(
    swarm: Swarm, events: list[Any], strategy: Any, restart: Any
) -> None:
    log: list[Any] = []
    children = [Child(Sibling, key, (log,), restart=restart if key == "b" else "permanent") for key in "abc"]
    supervisor = swarm.supervise(Supervisor(children, strategy=strategy))
    supervisor.terminate_child("sibling/b").get(5)
    assert states(supervisor) == {"sibling/a": "running", "sibling/b": "ended", "sibling/c": "running"}
    assert [swarm.agent(Sibling, key).ask(1).get() for key in "ac"] == [1, 1]
    assert supervisor.restart_child("sibling/b").ask(1).get() == 2
    assert [swarm.agent(Sibling, key).ask(2).get() for key in "ac"] == [1, 1]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_sibling_that_goes_down_with_its_group_stays_down(swarm: Swarm, strategy: Any) -> None:
    log: list[Any] = []
    children = [Child(Sibling, "a", (log,)), Child(Sibling, "b", (log,), restart="temporary")]
    supervisor = swarm.supervise(Supervisor(children, strategy=strategy, backoff=None))
    assert swarm.agent(Sibling, "b").ask(0).get() == 1
    swarm.agent(Sibling, "a").tell(OSError("no disk"))
    assert swarm.agent(Sibling, "a").ask(1).get() == 2
    assert states(supervisor)["sibling/b"] == "ended"


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_child_that_was_terminated_returns_with_its_group(swarm: Swarm, strategy: Any) -> None:
    log: list[Any] = []
    supervisor = swarm.supervise(
        Supervisor([Child(Sibling, key, (log,)) for key in "ab"], strategy=strategy, backoff=None)
    )
    supervisor.terminate_child("sibling/b").get(5)
    swarm.agent(Sibling, "a").tell(OSError("no disk"))
    eventually(lambda: states(supervisor) == {"sibling/a": "running", "sibling/b": "running"})
    assert swarm.agent(Sibling, "b").ask(1).get() == 2
