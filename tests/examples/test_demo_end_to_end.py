"""`covey demo aiops` as a user runs it: real processes, a real nats-server, a bounded time."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from covey import ServerNotFoundError
from covey.observability import group_traces, newest_run, read_spans
from covey.transports import EmbeddedServer
from covey.transports.server_binary import find_server_binary
from examples.aiops.reasoning.series import PATIENT_TRAITS
from examples.aiops.screen.board_events import FAULT_KINDS
from examples.aiops.screen.report import MAX_LINES
from tests.examples.demo_process import ROOT, DemoProcess, started
from tests.examples.world import eventually

HAS_TORCH = importlib.util.find_spec("torch") is not None
UP = "the swarm is up; faults are on their way"
SMALL = ("--nodes", "2", "--patients", "3")
KEYS = {
    "faults_injected", "faults_detected", "faults_repaired", "false_alarms", "availability_treated",
    "availability_all", "availability_twin", "decided_by_torch", "decided_by_baseline", "repairs", "crashes",
    "restarts", "siblings_restarted", "slowest_restart_ms", "readings_sent", "readings_handled",
    "readings_dead", "readings_lost", "messages", "dead_letters", "ask_p50_ms", "ask_p99_ms", "detect_p50_s",
    "repair_p50_s", "first_repair_s", "seed", "seconds", "nodes", "patients", "exit_status",
    *(f"{what}_{kind}" for kind in FAULT_KINDS for what in ("injected", "detected", "repaired")),
}  # fmt: skip


def _has_server() -> bool:
    try:
        find_server_binary()
    except ServerNotFoundError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _has_server(), reason="there is no nats-server to start")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DemoProcess, DemoProcess, DemoProcess]]:
    """Three runs side by side, each whole and piped, none of them waited for: a short one with crashing
    agents in a folder that has an `examples` of its own, one without faults whose torch is broken, one
    without repairs and torch."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "examples").mkdir()
    (folder / "examples" / "__init__.py").write_text("raise ImportError('not the example that was meant')\n")
    torches = tmp_path_factory.mktemp("torch")
    broken, absent = torches / "broken", torches / "absent"
    (broken / "torch").mkdir(parents=True)
    (broken / "torch" / "__init__.py").write_text("raise ImportError('libtorch is not for this machine')\n")
    absent.mkdir()
    (absent / "sitecustomize.py").write_text("import sys\n\nsys.modules['torch'] = None\n")
    calm_folder, idle_folder = tmp_path_factory.mktemp("calm"), tmp_path_factory.mktemp("idle")
    calm_path, idle_path = ({"PYTHONPATH": f"{first}{os.pathsep}{ROOT}"} for first in (broken, absent))
    with (
        started(folder, "--seconds", "14", "--crash-agents", "6", *SMALL) as short,
        started(calm_folder, "--no-faults", "--seconds", "9", *SMALL, environment=calm_path) as calm,
        started(idle_folder, "--no-repair", "--seconds", "10", *SMALL, environment=idle_path) as idle,
    ):
        yield short, calm, idle


@pytest.fixture(scope="module")
def short(runs: tuple[DemoProcess, DemoProcess, DemoProcess]) -> DemoProcess:
    """The short run, ended."""
    demo = runs[0]
    assert demo.ends(60) == 0, demo.text + demo.errors
    return demo


@pytest.fixture(scope="module")
def calm_and_idle(runs: tuple[DemoProcess, DemoProcess, DemoProcess]) -> tuple[DemoProcess, DemoProcess]:
    """The one without faults and the one without repairs, ended."""
    _, calm, idle = runs
    calm.ends(60)
    idle.ends(60)
    return calm, idle


# -- a run from its begin to its end -------------------------------------------------------------------


def test_every_injected_fault_is_detected_and_repaired(short: DemoProcess) -> None:
    report = short.report
    assert report["faults_injected"] >= 1
    assert report["faults_injected"] == report["faults_detected"] == report["faults_repaired"]
    assert report["false_alarms"] == 0
    assert report["repairs"] >= report["faults_injected"]


def test_the_json_report_has_all_keys_and_values_that_can_be(short: DemoProcess) -> None:
    report = short.report
    assert set(report) == KEYS
    assert all(isinstance(value, int | float) for value in report.values()), report
    assert (report["nodes"], report["patients"], report["seed"], report["exit_status"]) == (2, 3, 1, 0)
    assert 0.0 <= report["availability_twin"] < report["availability_treated"] <= 1.0
    assert 0.0 < report["ask_p50_ms"] <= report["ask_p99_ms"] < 5_000.0
    assert 0.0 <= report["detect_p50_s"] <= report["repair_p50_s"] < 14.0
    assert report["crashes"] == 6
    assert 0.0 < report["slowest_restart_ms"] < 5_000.0
    assert report["messages"] > 100
    assert report["decided_by_baseline"] > 0
    assert (report["decided_by_torch"] > 0) is HAS_TORCH


