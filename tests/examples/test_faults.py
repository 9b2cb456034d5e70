from examples.aiops.world.faults import FAULTS, FaultKind
from examples.aiops.world.remedies import Remedy


def test_there_are_six_kinds_and_each_is_described_once() -> None:
    assert len(FaultKind) == 6
    assert set(FAULTS) == set(FaultKind)


def test_every_fault_is_told_by_its_kind_and_ended_by_a_remedy_that_exists() -> None:
    for kind, fault in FAULTS.items():
        assert fault.body == {"kind": kind.value}
        assert fault.remedy in list(Remedy)
        assert fault.what
        assert fault.harm


def test_every_remedy_is_the_right_one_for_some_fault() -> None:
    assert {fault.remedy for fault in FAULTS.values()} == set(Remedy)


def test_deadly_faults_are_felt_at_once() -> None:
    assert all(fault.instant for fault in FAULTS.values() if fault.deadly)
