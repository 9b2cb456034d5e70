"""The picture on a terminal and the lines in a pipe."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from examples.aiops.options import DemoOptions
from examples.aiops.screen import board_events as events
from examples.aiops.screen.board import Board
from examples.aiops.screen.digits import LOW_LINES, PIXELS, TALL_LINES, big
from examples.aiops.screen.display import LiveDisplay, open_view
from examples.aiops.screen.frame import frame, sentence
from examples.aiops.screen.numbers_row import big_percent
from examples.aiops.screen.plain import PlainLines, line_of, speakable
from examples.aiops.screen.swarm_rows import swarm
from tests.examples.recorded_run import PATIENTS, board, played, recorded

SIZES = [(80, 24), (110, 35), (200, 60), (40, 12), (20, 5)]


def text_of(shown: Board, now: float, size: tuple[int, int] = (80, 24)) -> str:
    return "\n".join(line.plain for line in frame(shown, now, *size))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("at", [0.0, 3.0, 9.9, 20.0, 35.0])
def test_every_frame_fits_its_terminal(size: tuple[int, int], at: float) -> None:
    width, height = size
    lines = frame(played(at), at, width, height)
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


@pytest.mark.parametrize(("patients", "nodes"), [(1, 1), (12, 16)])
def test_the_smallest_and_the_largest_swarm_fit_80_by_24(patients: int, nodes: int) -> None:
    shown = Board([f"service-{i}" for i in range(patients)])
    for i in range(nodes):
        shown.apply(events.NodeUp(f"node-{i}", 100 + i))
        shown.apply(events.NodeStats(f"node-{i}", 10, 1_000_000))
    text = text_of(shown, 5.0)
    assert f"service-{patients - 1}" in text
    assert "● node-0" in text
    assert ("more nodes" in text) == (nodes == 16)


def test_the_first_frame_says_what_is_seen_before_anything_is_up() -> None:
    text = " ".join(text_of(board(), 0.0).split())
    assert "6 services, we break them; agents repair them; `twin` gets the same faults" in text
    assert "no node is up yet" in text


def test_the_sentence_tells_what_was_switched_off() -> None:
    assert "nobody breaks them" in sentence(board(DemoOptions(faults=False)))
    assert "may not repair" in sentence(board(DemoOptions(repair=False)))


def test_the_incident_is_a_timeline_with_seconds() -> None:
    text = text_of(played(9.5), 9.5)
    assert "spin on billing" in text
    assert "at 8.2 s" in text
    assert "+1.1 s" in text
    assert "kill_child" in text
    assert "0.1 s ..." in text


def test_earlier_incidents_crashes_and_nodes_stay_in_sight() -> None:
    text = text_of(played(), 35.0, (110, 35))
    assert "✓  17.0 s  fill on orders" in text
    assert "↻ demo/mail: latency back in 12 ms +1" in text
    assert "● node-3" in text
    assert text.count("✓") == 7


def crashed(seconds: float | None = 0.012, siblings: int = 0) -> Board:
    shown = board()
    shown.apply(events.AgentCrashed("detector/mail.folder_mb", "n1", "boom", 3.0, "demo/mail"))
    if seconds is not None:
        shown.apply(events.AgentRestarted("detector/mail.folder_mb", "n1", seconds, 3.0, "demo/mail"))
    for _ in range(siblings):
        cause = "detector/mail.folder_mb failed"
        shown.apply(events.AgentRestarted("monitor/mail", "n1", 0.01, 3.0, "demo/mail", cause))
    return shown


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (80, "↻ demo/mail: folder_mb crashed, back in 12 ms, 5 with it"),
        (45, "↻ demo/mail: folder_mb back in 12 ms +5"),
        (36, "↻ mail: folder_mb back in 12 ms +5"),
        (30, "↻ mail: folder_mb 12 ms +5"),
        (20, "↻ …older_mb"),
    ],
)
def test_a_crash_says_who_under_which_supervisor_as_far_as_there_is_room(width: int, words: str) -> None:
    lines = [line.plain for line in swarm(crashed(siblings=5), width, 6)]
    assert any(line.startswith(words) for line in lines), lines
    assert max(map(len, lines)) <= width


def test_an_agent_that_is_not_back_yet_restarts() -> None:
    assert "↻ demo/mail: folder_mb crashed, restarting" in text_of(crashed(None), 3.0, (140, 35))


def test_an_agent_whose_key_says_nothing_is_named_by_its_kind() -> None:
    shown = board()
    for address, supervisor in (("decision_centre/main", "demo"), ("repairer/mail", "demo/mail")):
        shown.apply(events.AgentCrashed(address, "n1", "boom", 3.0, supervisor))
        shown.apply(events.AgentRestarted(address, "n1", 0.002, 3.0, supervisor))
    text = text_of(shown, 3.0, (140, 35))
    assert "↻ demo: decision_centre crashed, back in 2 ms" in text
    assert "↻ demo/mail: repairer crashed, back in 2 ms" in text
    assert "restarts  2 of 2 crashes, +0 siblings" in text


def test_ten_crashes_leave_the_newest_and_their_sum_in_sight_at_80_by_24() -> None:
    shown = played()
    for number in range(9):
        shown.apply(events.AgentCrashed(f"monitor/{number}", "n1", "boom", 30.0, f"demo/{number}"))
    text = text_of(shown, 30.0)
    assert "↻ demo/8: monitor" in text
    assert "restarts  1 of 10 crashes, +1 siblings" in text
    assert "● node-3" in text
    assert "verdicts" in text


def test_a_fault_given_up_is_called_so() -> None:
    shown = played(9.5)
    shown.apply(events.GaveUp("i2", "billing", 9.5, "no remedy is left"))
    text = text_of(shown, 9.5, (110, 35))
    assert "spin on billing: given up, no remedy is left" in text
    assert "s ..." not in text


def test_unexplained_verdicts_and_false_alarms_are_shown() -> None:
    shown = played(7.0)
    shown.apply(events.Detected("x", "users", "cpu", "torch", 6.5))
    shown.apply(events.FalseAlarm("users", "restart", 6.9))
    text = text_of(shown, 7.0, (110, 35))
    assert "users: cpu stood out, nothing injected" in text
    assert "users: false alarm: restart" in text


@pytest.mark.parametrize(("share", "text"), [(None, "--"), (1.0, "100%"), (0.99999, "99.9%"), (0.0, "0.0%")])
def test_a_share_is_rounded_down_so_that_100_means_no_probe_failed(share: float | None, text: str) -> None:
    assert big_percent(share) == text


@pytest.mark.parametrize(("tall", "lines"), [(True, TALL_LINES), (False, LOW_LINES)])
def test_big_digits_are_told_apart_in_both_heights(tall: bool, lines: int) -> None:
    drawn = {char: tuple(big(char, tall=tall)) for char in PIXELS}
    assert len(set(drawn.values())) == len(PIXELS)
    assert all(len(rows) == lines for rows in drawn.values())


def test_the_live_display_draws_while_another_thread_feeds_it() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=24, legacy_windows=False)
    shown, begin = board(), time.monotonic()
    with LiveDisplay(shown, console, lambda: time.monotonic() - begin) as view:
        assert "agents repair them" in stream.getvalue()
        feeder = threading.Thread(target=lambda: [view.show(event) for _, event in recorded()])
        feeder.start()
        feeder.join(timeout=10)
        deadline = time.monotonic() + 10
        while "crash on orders" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "crash on orders: healthy again after 1.5 s" in stream.getvalue()


def test_a_pipe_gets_plain_lines_and_a_terminal_the_live_display() -> None:
    piped = Console(file=io.StringIO())
    terminal = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(open_view(board(), piped, lambda: 0.0), PlainLines)
    assert isinstance(open_view(board(), terminal, lambda: 0.0), LiveDisplay)
    assert isinstance(open_view(board(), dumb, lambda: 0.0), PlainLines)


def test_plain_lines_tell_every_step_of_an_incident_without_control_characters() -> None:
    stream = io.StringIO()
    times = iter([at for at, _ in recorded()])
    with PlainLines(board(), stream, lambda: next(times)) as view:
        for _, event in recorded():
            view.show(event)
    lines = stream.getvalue().splitlines()
    assert all(line.isprintable() and line[6:9] == " s " for line in lines)
    about = [line for line in lines if "billing" in line or "incident i2" in line]
    words = [
        "injected spin",
        "detected in cpu",
        "decided on kill_child",
        "done in",
        "verified",
        "healthy again",
    ]
    assert all(word in line for word, line in zip(words, about, strict=True))
    assert sum("availability" in line for line in lines) == 6


def test_an_error_of_several_lines_stays_one_plain_line() -> None:
    stream = io.StringIO()
    with PlainLines(board(), stream, lambda: 1.0) as view:
        view.show(events.AgentCrashed("detector/a", "n1", "bad\n\x1b[31mnews", 1.0))
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_restart_names_its_supervisor_and_those_restarted_with_it_are_left_to_the_report() -> None:
    own = events.AgentRestarted("detector/a.up", "n1", 0.012, 3.0, "demo/a")
    assert line_of(own) == "agent detector/a.up restarted on n1 by demo/a, down 12 ms"
    assert (
        line_of(events.AgentRestarted("monitor/a", "n1", 0.01, 3.0, "demo/a", "detector/a.up failed")) == ""
    )


def test_a_line_is_said_in_the_streams_encoding() -> None:
    assert speakable("██ naïve", "ascii") == "## na?ve"
    assert speakable("██ naïve", "utf-8") == "██ naïve"


def test_running_totals_make_no_plain_lines() -> None:
    assert line_of(events.Verdicts(3, 4)) == ""
    assert line_of(events.NodeStats("n1", 1, 2)) == ""


def test_the_display_needs_neither_torch_nor_networkx_nor_the_runtime() -> None:
    heavy = ["torch", "networkx", "numpy", "psutil", "nats", "pykka", "opentelemetry"]
    code = f"import sys, examples.aiops.screen.display; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_twin_comes_last_among_the_services() -> None:
    assert list(board().health) == [*PATIENTS, "twin"]
