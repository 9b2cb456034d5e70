from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from examples.aiops.world.faults import FAULTS, FaultKind
from examples.aiops.world.registry import PatientInfo, RegistryError
from examples.aiops.world.remedies import Remedy, RemedyError, apply, complaint, verify
from examples.aiops.world.vitals import Vitals, VitalsProbe
from examples.aiops.world.ward_client import Ward, order
from tests.examples.world import eventually, processes_of, tell_fault

WELL = Vitals(
    "api", 0.0, up=1, alive=1, running=1, latency_ms=1, cpu_percent=0, rss_mb=15, folder_mb=0, children=0
)


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with Ward(patients=["api"], twin_of="api") as ward:
        yield ward
    assert eventually(lambda: not processes_of(ward.folder))


@pytest.fixture
def api(ward: Ward) -> PatientInfo:
    ward.restart("api")
    return ward.registry.patient("api")


def shows(ward: Ward, kind: FaultKind) -> bool:
    measuring = VitalsProbe(ward.registry, "api")
    grown = {FaultKind.LEAK: lambda v: v.rss_mb > 40, FaultKind.FILL: lambda v: v.folder_mb > 12}
    return eventually(lambda: grown.get(kind, complaint)(measuring.measure_blocking()))


@pytest.mark.parametrize("kind", list(FaultKind))
def test_each_fault_is_ended_by_its_remedy(ward: Ward, api: PatientInfo, kind: FaultKind) -> None:
    assert tell_fault(api.port, kind) == 202
    assert shows(ward, kind)
    assert apply(FAULTS[kind].remedy, "api", ward.registry).changed
    verification = verify("api", ward.registry)
    assert verification.ok, verification.reason


@pytest.mark.parametrize("remedy", [Remedy.KILL_CHILD, Remedy.FREE_FOLDER, Remedy.RESUME])
def test_a_remedy_without_anything_to_do_changes_nothing(
    ward: Ward, api: PatientInfo, remedy: Remedy
) -> None:
    applied = apply(remedy, "api", ward.registry)
    assert not applied.changed
    assert applied.detail
    assert ward.registry.patient("api").pid == api.pid
    assert verify("api", ward.registry).ok


def test_remedies_on_a_crashed_patient_say_that_there_is_no_process(ward: Ward, api: PatientInfo) -> None:
    assert tell_fault(api.port, "crash") == 202
    assert eventually(lambda: ward.registry.patient("api").pid is None)
    assert "gone" in apply("kill_child", "api", ward.registry).detail
    assert "restart" in apply("resume", "api", ward.registry).detail
    assert verify("api", ward.registry, deadline_s=0.3).reason == "api: the process is gone"


def test_the_wrong_remedy_does_not_pass_for_a_cure(ward: Ward, api: PatientInfo) -> None:
    assert tell_fault(api.port, "leak") == 202
    assert not apply("kill_child", "api", ward.registry).changed
    verification = verify("api", ward.registry, deadline_s=0.8)
    assert not verification.ok
    assert "memory" in verification.reason


def test_the_twin_is_not_treated(ward: Ward) -> None:
    before = ward.registry.patient("twin").pid
    with pytest.raises(RemedyError, match="restart of twin failed: it is the untreated twin"):
        apply("restart", "twin", ward.registry)
    assert ward.registry.patient("twin").pid == before


def test_unknown_remedies_and_patients_are_named(ward: Ward) -> None:
    with pytest.raises(RemedyError, match="choose one of: restart, kill_child, free_folder, resume"):
        apply("prayer", "api", ward.registry)
    with pytest.raises(RegistryError, match="no patient 'nobody'"):
        apply("restart", "nobody", ward.registry)


def test_a_remedy_without_a_ward_fails_in_a_sentence() -> None:
    with Ward(patients=["api"], twin_of=None) as ward:
        assert psutil.pid_exists(ward.pid or 0)
        content = ward.registry.path.read_text()
        order(ward.registry, "stop")
        assert eventually(lambda: not ward.folder.exists())
        ward.folder.mkdir()
        ward.registry.path.write_text(content)
        with pytest.raises(RemedyError, match=r"restart of api failed: the ward .* gave no answer"):
            apply("restart", "api", ward.registry)


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (replace(WELL, alive=0, up=0), "process is gone"),
        (replace(WELL, up=0, latency_ms=250), "within 250 ms"),
        (replace(WELL, children=1), "1 child process"),
        (replace(WELL, rss_mb=90), "90 MB of memory"),
        (replace(WELL, folder_mb=11), "11 MB in its folder"),
    ],
)
def test_a_complaint_says_what_is_wrong(vitals: Vitals, words: str) -> None:
    assert words in str(complaint(vitals))


def test_a_well_patient_has_no_complaint() -> None:
    assert complaint(WELL) is None