def test_what_is_piped_is_plain_lines_in_the_order_of_their_times(short: DemoProcess) -> None:
    assert [c for c in short.text if not c.isprintable() and c != "\n"] == []
    times = [float(found) for found in re.findall(r"^ *(\d+\.\d) s  ", short.text, re.MULTILINE)]
    assert len(times) > 10
    assert times == sorted(times)
    assert short.errors == ""


def test_the_report_for_people_is_short_and_its_verdict_comes_first(short: DemoProcess) -> None:
    lines = short.report_lines
    assert len(lines) <= MAX_LINES
    assert "repaired" in lines[0]
    assert lines[-1].startswith("next          covey trace ")


def test_every_agent_that_was_made_to_crash_was_restarted_and_its_siblings_with_it(
    short: DemoProcess,
) -> None:
    report = short.report
    assert report["crashes"] == 6
    assert report["restarts"] >= 6
    assert report["siblings_restarted"] >= len(PATIENT_TRAITS) + 1, "a repairer's, at least"
    crashed = re.findall(r"agent (\w+)/\S+ crashed on node-\d: RuntimeError: an injected crash", short.text)
    back = re.findall(r"agent (\w+)/\S+ restarted on node-\d by demo(?:/\w+)?, down \d+ ms", short.text)
    assert sorted(crashed) == sorted(back)
    assert set(crashed) == {"detector", "decision_centre", "repairer", "monitor"}


def test_every_reading_was_handled_or_is_a_dead_letter_in_spite_of_the_crashes(short: DemoProcess) -> None:
    report = short.report
    assert report["readings_sent"] > 500
    assert report["readings_sent"] == report["readings_handled"] + report["readings_dead"]
    assert report["readings_lost"] == 0
    assert f"{report['readings_sent']:,} sent = {report['readings_handled']:,} handled + " in short.text


def test_the_messages_that_crashed_agents_are_dead_letters(short: DemoProcess) -> None:
    assert re.search(r"\d+ dead letters \(.*(failed|other)", short.text), short.text
    assert short.report["dead_letters"] >= 6


