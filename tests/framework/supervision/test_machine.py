"""The supervisor's protocol, step by step, with children that are played."""

from __future__ import annotations

from typing import Any

import pytest

from covey.framework.supervision.backoff import Backoff
from covey.framework.supervision.machine import Action, SupervisorMachine
from tests.framework.supervision.played import BAD, STRATEGIES, Kid, Spec


class Play:
    """A machine whose actions are written down, and carried out at once by obedient children if wanted."""

    def __init__(self, spec: Spec, *kids: Kid) -> None:
        self.log: list[str] = []
        self.actions: list[Action[Kid]] = []
        self.machine: SupervisorMachine[Kid] = SupervisorMachine(spec, kids, self.note, lambda: 0.0)

    def note(self, action: Action[Kid]) -> None:
        self.actions.append(action)
        self.log.append(action.what if action.child is None else f"{action.what} {action.child.name}")

    def obey(self) -> list[str]:
        """Let every child do at once what it is told; returns what that was."""
        while self.actions:
            what, child, _, token = self.actions.pop(0)
            if what == "start" and child is not None:
                self.machine.up(child)
            elif what == "halt" and child is not None:
                self.machine.down(child, None, 0.0)
            elif what == "end" and child is not None:
                self.machine.ended(child)
            elif what == "wait":
                self.machine.due(child, token)
        log, self.log = self.log, []
        return log


def play(strategy: str = "one_for_one", *types: str, **limits: Any) -> tuple[Play, list[Kid]]:
    """A machine that has started, with the children a, b, c."""
    kids = [Kid(name, restart) for name, restart in zip("abcdef", types or ("permanent",) * 3, strict=False)]
    played = Play(Spec(strategy, **limits), *kids)
    played.machine.start()
    assert played.obey() == [*(f"start {kid.name}" for kid in kids), "started"]
    return played, kids


def test_a_child_starts_only_once_the_one_before_it_is_up() -> None:
    a, b = Kid("a"), Kid("b")
    played = Play(Spec(), a, b)
    played.machine.start()
    assert played.log == ["start a"]
    played.machine.up(a)
    assert played.log == ["start a", "start b"]
    played.machine.up(b)
    assert played.log == ["start a", "start b", "started"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["start b"]),
        ("one_for_all", ["halt c", "halt a", "start a", "start b", "start c"]),
        ("rest_for_one", ["halt c", "start b", "start c"]),
    ],
)
def test_a_failure_restarts_whom_the_strategy_names(strategy: str, expected: list[str]) -> None:
    played, (_, b, _) = play(strategy)
    played.machine.down(b, BAD, 0.0)
    assert played.obey() == expected


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_temporary_sibling_that_goes_down_with_the_group_is_not_started_again(strategy: str) -> None:
    played, (a, b, _) = play(strategy, "permanent", "temporary", "permanent")
    played.machine.down(a, BAD, 0.0)
    assert "start b" not in played.obey()
    assert b.state == ("running" if strategy == "one_for_one" else "ended")


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_child_that_never_started_is_started_with_the_group(strategy: str) -> None:
    a, b = Kid("a"), Kid("b", "temporary")
    played = Play(Spec(strategy), a, b)
    played.machine.start()
    played.actions.clear()
    played.machine.down(a, BAD, 0.0)
    played.obey()
    assert (a.state, b.state) == ("running", "running")


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_forgotten_temporary_child_is_not_started_with_the_group(strategy: str) -> None:
    played, (a, *_) = play(strategy)
    late = Kid("late", "temporary", is_dynamic=True)
    played.machine.add(late)
    played.obey()
    played.machine.down(a, BAD, 0.0)
    assert "start late" not in played.obey()
    assert late.state == "ended"
    assert late not in played.machine.children


def test_a_temporary_child_that_ends_while_its_supervisor_starts_is_not_started() -> None:
    first, late = Kid("first"), Kid("late", "temporary", is_dynamic=True)
    played = Play(Spec(), first)
    played.machine.add(late)
    played.machine.terminate(late)
    played.machine.start()
    assert [action.what for action in played.actions] == ["end", "start"]
    played.machine.ended(late)
    played.machine.up(first)
    assert late.state == "ended"
    assert played.machine.children == [first]
    assert [action.what for action in played.actions] == ["end", "start", "started"]


