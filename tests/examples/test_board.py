"""The board: what it makes of the events of a run."""

from __future__ import annotations

import pytest

from examples.aiops.screen import board_events as events
from examples.aiops.screen.board import Board
from tests.examples.recorded_run import played


def small_board() -> Board:
    return Board(("orders", "billing"), twin_of="orders")


def test_detection_and_repair_are_timed_from_the_injection() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "leak", "orders", 5.0))
    board.apply(events.Detected("i1", "orders", "memory", "torch", 6.5))
    board.apply(events.FaultEnded("f1", "leak", "orders", 8.0, 3.0))
    fault = board.treated[0]
    assert fault.detect_s == pytest.approx(1.5)
    assert fault.repair_s == pytest.approx(3.0)
    assert fault.decided_by == "torch"


def test_an_incident_is_not_credited_to_another_patients_fault() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "leak", "orders", 5.0))
    board.apply(events.Detected("i1", "billing", "memory", "torch", 6.0))
    assert board.treated[0].detect_s is None
    assert [seen.incident for seen in board.unexplained] == ["i1"]


def test_an_incident_before_the_fault_or_long_after_it_is_unexplained() -> None:
    board = small_board()
    board.apply(events.Detected("early", "orders", "cpu", "torch", 4.0))
    board.apply(events.Injected("f1", "leak", "orders", 5.0))
    board.apply(events.FaultEnded("f1", "leak", "orders", 8.0, 3.0))
    board.apply(events.Detected("late", "orders", "cpu", "torch", 9.0))
    assert [seen.incident for seen in board.unexplained] == ["early", "late"]


def test_a_verdict_that_reaches_the_board_before_its_fault_is_linked_when_the_fault_comes() -> None:
    board = small_board()
    board.apply(events.Detected("i1", "orders", "latency", "baseline", 5.4))
    board.apply(events.Injected("f1", "slow", "orders", 5.0))
    assert board.treated[0].detect_s == pytest.approx(0.4)
    assert board.unexplained == []


def test_two_faults_of_one_patient_at_once_each_get_their_own_incident() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "leak", "orders", 5.0))
    board.apply(events.Injected("f2", "fill", "orders", 6.0))
    board.apply(events.Detected("i1", "orders", "disk", "torch", 7.0))
    board.apply(events.Detected("i2", "orders", "memory", "torch", 7.5))
    assert {f.fault_id: f.incident.incident for f in board.treated if f.incident} == {"f2": "i1", "f1": "i2"}


def test_a_decision_that_overtakes_its_verdict_loses_nothing() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "hang", "orders", 5.0))
    board.apply(events.Decided("i1", "orders", "stopped", "resume", 1, 6.1, "ab" * 16))
    board.apply(events.Detected("i1", "orders", "latency", "torch", 6.0))
    fault = board.treated[0]
    assert fault.detect_s == pytest.approx(1.0)
    assert fault.decided_by == "torch"
    assert [stage.at for stage in fault.stages()] == [5.0, 6.0, 6.1, None, None]


def test_a_second_attempt_takes_the_timeline_back_to_decided() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "hang", "orders", 5.0))
    board.apply(events.Detected("i1", "orders", "latency", "torch", 6.0))
    board.apply(events.Decided("i1", "orders", "leak", "restart", 1, 6.1, ""))
    board.apply(events.Repaired("i1", "restart", 0.3, 6.4))
    board.apply(events.Verified("i1", False, 6.9))
    board.apply(events.Decided("i1", "orders", "stopped", "resume", 2, 7.0, ""))
    stages = {stage.name: stage for stage in board.treated[0].stages()}
    assert stages["repaired"].at is None
    assert stages["repaired"].note == "resume (try 2)"
    assert board.repair_count == 1


