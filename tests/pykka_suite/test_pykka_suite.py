"""Pykka's own test suite judges `Agent`: nothing of it is copied here, its source distribution is run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pykka_suite.exceptions import LOOP_EXCEPTIONS
from tests.pykka_suite.sdist import NotAvailableError, sdist, unpack

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
DEADLINE_S = 90
"""For all runs together."""
ONE_TEST_S = 10
"""Pykka's tests wait up to 5 s for an event."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one runtime did in Pykka's suite."""

    outcomes: dict[str, str]
    judged: frozenset[str]
    """Ids of the tests that use the runtime."""
    actor_classes: list[str]
    output: str

    @property
    def passed(self) -> set[str]:
        return {test for test, outcome in self.outcomes.items() if outcome == "passed"}


def begin(runtime: str, suite: Path, report: Path) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    paths = os.pathsep.join((str(ROOT), str(HERE)))
    environment = {
        **kept,
        "PYTHONPATH": paths,
        "COVEY_PYKKA_RUNTIME": runtime,
        "COVEY_PYKKA_REPORT": str(report),
    }
    options = ["-p", "plugin", "-p", "no:cacheprovider", "-q", f"--timeout={ONE_TEST_S}", "--tb=short"]
    where = [f"--rootdir={suite}", "-c", str(suite / "pyproject.toml"), str(suite / "tests")]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *where],
        cwd=suite,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(runtime: str, process: subprocess.Popen[str], report: Path) -> Verdict:
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert report.exists(), (
        f"the run of {runtime} ended with {process.returncode}, without a report:\n{output}"
    )
    facts = json.loads(report.read_text(encoding="utf-8"))
    return Verdict(facts["outcomes"], frozenset(facts["judged"]), facts["actor_classes"], output)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pykka's project, unpacked."""
    if importlib.util.find_spec("pytest_mock") is None:
        pytest.skip("Pykka's suite needs pytest-mock: install the extra `dev`")
    try:
        archive = sdist(ROOT / ".cache")
    except NotAvailableError as error:
        pytest.skip(f"Pykka's suite is in its source distribution, which is not to be had offline: {error}")
    return unpack(archive, tmp_path_factory.mktemp("pykka"))


@pytest.fixture(scope="module")
def verdicts(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """The whole suite, run with each runtime, side by side."""
    folder = tmp_path_factory.mktemp("reports")
    reports = {name: folder / f"{name}.json" for name in ("threading", "thread", "loop")}
    processes = {name: begin(name, suite, report) for name, report in reports.items()}
    try:
        return {name: end(name, process, reports[name]) for name, process in processes.items()}
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture(scope="module")
def baseline(suite: Path, verdicts: dict[str, Verdict]) -> Verdict:
    """What Pykka's own `ThreadingActor` does: all that an agent is measured by."""
    pykka = verdicts["threading"]
    assert pykka.actor_classes == ["ThreadingActor"]
    run = {Path(test.partition("::")[0]).name for test in pykka.outcomes}
    assert run == {path.name for path in (suite / "tests").rglob("test_*.py")}, pykka.output
    assert pykka.judged & pykka.passed, pykka.output
    return pykka


def test_agents_stand_in_the_place_of_threading_actors_in_each_test_that_uses_the_runtime(
    baseline: Verdict, verdicts: dict[str, Verdict]
) -> None:
    for name, actor_class in (("thread", "ThreadAgent"), ("loop", "LoopAgent")):
        assert verdicts[name].actor_classes == [actor_class], verdicts[name].output
        assert verdicts[name].judged == baseline.judged
        assert verdicts[name].outcomes.keys() == baseline.outcomes.keys()


def test_agents_with_a_thread_pass_all_that_threading_actors_pass(
    baseline: Verdict, verdicts: dict[str, Verdict]
) -> None:
    thread = verdicts["thread"]
    assert thread.passed == baseline.passed, thread.output


def test_agents_on_the_loop_pass_all_that_threading_actors_pass_but_the_listed_exceptions(
    baseline: Verdict, verdicts: dict[str, Verdict]
) -> None:
    loop = verdicts["loop"]
    assert baseline.judged >= LOOP_EXCEPTIONS.keys(), "an exception names no test that uses the runtime"
    assert loop.passed == baseline.passed - LOOP_EXCEPTIONS.keys(), loop.output


def test_the_table_in_the_documentation_has_the_same_exceptions_and_reasons() -> None:
    page = (ROOT / "docs" / "pykka.md").read_text(encoding="utf-8")
    section = page.partition("\n## Exceptions\n")[2].partition("\n## ")[0]
    assert section, "docs/pykka.md has no section 'Exceptions'"
    rows = dict(re.findall(r"^\| `(.+?)` \| (.+?) \|$", section, re.MULTILINE))
    assert rows == LOOP_EXCEPTIONS
