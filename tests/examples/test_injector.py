from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.aiops.world.faults import FAULTS, FaultKind
from examples.aiops.world.injector import Injector, PlannedFault, plan
from examples.aiops.world.journal import FaultInjected, InjectionFailed, Journal, JournalReader
from examples.aiops.world.ward_client import NAMES, Ward
from tests.examples.world import eventually, processes_of

SIX = NAMES[:6]

runs = st.tuples(st.integers(0, 2**32), st.floats(8.0, 300.0), st.integers(1, 12), st.booleans())


@given(runs)
def test_two_faults_of_one_patient_are_eight_seconds_apart_and_the_last_leaves_time(
    run: tuple[int, float, int, bool],
) -> None:
    seed, seconds, patients, with_twin = run
    faults = plan(seed, seconds, NAMES[:patients], NAMES[0] if with_twin else None)
    by_patient = defaultdict(list)
    for fault in faults:
        by_patient[fault.patient].append(fault.at_s)
    for times in by_patient.values():
        assert all(later - earlier >= 8 for earlier, later in pairwise(times))
    assert faults
    assert faults == sorted(faults, key=lambda fault: fault.at_s)
    assert faults[0].at_s >= min(6.0, 0.34 * seconds)
    assert faults[-1].at_s <= max(seconds - 8.0, 0.36 * seconds)
    assert len({fault.fault_id for fault in faults}) == len(faults)


@given(runs)
def test_the_twin_gets_what_its_patient_gets_at_the_same_time_and_never_a_spin(
    run: tuple[int, float, int, bool],
) -> None:
    seed, seconds, patients, with_twin = run
    faults = plan(seed, seconds, NAMES[:patients], "api" if with_twin else None)
    twin = [(fault.at_s, fault.kind) for fault in faults if fault.patient == "twin"]
    if with_twin:
        assert twin == [(fault.at_s, fault.kind) for fault in faults if fault.patient == "api"]
        assert FaultKind.SPIN not in [kind for _, kind in twin]
        assert not any(FAULTS[kind].deadly for _, kind in twin[:-1])
    else:
        assert twin == []


@given(st.integers(0, 2**32))
def test_the_default_run_has_every_kind_and_the_twinned_patient_gets_several(seed: int) -> None:
    faults = plan(seed, 35.0, SIX, "api")
    assert {fault.kind for fault in faults if fault.patient != "twin"} == set(FaultKind)
    assert len([fault for fault in faults if fault.patient == "api"]) >= 2
    assert FAULTS[faults[0].kind].instant
    assert faults[0].patient == "api"


def test_the_same_seed_gives_the_same_plan_and_another_seed_another_one() -> None:
    assert plan(7, 35.0, SIX, "api") == plan(7, 35.0, SIX, "api")
    assert len({tuple(plan(seed, 35.0, SIX, "api")) for seed in range(20)}) == 20


def test_a_short_run_gets_at_least_one_fault_early_enough() -> None:
    assert len(plan(1, 10.0, NAMES[:2], "api")) == 2
    assert len({fault.at_s for fault in plan(1, 15.0, NAMES[:3], "api")}) == 2


@pytest.fixture
def ward() -> Iterator[Ward]:
    with Ward(patients=["api"], twin_of="api") as ward:
        yield ward
    assert eventually(lambda: not processes_of(ward.folder))


def test_faults_are_injected_in_time_and_written_to_the_journal(ward: Ward, tmp_path: Path) -> None:
    faults = [
        PlannedFault(0.3, "twin", FaultKind.CRASH, "f2-twin"),
        PlannedFault(0.0, "api", FaultKind.HANG, "f1"),
        PlannedFault(0.5, "twin", FaultKind.SLOW, "f3-twin"),
    ]
    hung = psutil.Process(ward.registry.patient("api").pid)
    with Injector(faults, ward.registry, Journal(tmp_path / "journal")) as injector:
        assert eventually(lambda: injector.finished)
    first, second, third = JournalReader(tmp_path / "journal").read()
    assert isinstance(first, FaultInjected)
    assert (first.fault_id, first.kind, first.patient) == ("f1", "hang", "api")
    assert isinstance(second, FaultInjected)
    assert second.at - first.at >= 0.29
    assert isinstance(third, InjectionFailed)
    assert "ConnectionRefused" in third.reason
    assert hung.status() == psutil.STATUS_STOPPED


def test_a_stopped_injector_injects_nothing_more(ward: Ward, tmp_path: Path) -> None:
    late = [PlannedFault(60.0, "api", FaultKind.CRASH, "f1")]
    injector = Injector(late, ward.registry, Journal(tmp_path / "journal")).start()
    assert not injector.finished
    injector.stop()
    assert injector.finished
    assert JournalReader(tmp_path / "journal").read() == []
