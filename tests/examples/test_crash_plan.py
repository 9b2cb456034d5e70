"""The plan of agents' crashes: pure, by seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from examples.aiops.options import MAX_CRASHES
from examples.aiops.swarm.crash_plan import plan_crashes
from examples.aiops.swarm.tree import branches
from tests.examples.test_tree import PROBE

PATIENTS = ("api", "cart", "search")


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    plan = plan_crashes(1, 35.0, PATIENTS, 10)
    assert plan == plan_crashes(1, 35.0, PATIENTS, 10)
    assert plan != plan_crashes(2, 35.0, PATIENTS, 10)


def test_a_single_crash_is_a_detectors_at_45_percent_of_the_run() -> None:
    (crash,) = plan_crashes(1, 20.0, PATIENTS, 1)
    assert crash.kind == "detector"
    assert crash.at_s == pytest.approx(9.0)


@pytest.mark.parametrize("count", [1, 2, 10, MAX_CRASHES])
@pytest.mark.parametrize("seconds", [8.0, 35.0])
def test_crashes_are_spread_evenly_over_the_middle_of_the_run(count: int, seconds: float) -> None:
    times = [crash.at_s for crash in plan_crashes(3, seconds, PATIENTS, count)]
    assert len(times) == count
    assert 0.2 * seconds < times[0] <= times[-1] < 0.7 * seconds
    gaps = [late - early for early, late in pairwise(times)]
    assert gaps == pytest.approx([0.5 * seconds / count] * (count - 1))


def test_all_kinds_of_agents_and_all_patients_have_their_turns() -> None:
    plan = plan_crashes(5, 35.0, PATIENTS, 15)
    kinds = Counter(crash.kind for crash in plan)
    assert kinds == {"detector": 6, "decision_centre": 3, "repairer": 3, "monitor": 3}
    struck = Counter(crash.key.partition(".")[0] for crash in plan if crash.kind != "decision_centre")
    assert struck == dict.fromkeys(PATIENTS, 4)


def test_whoever_crashes_is_in_the_tree() -> None:
    tree = {address for each in branches(PATIENTS, PROBE, forecaster=False) for address in _addresses(each)}
    for seed in range(20):
        assert {f"{crash.kind}/{crash.key}" for crash in plan_crashes(seed, 35.0, PATIENTS, 10)} <= tree


def test_no_crashes_are_an_empty_plan() -> None:
    assert plan_crashes(1, 35.0, PATIENTS, 0) == []


def _addresses(branch: object) -> list[str]:
    return branch.addresses() if hasattr(branch, "addresses") else [branch.id]  # type: ignore[attr-defined]
