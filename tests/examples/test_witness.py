import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.aiops.world.faults import FaultKind
from examples.aiops.world.injector import Injector, PlannedFault
from examples.aiops.world.journal import Journal, RepairStarted
from examples.aiops.world.remedies import apply
from examples.aiops.world.ward_client import Ward
from examples.aiops.world.witness_case import Examination, Probe, WitnessCase
from tests.examples.world import eventually, processes_of


class Story:
    """A case that is told of one patient, tick by tick of 0.1 s, starting at second 100."""

    def __init__(self, treated: bool = True) -> None:
        self.case = WitnessCase("api", treated)
        self.now = 100.0
        self.starts = 1

    def goes_on(
        self,
        seconds: float,
        *,
        ok: bool = True,
        alive: bool = True,
        rss_mb: float = 15.0,
        growth_mb_per_s: float = 0.0,
        children: int = 0,
        folder_mb: float = 0.0,
    ) -> list[str]:
        """Let time pass; gives the ids of the faults that turned out to be over meanwhile."""
        over = []
        for tick in range(round(seconds * 10)):
            self.now += 0.1
            self.case.probed(Probe(self.now - 0.001, self.now, ok))
            memory = rss_mb + growth_mb_per_s * tick / 10
            self.case.examined(Examination(self.now, alive, self.starts, memory, children, folder_mb))
            over += [fault.fault_id for fault in self.case.ended(self.now)]
        return over


@pytest.fixture
def story() -> Story:
    story = Story()
    story.goes_on(2)
    return story


def test_availability_counts_good_probes_of_all(story: Story) -> None:
    story.goes_on(1, ok=False)
    assert (story.case.ok, story.case.total) == (20, 30)


def test_a_fault_is_over_after_half_a_second_of_health_and_ends_where_health_began(story: Story) -> None:
    story.case.injected("f1", "slow", story.now)
    assert story.goes_on(3, ok=False) == []
    well_again = story.now + 0.1
    assert story.goes_on(0.7) == []
    assert story.goes_on(0.5) == ["f1"]
    (fault,) = story.case.faults
    assert fault.ended_at == pytest.approx(well_again)
    assert fault.lasted_s == pytest.approx(3.1)
    assert story.goes_on(2) == []


def test_one_bad_probe_starts_the_half_second_anew(story: Story) -> None:
    story.case.injected("f1", "slow", story.now)
    story.goes_on(1, ok=False)
    for _ in range(4):
        assert story.goes_on(0.6) == []
        assert story.goes_on(0.1, ok=False) == []
    assert story.goes_on(1.2) == ["f1"]


@pytest.mark.parametrize(
    ("kind", "symptom"),
    [
        ("leak", {"growth_mb_per_s": 40.0}),
        ("leak", {"rss_mb": 60.0}),
        ("spin", {"children": 1}),
        ("fill", {"folder_mb": 30.0}),
        ("crash", {"alive": False}),
    ],
)
def test_a_fault_lasts_while_the_process_is_abnormal_though_every_probe_is_well(
    story: Story, kind: str, symptom: dict[str, Any]
) -> None:
    story.case.injected("f1", kind, story.now)
    assert story.goes_on(4, **symptom) == []
    assert story.goes_on(2) == ["f1"]


def test_a_fault_that_has_not_shown_yet_is_not_over_though_all_is_well(story: Story) -> None:
    story.case.injected("f1", "leak", story.now)
    assert story.goes_on(2.5) == []
    assert story.goes_on(1) == ["f1"]


def test_a_restart_counts_as_the_end_of_a_fault_that_never_showed(story: Story) -> None:
    story.case.injected("f1", "leak", story.now)
    story.starts = 2
    assert story.goes_on(1.5) == ["f1"]


def test_harm_that_was_seen_before_the_journal_told_of_the_fault_counts(story: Story) -> None:
    injected_at = story.now
    story.goes_on(0.2, ok=False)
    story.case.injected("f1", "hang", injected_at)
    assert story.goes_on(1.2) == ["f1"]


def test_a_repair_is_no_false_alarm_during_a_fault_and_a_second_after_it(story: Story) -> None:
    before = story.now
    story.case.injected("f1", "slow", story.now)
    story.goes_on(2, ok=False)
    assert not story.case.is_false_alarm(story.now)
    story.goes_on(2)
    ended_at = story.case.faults[0].ended_at
    assert ended_at is not None
    assert not story.case.is_false_alarm(ended_at + 0.99)
    assert story.case.is_false_alarm(ended_at + 1.01)
    assert story.case.is_false_alarm(before - 0.1)


