"""The end report: the verdict, the exit status, the JSON, and the lines for people."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from covey.framework.errors import ConfigurationError
from examples.aiops.options import DemoOptions
from examples.aiops.screen import board_events as events
from examples.aiops.screen.board import Board
from examples.aiops.screen.display import print_report
from examples.aiops.screen.report import MAX_COLUMNS, MAX_LINES, to_json, to_lines, to_text, write_json
from examples.aiops.screen.verdict import exit_status, verdict
from tests.examples.recorded_run import TRACE, board, played, recorded

KEYS = {
    "faults_injected", "faults_detected", "faults_repaired", "false_alarms", "availability_treated",
    "availability_twin", "decided_by_torch", "decided_by_baseline", "restarts", "messages", "ask_p50_ms",
    "ask_p99_ms", "detect_p50_s", "repair_p50_s", "seed", "seconds", "nodes", "patients", "dead_letters",
    "repairs", "first_repair_s", "crashes", "exit_status", "siblings_restarted", "slowest_restart_ms",
    "readings_sent", "readings_handled", "readings_dead", "readings_lost",
    *(f"{what}_{kind}" for kind in events.FAULT_KINDS for what in ("injected", "repaired")),
}  # fmt: skip


def run_of(**switches: bool) -> Board:
    return played(onto=board(DemoOptions(**switches)), run=recorded(**switches))


def test_a_run_with_every_fault_repaired_exits_0_and_says_so_first() -> None:
    assert exit_status(played()) == 0
    assert verdict(played()) == "all 8 injected faults repaired; half of them within 1.8 s"


def test_one_fault_that_the_witness_never_saw_end_makes_exit_1_and_is_named() -> None:
    shown = played(24.0)
    assert exit_status(shown) == 1
    assert verdict(shown) == "1 of 7 injected faults not repaired: leak on mail"


def test_the_swarms_own_word_is_not_enough_for_repaired() -> None:
    shown = Board(("orders",))
    shown.apply(events.Injected("f1", "leak", "orders", 5.0))
    shown.apply(events.Detected("i1", "orders", "memory", "torch", 6.0))
    shown.apply(events.Verified("i1", True, 7.0))
    assert exit_status(shown) == 1


def test_a_run_without_repairs_exits_1_and_names_the_switch() -> None:
    shown = run_of(repair=False)
    assert exit_status(shown) == 1
    assert verdict(shown) == "8 of 8 injected faults not repaired: repairs are off (--no-repair)"


def test_a_run_without_faults_exits_0_only_if_nothing_was_repaired() -> None:
    shown = run_of(faults=False)
    assert exit_status(shown) == 0
    shown.apply(events.Repaired("i1", "restart", 0.5, 9.0))
    assert exit_status(shown) == 1
    assert verdict(shown) == "no faults were injected, yet the swarm made 1 repair"


def test_a_run_that_should_break_things_and_broke_nothing_proves_nothing() -> None:
    assert exit_status(board()) == 1
    assert verdict(board()).startswith("no fault was injected")


def test_the_twins_faults_do_not_count() -> None:
    shown = played()
    shown.apply(events.Injected("late", "hang", "twin", 34.0))
    assert exit_status(shown) == 0


def test_torch_that_gave_less_than_half_of_the_verdicts_is_named_in_the_first_line() -> None:
    shown = played()
    shown.apply(events.Verdicts(torch=10, baseline=30))
    assert verdict(shown).endswith("torch gave only 10 of 40 verdicts")


def test_where_torch_is_absent_nobody_expects_its_verdicts() -> None:
    assert "torch" not in verdict(played(run=recorded(torch=False)))


def test_the_json_has_every_key_even_for_an_empty_run() -> None:
    values = to_json(board(), DemoOptions())
    assert set(values) >= KEYS
    assert values["availability_twin"] is None
    assert values["ask_p50_ms"] is None
    assert values["faults_injected"] == 0


def test_the_json_of_the_recorded_run_holds_its_numbers() -> None:
    values = to_json(played(), DemoOptions(seed=7))
    expected: dict[str, Any] = {
        "faults_injected": 8, "faults_detected": 8, "faults_repaired": 8, "false_alarms": 0, "repairs": 8,
        "crashes": 1, "restarts": 1, "injected_leak": 2, "repaired_leak": 2, "injected_hang": 1, "seed": 7,
        "exit_status": 0, "availability_twin": 0.0, "detect_p50_s": 1.0, "first_repair_s": 8.02,
        "siblings_restarted": 1, "slowest_restart_ms": 11.8, "readings_sent": 6900, "readings_handled": 6897,
        "readings_dead": 3, "readings_lost": 0,
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected
    assert 0.7 < (values["availability_treated"] or 0) < 0.9


def test_the_json_is_flat_numbers_or_null_in_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, to_json(played(), DemoOptions()))
    read = json.loads(path.read_text())
    assert all(value is None or type(value) in (int, float) for value in read.values())


def test_a_report_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_json(tmp_path / "gone" / "report.json", {})


@pytest.mark.parametrize(
    ("shown", "command"),
    [
        (played(), "covey trace 4bf92f35"),
        (played(24.0), "covey trace 4bf92f35"),
        (board(), "covey demo aiops --help"),
        (run_of(repair=False), "covey trace last"),
        (run_of(faults=False), "covey demo aiops --help"),
    ],
)
def test_the_text_keeps_to_its_lines_and_columns_and_names_the_next_command(
    shown: Board, command: str
) -> None:
    lines = to_lines(shown, "~/.cache/covey/traces")
    assert len(lines) <= MAX_LINES
    assert max(len(line.text) for line in lines) <= MAX_COLUMNS
    assert lines[0].text == verdict(shown)
    assert lines[-1].text == f"next          {command}"


def test_more_kinds_than_six_push_out_the_waterfall_not_the_last_line() -> None:
    shown = played()
    for i in range(4):
        shown.apply(events.Injected(f"n{i}", f"new{i}", "users", 34.0))
    lines = to_lines(shown, "traces")
    assert len(lines) <= MAX_LINES
    assert lines[-1].text == "next          covey trace 4bf92f35"


def test_traces_that_went_to_a_collector_are_looked_for_there() -> None:
    *_, where, command = to_text(played(), "OTLP http://localhost:4318, ratio 1.0").splitlines()
    assert where.endswith("OTLP http://localhost:4318, ratio 1.0")
    assert command == f"next          look there for trace {TRACE}"


def test_dead_letters_are_told_with_their_reasons() -> None:
    shown = played()
    shown.apply(events.DeadLetters(1, {"failed": 1}))
    assert "; 1 dead letter (failed)" in to_text(shown)
    shown.apply(events.DeadLetters(3, {"expired": 2, "failed": 1}))
    assert "; 3 dead letters (expired 2, failed 1)" in to_text(shown)
    shown.apply(events.DeadLetters(6, {"failed": 3, "cancelled": 2, "late reply": 1}))
    assert "; 6 dead letters (failed 3, other 3)" in to_text(shown)


def test_agents_that_crashed_are_told_with_their_restarts_and_their_siblings() -> None:
    shown = played()
    one = "agents        1 crashed, 1 restarted, back in 12 ms; 1 sibling restarted with it"
    assert one in to_text(shown)
    shown.apply(events.AgentCrashed("repairer/mail", "n1", "boom", 30.0, "demo/mail"))
    shown.apply(events.AgentRestarted("repairer/mail", "n1", 0.021, 30.0, "demo/mail"))
    shown.apply(events.AgentRestarted("monitor/mail", "n1", 0.9, 30.0, "demo/mail", "repairer/mail failed"))
    more = "agents        2 crashed, 2 restarted, back in 21 ms at most; 2 siblings restarted with them"
    assert more in to_text(shown)
    assert "agents        none crashed" in to_text(run_of(faults=False))


def test_readings_are_an_equation_or_what_is_missing_is_said() -> None:
    shown = played()
    assert "readings      6,900 sent = 6,897 handled + 3 dead letters" in to_text(shown)
    shown.apply(events.Readings(sent=1_000, handled=990, dead=1))
    assert "readings      1,000 sent, 990 handled, 1 dead letter; 9 lost" in to_text(shown)
    shown.apply(events.NodeDown("node-2", "was killed"))
    assert "; 9 lost (node-2 took its counts along)" in to_text(shown)
    shown.apply(events.Readings(sent=1_000, handled=1_005, dead=0))
    assert "; 5 not counted when sent (node-2" in to_text(shown)


def test_the_text_has_a_row_per_kind_and_one_incidents_waterfall() -> None:
    text = to_text(played(), "~/.cache/covey/traces")
    assert "leak             2         2         2       2.2 s       3.5 s  torch" in text
    assert "availability  orders 78.9 %; twin, without help, 0.0 %" in text
    assert "one incident  crash on orders, healthy after 1.5 s; trace 4bf92f35" in text
    assert text.count("█") >= 36


def test_the_report_on_a_terminal_is_the_plain_text_in_colour() -> None:
    lines = to_lines(played(), "here")
    plain, coloured = io.StringIO(), io.StringIO()
    print_report(lines, Console(file=plain, width=40))
    terminal = Console(file=coloured, width=40, force_terminal=True, _environ={"TERM": "xterm"})
    print_report(lines, terminal)
    assert plain.getvalue() == to_text(played(), "here") + "\n"
    assert "\x1b[1;32mall 8 injected faults repaired" in coloured.getvalue()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"crash_agents": -1}, "--crash-agents -1 is out of range"),
        ({"crash_agents": 51}, "0 to 50 crashes"),
        ({"seconds": 7.9}, "--seconds 7.9 is too short"),
        ({"seconds": float("nan")}, "--seconds nan"),
        ({"nodes": 0}, "--nodes 0 is out of range"),
        ({"nodes": 17}, "1 to 16"),
        ({"patients": 13}, "1 to 12 services"),
        ({"nats": "localhost:4222"}, "does not start with nats://"),
        ({"nats": "nats://"}, "names no host"),
        ({"nats": "nats://h:port"}, "is no URL"),
        ({"report": Path("/no/such/folder/report.json")}, "does not exist"),
        ({"report": Path("/")}, "is a folder"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        DemoOptions(**options)


@pytest.mark.parametrize(
    ("options", "crashes"),
    [
        ({}, 1),
        ({"faults": False}, 0),
        ({"crash_agents": 0}, 0),
        ({"faults": False, "crash_agents": 10}, 10),
    ],
)
def test_one_agent_crashes_where_there_are_faults_unless_a_number_is_given(
    options: dict[str, Any], crashes: int
) -> None:
    assert DemoOptions(**options).crashes == crashes


def test_the_limits_themselves_are_allowed(tmp_path: Path) -> None:
    DemoOptions(seconds=8, nodes=16, patients=12, nats="tls://user:pw@[::1]:4222", report=tmp_path / "r.json")