def test_the_trace_that_the_report_names_goes_from_the_reading_to_the_verified_repair(
    short: DemoProcess,
) -> None:
    trace_id = short.report_lines[-1].split()[-1]
    (trace,) = [
        known
        for known in group_traces(read_spans(newest_run(short.traces)))
        if known.trace_id.startswith(trace_id)
    ]
    names = [span.name for span in trace.spans]
    assert names[0].startswith("incident ")
    for expected in ("observe", "process detector", "decide", "act", "process repairer", "verify"):
        assert expected in names
    assert "update" in names[-1]
    by_id = {span.span_id: span for span in trace.spans}
    assert [span.name for span in trace.spans if span.parent_id not in by_id] == [names[0]]
    drawn = subprocess.run(
        [sys.executable, "-m", "covey.cli.main", "trace", trace_id, "--dir", str(short.traces)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "process repairer" in drawn.stdout


def test_each_incident_is_one_trace_each_crash_another_and_nothing_else_is_traced(short: DemoProcess) -> None:
    traces = group_traces(read_spans(newest_run(short.traces)))
    crashes = [trace for trace in traces if trace.root.name == "agent failed"]
    incidents = [trace.root.attributes["incident"] for trace in traces if trace not in crashes]
    assert len(set(incidents)) == len(incidents)  # one trace each
    assert len(crashes) == 6
    assert all(span.name.startswith(("restart ", "agent failed")) for each in crashes for span in each.spans)


def test_a_run_that_ended_leaves_nothing_but_its_report_and_its_traces(short: DemoProcess) -> None:
    short.leaves_nothing()


# -- the switches, and torch ----------------------------------------------------------------------------


def test_a_run_without_faults_ends_with_no_repairs_and_status_0(
    calm_and_idle: tuple[DemoProcess, DemoProcess],
) -> None:
    calm, _ = calm_and_idle
    assert calm.process.returncode == 0, calm.text + calm.errors
    assert (calm.report["repairs"], calm.report["faults_injected"], calm.report["crashes"]) == (0, 0, 0)
    assert calm.report["false_alarms"] == 0
    assert "none crashed" in calm.text


def test_torch_that_cannot_be_imported_is_covered_for_and_the_first_line_says_so(
    calm_and_idle: tuple[DemoProcess, DemoProcess],
) -> None:
    calm, _ = calm_and_idle
    verdicts = calm.report["decided_by_baseline"]
    assert verdicts > 0
    assert f"torch gave only 0 of {verdicts} verdicts" in calm.report_lines[0]
    assert "libtorch is not for this machine" in calm.text


def test_a_run_without_repairs_ends_with_the_faults_unrepaired_and_status_1(
    calm_and_idle: tuple[DemoProcess, DemoProcess],
) -> None:
    _, idle = calm_and_idle
    assert idle.process.returncode == 1, idle.text + idle.errors
    report = idle.report
    assert (report["repairs"], report["faults_repaired"]) == (0, 0)
    assert report["faults_injected"] == report["faults_detected"] >= 1
    assert "--no-repair" in idle.report_lines[0]
    assert idle.text.count("GAVE UP") == report["faults_injected"]


def test_where_torch_is_absent_the_baseline_detects_everything_and_nobody_complains(
    calm_and_idle: tuple[DemoProcess, DemoProcess],
) -> None:
    _, idle = calm_and_idle
    assert idle.report["decided_by_torch"] == 0
    assert "torch: absent" in idle.text
    assert "torch" not in idle.report_lines[0]
    assert idle.report["dead_letters"] == 1, "somebody asked for a model that nobody runs"


def test_unless_said_otherwise_one_agent_crashes_and_the_message_is_the_one_dead_letter(
    calm_and_idle: tuple[DemoProcess, DemoProcess],
) -> None:
    _, idle = calm_and_idle
    assert (idle.report["crashes"], idle.report["restarts"]) == (1, 1)
    assert "1 dead letter (failed)" in idle.text


# -- how it ends before its time ------------------------------------------------------------------------


def test_ctrl_c_on_a_terminal_ends_everything_within_3_s_and_gives_the_terminal_back(tmp_path: Path) -> None:
    with started(tmp_path, *SMALL, tty=True) as demo:
        demo.says(UP)
        assert len(demo.family()) > 8, "node processes, services, witness, server, and who watches them"
        at = demo.signal_group(signal.SIGINT)
        assert demo.ends(10) == 130
        assert time.monotonic() - at < 3.0
        demo.leaves_nothing(1.0)
    first_frame, up = demo.text.index("we break them"), demo.text.index(UP)
    assert first_frame < demo.text.index("starting 4 services") < up, "the first frame waited for the swarm"
    alternate_screen, back = "\x1b[?1049h", "\x1b[?1049l"
    assert demo.text.index(alternate_screen) < first_frame
    assert demo.text.rindex(back) > demo.text.rindex(alternate_screen)
    assert demo.text.rindex("\x1b[?25h") > demo.text.rindex("\x1b[?25l")
    assert "Traceback" not in demo.text + demo.errors


def test_ctrl_c_while_it_starts_leaves_nothing_and_a_second_one_does_not_interrupt_the_ending(
    tmp_path: Path,
) -> None:
    with started(tmp_path, *SMALL) as demo:
        assert eventually(lambda: len(demo.family()) > 8, 15.0), demo.text
        demo.signal_group(signal.SIGINT)
        demo.signal_group(signal.SIGINT)
        assert demo.ends(5) == 130
        demo.leaves_nothing(1.0)
    assert demo.errors == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_its_process_is_told_to_end_or_killed(number: int, tmp_path: Path) -> None:
    with started(tmp_path, *SMALL) as demo:
        demo.says(UP)
        os.kill(demo.process.pid, number)
        assert demo.ends(5) == (130 if number == signal.SIGTERM else -number)
        demo.leaves_nothing(6.0)


def test_it_ends_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m covey.cli.main demo aiops --nodes 1 --patients 1 | head -n 2"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=25
    )
    assert len(run.stdout.splitlines()) == 2
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


# -- servers and nodes ------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    with started(tmp_path, "--nats", "nats://127.0.0.1:1", *SMALL) as demo:
        assert demo.ends(15) == 2
        demo.leaves_nothing()
    (line,) = demo.errors.strip().splitlines()
    assert "nats://127.0.0.1:1" in line


def test_a_killed_node_is_shown_and_its_agents_repair_on_elsewhere_on_a_server_of_ones_own(
    tmp_path: Path,
) -> None:
    server = EmbeddedServer()
    with server, started(tmp_path, "--seconds", "24", "--nats", server.url, *SMALL) as demo:
        demo.says("healthy again")
        killed_at = demo.text.count("injected")
        (pid,) = re.findall(r"node node-1 is up \(process (\d+)\)", demo.text)
        psutil.Process(int(pid)).kill()
        demo.says("node node-1 is down: was killed by SIGKILL")
        status = demo.ends(60)
        report = demo.report
        assert status == 0, demo.text + demo.errors
        assert demo.text.count("injected") > killed_at + 1, "no fault came after the node's end"
        assert report["faults_injected"] == report["faults_repaired"] >= 3
        demo.leaves_nothing()
        assert psutil.pid_exists(server.pid), "the demo ended a server that is not its own"
        assert demo.errors == ""