def test_availability_counts_only_probes_since_the_first_injection() -> None:
    board = small_board()
    board.apply(events.Availability({"orders": 0, "twin": 10}, {"orders": 10, "twin": 10}))
    board.apply(events.Injected("f1", "crash", "orders", 5.0))
    board.apply(events.Availability({"orders": 9, "twin": 10}, {"orders": 20, "twin": 20}))
    assert board.availability_treated == pytest.approx(0.9)
    assert board.availability_twin == pytest.approx(0.0)


def test_availability_is_unknown_before_the_first_probe() -> None:
    assert small_board().availability_twin is None


def test_the_twins_faults_are_nobodys_to_repair() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "crash", "twin", 5.0))
    assert board.treated == []
    assert board.fault_on("twin") is not None


def test_the_twins_copy_of_a_fault_may_bear_the_same_id() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "leak", "orders", 5.0))
    board.apply(events.Injected("f1", "leak", "twin", 5.0))
    board.apply(events.FaultEnded("f1", "leak", "orders", 7.0, 2.0))
    assert board.fault_on("orders") is None
    assert board.fault_on("twin") is not None


def test_a_fault_whose_injection_was_never_told_is_known_from_its_end() -> None:
    board = small_board()
    board.apply(events.FaultEnded("f1", "slow", "orders", 9.0, 2.5))
    assert board.treated[0].injected_at == pytest.approx(6.5)
    assert not board.treated[0].is_open


def test_crashes_are_paired_with_their_restarts_in_order() -> None:
    board = small_board()
    board.apply(events.AgentCrashed("detector/a", "n1", "boom", 3.0))
    board.apply(events.AgentCrashed("detector/b", "n1", "boom", 3.1))
    board.apply(events.AgentRestarted("detector/b", "n1", 0.02, 3.12))
    assert [crash.down_s for crash in board.crashes] == [None, 0.02]
    assert (board.crash_count, board.restart_count) == (2, 1)


def test_siblings_are_counted_with_the_crash_that_they_were_restarted_for_also_when_told_before_it() -> None:
    board = small_board()
    cause = "detector/a.cpu failed"
    board.apply(events.AgentRestarted("monitor/a", "n2", 0.03, 3.04, "demo/a", cause))
    board.apply(events.AgentCrashed("detector/a.cpu", "n1", "boom", 3.0, "demo/a"))
    board.apply(events.AgentRestarted("detector/a.cpu", "n1", 0.02, 3.02, "demo/a"))
    board.apply(events.AgentRestarted("detector/a.up", "n1", 0.5, 3.03, "demo/a", cause))
    (crash,) = board.crashes
    assert (crash.siblings, crash.supervisor) == (2, "demo/a")
    assert (board.crash_count, board.restart_count, board.sibling_count) == (1, 1, 2)
    assert board.slowest_restart_s == 0.02


def test_readings_that_do_not_add_up_are_lost() -> None:
    board = small_board()
    assert board.readings.lost == 0
    board.apply(events.Readings(sent=10, handled=7, dead=1))
    assert board.readings.lost == 2


def test_the_newest_open_fault_is_watched_and_a_given_up_one_gives_way() -> None:
    board = small_board()
    board.apply(events.Injected("f1", "leak", "orders", 5.0))
    board.apply(events.Injected("f2", "spin", "billing", 6.0))
    assert board.current is not None
    assert board.current.fault_id == "f2"
    board.apply(events.GaveUp("i2", "billing", 8.0, "no remedy is left"))
    assert board.current.fault_id == "f1"


def test_control_characters_of_an_error_never_reach_the_board() -> None:
    board = small_board()
    board.apply(events.AgentCrashed("detector/a", "n1", "bad \x1b[31m\nnews", 3.0))
    assert board.crashes[0].error.isprintable()


def test_what_is_no_event_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="str is no event of the board"):
        small_board().apply("hello")  # type: ignore[arg-type]


def test_the_recorded_run_ends_with_every_fault_noticed_and_repaired() -> None:
    board = played()
    assert len(board.treated) == 8
    assert all(not fault.is_open and fault.detect_s is not None for fault in board.treated)
    assert board.unexplained == []
    assert board.messages > 10_000