def test_any_repair_of_the_untreated_twin_is_a_false_alarm() -> None:
    story = Story(treated=False)
    story.goes_on(1)
    story.case.injected("f1", "slow", story.now)
    story.goes_on(1, ok=False)
    assert story.case.is_false_alarm(story.now)


class Running:
    """A witness process and all that it has printed."""

    def __init__(self, ward: Ward, journal: Path) -> None:
        self.journal = Journal(journal)
        command = [sys.executable, "-m", "examples.aiops.world.witness"]
        command += ["--registry", str(ward.registry.path), "--journal", str(self.journal.path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(json.loads(line) for line in self.process.stdout)

    def hear(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in list(self.said) if line["type"] == kind]

    def end(self) -> dict[str, Any]:
        """Wait for it to end by itself and give its summary, which is the last thing it says."""
        assert self.process.wait(3) == 0
        self._reader.join(3)
        assert self.said[-1]["type"] == "summary"
        return self.said[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(3)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with Ward(patients=["api", "cart"], twin_of="api") as ward:
        yield ward
    assert eventually(lambda: not processes_of(ward.folder))


@pytest.fixture
def witness(ward: Ward, tmp_path: Path) -> Iterator[Running]:
    running = Running(ward, tmp_path / "journal that does not exist yet")
    try:
        assert eventually(lambda: running.hear("availability"))
        yield running
    finally:
        running.close()


def test_the_witness_sees_a_real_fault_its_end_and_a_needless_repair(ward: Ward, witness: Running) -> None:
    faults = [
        PlannedFault(0.0, "api", FaultKind.HANG, "f1"),
        PlannedFault(0.0, "twin", FaultKind.HANG, "f1-twin"),
    ]
    with Injector(faults, ward.registry, witness.journal) as injector:
        assert eventually(lambda: injector.finished)
    assert eventually(lambda: lost(witness, "api") > 2)
    witness.journal.write(RepairStarted("api", "resume", "i1"))
    apply("resume", "api", ward.registry)
    witness.journal.write(RepairStarted("cart", "restart", "i2"))
    assert eventually(lambda: witness.hear("fault_ended"))
    (ended,) = witness.hear("fault_ended")
    assert (ended["fault_id"], ended["kind"], ended["patient"]) == ("f1", "hang", "api")
    assert 0.3 < ended["lasted_s"] < 3.0
    (alarm,) = witness.hear("false_alarm")
    assert (alarm["patient"], alarm["remedy"]) == ("cart", "restart")
    witness.process.terminate()
    summary = witness.end()
    assert summary["false_alarms"] == 1
    assert [(each["fault_id"], each["treated"]) for each in summary["faults"]] == [
        ("f1", True),
        ("f1-twin", False),
    ]
    assert summary["faults"][0]["lasted_s"] == ended["lasted_s"]
    assert summary["faults"][1]["ended_at"] is None
    assert summary["availability"]["cart"]["ok"] > summary["availability"]["api"]["ok"]
    ward.restart("twin")


def lost(witness: Running, patient: str) -> int:
    counts = witness.hear("availability")[-1]["patients"][patient]
    return int(counts["total"] - counts["ok"])


def test_the_witness_ends_with_its_summary_when_its_standard_input_ends(witness: Running) -> None:
    os.kill(witness.process.pid, signal.SIGINT)
    said = len(witness.said)
    assert eventually(lambda: len(witness.said) > said)
    assert witness.process.stdin is not None
    witness.process.stdin.close()
    summary = witness.end()
    assert summary["faults"] == []
    assert set(summary["availability"]) == {"api", "cart", "twin"}
    assert all(counts["ok"] == counts["total"] > 0 for counts in summary["availability"].values())


def test_the_witness_ends_with_its_summary_when_the_ward_is_gone(tmp_path: Path) -> None:
    with Ward(patients=["api"], twin_of=None) as ward:
        witness = Running(ward, tmp_path / "journal")
        try:
            assert eventually(lambda: witness.hear("availability"))
            ward.stop()
            assert witness.end()["faults"] == []
        finally:
            witness.close()


def test_the_witness_shares_no_code_with_those_it_judges() -> None:
    script = (
        "import sys, examples.aiops.world.witness;"
        "print(*(m for m in sys.modules if m.startswith('examples.')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20
    )
    assert set(run.stdout.split()) == {
        "examples.aiops",
        *(
            f"examples.aiops.world{name}"
            for name in ("", ".journal", ".registry", ".witness", ".witness_case")
        ),
    }
