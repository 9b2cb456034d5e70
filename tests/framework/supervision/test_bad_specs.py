"""Specs that make no sense are refused where they are written, with what to write instead."""

from __future__ import annotations

import math
from typing import Any

import pytest

from covey import AddressInUseError, Agent, Backoff, Child, ConfigurationError, Supervisor, Swarm
from tests.framework.supervision.crew import Worker

NUMBERS = [True, "1", None, [1]]
HUGE = 10**400


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Supervisor([Child(Worker, "a"), Child(Worker, "a")]), "worker/a stands in it twice"),
        (lambda: Supervisor([Worker]), "is no Child"),
        (lambda: Supervisor(["tests:Worker"]), "is no Child"),
        (lambda: Supervisor([], strategy="all"), "strategy='all': choose one of 'one_for_one'"),
        (lambda: Supervisor([], strategy=None), "strategy=None: choose one of"),
        (lambda: Supervisor([], name=""), "give it a name without '/'"),
        (lambda: Supervisor([], name="a/b"), "give it a name without '/'"),
        (lambda: Supervisor([], name=7), "give it a name without '/'"),
        (lambda: Supervisor([], name="x" * 257), "takes 257 bytes of UTF-8: 1 to 256 are allowed"),
        (lambda: Supervisor([], name="x" * 100_000), "takes 100000 bytes of UTF-8: 1 to 256 are allowed"),
        (lambda: Supervisor([], backoff=1.0), "give a Backoff"),
        (lambda: Supervisor(None), r"children=None: give a list, such as \[Child"),
        (lambda: Supervisor(Child(Worker, "a")), r"children=Child.*: give a list, such as \[Child"),
        (lambda: Supervisor([], template=5), r"template=5: give a Child\(cls, key\)"),
        (lambda: Supervisor.pool(Worker, 3, foo=1), r"foo=...\): a pool has no such option: choose among"),
        (lambda: Supervisor.pool(Worker, 3, children=[]), r"children=...\): a pool has no such option"),
        (lambda: Child(Agent, "a"), "Agent itself handles nothing"),
        (lambda: Child(Worker, "a", kwargs=5), "kwargs=5: give a dict from the names of the constructor's"),
        (lambda: Child(Worker, "a", kwargs={1: 2}), r"kwargs={1: 2}: give a dict from the names"),
        (lambda: Child(Worker, "a", preserve_state="yes"), "preserve_state='yes': give True, False or None"),
        (lambda: Child(int, "a"), "subclass of Agent"),
        (lambda: Child(None, "a"), "subclass of Agent"),
        (lambda: Child(Worker(), "a"), "subclass of Agent"),
        (lambda: Child(Worker, ""), "key"),
        (lambda: Child(Worker, "a", restart="often"), "restart='often': choose one of 'permanent'"),
        (lambda: Child(Worker, "a", restart=True), "choose one of 'permanent'"),
        (lambda: Child(Worker, "a", "xyz"), "give the constructor's arguments as a tuple"),
        (lambda: Child(Worker, "a", 7), "give the constructor's arguments as a tuple"),
        (
            lambda: Child(Worker, "a", verdicts={ValueError: "ignore"}),
            "'ignore' is no verdict: choose one of",
        ),
        (lambda: Child(Worker, "a", verdicts={ValueError: None}), "None is no verdict"),
        (lambda: Child(Worker, "a", verdicts={"ValueError": "resume"}), "the keys are exception classes"),
        (lambda: Child(Worker, "a", verdicts={ValueError(): "resume"}), "the keys are exception classes"),
        (lambda: Child(Worker, "a", verdicts={int: "resume"}), "the keys are exception classes"),
        (lambda: Child(Worker, "a", verdicts=[(ValueError, "resume")]), "give a dict such as"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make()


@pytest.mark.parametrize("intensity", [-1, 1.5, math.nan, math.inf, *NUMBERS], ids=repr)
def test_an_intensity_is_a_number_of_restarts(intensity: Any) -> None:
    with pytest.raises(ConfigurationError, match="give a number of restarts, 0 or more"):
        Supervisor([], intensity=intensity)


@pytest.mark.parametrize("period_s", [0, -1, math.nan, math.inf, *NUMBERS, pytest.param(HUGE, id="huge")])
def test_a_period_is_a_time(period_s: Any) -> None:
    with pytest.raises(ConfigurationError, match="give seconds, more than 0"):
        Supervisor([], period_s=period_s)


@pytest.mark.parametrize("shutdown_s", [-1, math.nan, math.inf, *NUMBERS], ids=repr)
def test_a_shutdown_time_is_a_time(shutdown_s: Any) -> None:
    with pytest.raises(ConfigurationError, match="give seconds, 0 or more"):
        Child(Worker, "a", shutdown_s=shutdown_s)


@pytest.mark.parametrize(
    "limits",
    [
        {"initial_s": -1},
        {"initial_s": 2, "max_s": 1},
        {"factor": 0.5},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"reset_s": 0},
        *(
            {field: value}
            for field in ("initial_s", "factor", "max_s", "jitter", "reset_s")
            for value in NUMBERS
        ),
        *({field: math.nan} for field in ("initial_s", "factor", "max_s", "jitter", "reset_s")),
        {"max_s": math.inf},
        pytest.param({"max_s": HUGE}, id="huge"),
    ],
)
def test_a_backoff_grows_from_a_time_to_a_longer_one(limits: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs finite numbers with 0 <= initial_s <= max_s"):
        Backoff(**limits)


def test_a_supervisor_decides_without_waiting() -> None:
    with pytest.raises(ConfigurationError, match=r"Waits.decide is async.*write a plain `def decide`"):

        class Waits(Supervisor):
            async def decide(self, error: BaseException) -> Any:  # type: ignore[override]
                return "restart"


@pytest.mark.parametrize("child_id", [[], None, 5, Child(Worker, "a")], ids=repr)
def test_a_child_is_named_by_its_id(swarm: Swarm, child_id: Any) -> None:
    running = swarm.supervise(Supervisor([Child(Worker, "a")]))
    for change in (
        running.terminate_child,
        running.restart_child,
        running.delete_child,
        running.supervisor,
    ):
        with pytest.raises(ConfigurationError, match=r"has no child .*; it has worker/a: give an agent's"):
            change(child_id)


@pytest.mark.parametrize("number", ["x", None, 1.5, True], ids=repr)
def test_a_tree_shows_a_number_of_children(swarm: Swarm, number: Any) -> None:
    for look in (lambda: swarm.tree(number), lambda: swarm.trees(most_children=number)):
        with pytest.raises(ConfigurationError, match="give a number of children"):
            look()


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf, *NUMBERS], ids=repr)
def test_trees_are_waited_for_some_seconds(swarm: Swarm, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="give seconds, from 0 to"):
        swarm.trees(timeout)