def test_one_failure_more_than_the_intensity_halts_all_from_the_last_to_the_first() -> None:
    played, (a, _, _) = play(intensity=1)
    played.machine.down(a, BAD, 0.0)
    played.obey()
    played.machine.down(a, BAD, 1.0)
    assert played.obey() == ["escalate a", "halt c", "halt b", "halted"]
    assert played.machine.failure == (a, BAD, "intensity")


def test_a_halted_supervisor_starts_again_with_all_its_restarts() -> None:
    played, (a, _, _) = play(intensity=1)
    for now in (0.0, 1.0):
        played.machine.down(a, BAD, now)
        played.obey()
    played.machine.start()
    assert played.obey() == ["start a", "start b", "start c", "started"]
    played.machine.down(a, BAD, 2.0)
    assert played.obey() == ["start a"]


def test_failures_in_a_group_that_goes_down_already_are_not_counted() -> None:
    played, (a, b, c) = play("one_for_all", intensity=1)
    played.machine.down(b, BAD, 0.0)
    played.machine.down(a, BAD, 0.0)
    played.machine.down(c, BAD, 0.0)
    played.obey()
    assert played.machine.phase == "running"
    assert {a.state, b.state, c.state} == {"running"}


def test_a_wait_that_an_end_has_overtaken_starts_nothing() -> None:
    played, (a, _, _) = play(backoff=Backoff(initial_s=1.0, jitter=0))
    played.machine.down(a, BAD, 0.0)
    played.obey()
    played.machine.down(a, BAD, 0.0)
    (wait,) = played.actions
    assert (wait.what, wait.wait_s) == ("wait", 1.0)
    played.actions.clear()
    played.machine.terminate(a)
    played.obey()
    played.machine.due(a, wait.token)
    assert played.log == []
    assert a.state == "ended"


def test_a_group_waits_once_for_all_of_it() -> None:
    played, (_, b, _) = play("one_for_all", backoff=Backoff(initial_s=1.0, jitter=0))
    played.machine.down(b, BAD, 0.0)
    played.obey()
    played.machine.down(b, BAD, 0.0)
    assert played.obey() == ["halt c", "halt a", "wait", "start a", "start b", "start c"]


def test_a_stop_in_the_midst_of_a_restart_starts_nobody_any_more() -> None:
    played, (_, b, c) = play("one_for_all")
    played.machine.down(b, BAD, 0.0)
    assert c.state == "halting"
    played.machine.stop()
    assert played.obey() == ["halt c", "end c", "end b", "end a", "stopped"]


def test_a_child_that_is_deleted_while_its_group_restarts_is_not_started_with_it() -> None:
    played, (_, b, c) = play("one_for_all")
    played.machine.terminate(c)
    played.obey()
    played.machine.down(b, BAD, 0.0)
    played.machine.delete(c)
    assert played.obey() == ["halt a", "start a", "start b"]
    assert c.state == "ended"


def test_children_come_and_go_without_a_look_at_the_others() -> None:
    class Counted(Kid):
        compared = 0

        def __eq__(self, other: object) -> bool:
            type(self).compared += 1
            return self is other

        __hash__ = Kid.__hash__

    kids = [Counted(f"{number}", is_dynamic=True) for number in range(200)]
    played = Play(Spec())
    played.machine.start()
    for kid in kids:
        played.machine.add(kid)
    played.obey()
    Counted.compared = 0
    for kid in kids[150:50:-1]:
        played.machine.terminate(kid)
        played.obey()
        played.machine.delete(kid)
    assert played.machine.children == [*kids[:51], *kids[151:]]
    assert Counted.compared < 200


def test_an_end_for_good_is_told_once() -> None:
    played, (a, _, _) = play()
    played.machine.terminate(a)
    played.machine.terminate(a)
    assert played.obey() == ["end a"]
