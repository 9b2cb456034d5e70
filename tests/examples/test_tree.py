"""The demo's supervision tree: its spec, and that it grows, restarts and gives up as it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covey import Agent, Child, Supervisor, Swarm, SwarmFailedError
from covey.framework.supervision.child import ANY_NODE
from examples.aiops.options import MAX_CRASHES
from examples.aiops.reasoning.series import HOST_TRAITS, PATIENT_TRAITS
from examples.aiops.swarm.ask_probe import AskProbe
from examples.aiops.swarm.desk import Desk
from examples.aiops.swarm.grown_tree import GrownTree
from examples.aiops.swarm.tree import BACKOFF, INTENSITY, PERIOD_S, branches, root
from tests.examples.swarm_room import surround
from tests.examples.world import eventually

PATIENTS = ("api", "cart")
PROBE = Child(AskProbe, "main", (PATIENTS, lambda _latency: None))


def spec(**how: Any) -> Supervisor:
    """The whole tree, as it stands once it has grown."""
    desk = Child(Desk, "main", (lambda _event: None, 0.0, lambda: None))
    grown = branches(PATIENTS, PROBE, **{"forecaster": True, **how})
    return Supervisor([*root(desk).children, *grown], name="demo")


def named(tree: Supervisor, name: str) -> Supervisor:
    (found,) = (each for each in tree.children if each.id == name)
    assert isinstance(found, Supervisor)
    return found


def test_the_root_has_the_desk_first_the_probe_last_and_a_supervisor_for_each_patient_and_the_host() -> None:
    tree = spec()
    expected = [
        "desk/main",
        "decision_centre/main",
        "forecaster/main",
        "api",
        "cart",
        "host",
        "ask_probe/main",
    ]
    assert [child.id for child in tree.children] == expected


def test_of_a_patients_agents_those_that_others_depend_on_start_first() -> None:
    ids = [child.id for child in named(spec(), "cart").children]
    assert ids == ["repairer/cart", *(f"detector/cart.{metric}" for metric in PATIENT_TRAITS), "monitor/cart"]
    assert named(spec(), "cart").strategy == "rest_for_one"


def test_the_hosts_detectors_start_before_its_monitor() -> None:
    ids = [child.id for child in named(spec(), "host").children]
    assert ids == [*(f"detector/host.{metric}" for metric in HOST_TRAITS), "host_monitor/host"]


def test_without_torch_there_is_no_forecaster() -> None:
    assert "forecaster/main" not in spec(forecaster=False).addresses()


def test_all_but_the_desk_and_the_probe_live_on_whichever_node_hosts_them() -> None:
    here = [child.id for child in spec().walk() if child.node != ANY_NODE]
    assert here == ["desk/main", "ask_probe/main"]


def test_a_crash_for_each_that_is_injected_is_allowed_to_every_supervisor() -> None:
    tree = branches(PATIENTS, PROBE, forecaster=True, crashes=10)
    supervisors = [each for each in tree if isinstance(each, Supervisor)]
    assert {each.intensity for each in supervisors} == {INTENSITY + 10}


def test_what_crashes_for_ever_uses_up_the_largest_intensity_within_its_period() -> None:
    longest_s = BACKOFF.max_s * (1 + BACKOFF.jitter)
    assert (INTENSITY + MAX_CRASHES) * longest_s < PERIOD_S


class Steady(Agent):
    pass


class Hopeless(Agent):
    def on_start(self) -> None:
        raise RuntimeError("never")


@pytest.fixture
def swarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swarm]:
    surround(monkeypatch, tmp_path)
    swarm = Swarm.local()
    swarm.start()
    yield swarm
    swarm.stop()


def test_a_tree_that_has_grown_runs_and_what_is_cut_ends_but_not_what_stood_first(swarm: Swarm) -> None:
    tree = GrownTree(swarm, root(Child(Steady, "desk")))
    branch = Supervisor([Child(Steady, "a", node=ANY_NODE)], name="api")
    tree.grow([Child(Steady, "centre", node=ANY_NODE), branch, Child(Steady, "probe")], 5.0)
    assert len(swarm.agents()) == 4
    assert tree.cut(5.0)
    assert [agent.address for agent in swarm.agents()] == ["steady/desk"]
    tree.fell()
    assert eventually(lambda: not swarm.agents())


def test_a_branch_that_crashes_for_ever_fails_the_run(swarm: Swarm) -> None:
    tree = GrownTree(swarm, root(Child(Steady, "desk")))
    with pytest.raises(SwarmFailedError, match="hopeless/a"):
        tree.grow([Child(Hopeless, "a", node=ANY_NODE)], 20.0)