def test_a_listener_can_be_called(swarm: Swarm) -> None:
    with pytest.raises(ConfigurationError, match="give a function of one event"):
        swarm.on_event(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("no.such:Thing", "no.such cannot be imported: ModuleNotFoundError.*name a module that Python can"),
        ("tests.framework.supervision.crew:Nobody", "crew has no 'Nobody'"),
        ("tests.framework.supervision.crew:fail", "the first argument is a subclass of Agent"),
        ("tests.framework.supervision.crew", "write the class as 'package.module:Class'"),
        (":Thing", "write the class as 'package.module:Class'"),
        ("", "write the class as 'package.module:Class'"),
        ("..crew:Worker", "cannot be imported"),
    ],
)
def test_a_class_that_cannot_be_imported_is_refused(place: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Child(place, "a")


def test_a_module_that_raises_when_it_is_imported_is_named_with_its_error(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises_at_import.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"raises_at_import cannot be imported: OSError: no disk"):
        Child("raises_at_import:Thing", "a")


def test_a_class_may_be_given_by_its_place() -> None:
    assert Child("tests.framework.supervision.crew:Worker", "a").cls is Worker


@pytest.mark.parametrize("depth", [1, 2, 10, 60])
def test_an_id_that_stands_twice_is_refused_at_any_depth(depth: int) -> None:
    spec = Supervisor([Child(Worker, "a")], name="deep")
    for number in range(depth):
        spec = Supervisor([spec], name=f"s{number}")
    with pytest.raises(ConfigurationError, match="worker/a stands in it twice"):
        Supervisor([Supervisor([Child(Worker, "b")], name="other"), spec, Child(Worker, "a")])


def test_two_supervisors_of_one_name_can_only_have_different_parents() -> None:
    with pytest.raises(ConfigurationError, match="same stands in it twice"):
        Supervisor([Supervisor([], name="same"), Supervisor([], name="same")])
    one, two = (Supervisor([Supervisor([], name="same")], name=name) for name in ("one", "two"))
    assert [child.id for child in Supervisor([one, two]).children] == ["one", "two"]


def test_a_spec_that_is_no_supervisor_cannot_be_supervised(swarm: Swarm) -> None:
    with pytest.raises(ConfigurationError, match=r"give a Supervisor\(\[Child\(cls, key\), ...\]\)"):
        swarm.supervise([Child(Worker, "a")])  # type: ignore[arg-type]


def test_a_spec_can_be_supervised_once_at_a_time(swarm: Swarm) -> None:
    spec = Supervisor([Child(Worker, "a")])
    running = swarm.supervise(spec)
    with pytest.raises(AddressInUseError, match="worker/a is in use"):
        swarm.supervise(spec)
    assert swarm.agent(Worker, "a").ask(1).get() == 1
    running.stop().get(5)
    assert swarm.supervise(spec).which_children()[0].id == "worker/a"
    assert swarm.agent(Worker, "a").ask(1).get() == 1


def test_nobody_changes_a_spec_that_runs(swarm: Swarm) -> None:
    children = [Child(Worker, "a")]
    arguments: list[Any] = [[]]
    children.append(Child(Worker, "b", arguments))
    running = swarm.supervise(Supervisor(children))
    children.clear()
    arguments.clear()
    assert [child.id for child in running.which_children()] == ["worker/a", "worker/b"]
    assert swarm.agent(Worker, "b").ask(1).get() == 1
    swarm.agent(Worker, "b").tell(-1)
    assert swarm.agent(Worker, "b").ask(1).get() == 1


def test_an_empty_supervisor_runs(swarm: Swarm) -> None:
    running = swarm.supervise(Supervisor([Supervisor([], name="inner")]))
    assert running.supervisor("inner").count_children() == (0, 0, 0, 0)
    running.stop().get(5)


def test_arguments_that_do_not_fit_raise_in_the_caller(swarm: Swarm) -> None:
    class Needs(Agent):
        def __init__(self, what: str) -> None:
            super().__init__()

    with pytest.raises(TypeError, match="what"):
        swarm.supervise(Supervisor([Child(Needs, "a")]))
