"""The incident of the moment as a timeline, and the ones before it in a line each."""

from __future__ import annotations

from rich.text import Text

from .board import Board
from .board_faults import Fault, Stage
from .lines import cut, duration, rule

__all__ = ["TIMELINE_LINES", "history", "timeline"]

TIMELINE_LINES = 5
STYLES = ("red", "yellow", "cyan", "blue", "green")
"""Of the five stages, injected to verified."""


def timeline(board: Board, now: float, width: int) -> list[Text]:
    """The fault to watch, from injected to verified: always `TIMELINE_LINES` lines."""
    fault = board.current
    if fault is None:
        word = "the first fault comes once the swarm is up" if board.wants_faults else "no fault will come"
        return [rule("incident", width), Text(), Text(word, "dim"), Text(), Text()]
    stages = fault.stages()
    goes_on = fault.is_open and not fault.gave_up
    column = width // len(stages)
    lines = [Text(), Text(), Text(), Text()]
    for i, stage in enumerate(stages):
        reached = stage.at is not None
        is_next = not reached and goes_on and stages[i - 1].at is not None
        style = STYLES[i] if reached else "dim"
        joined = i + 1 < len(stages) and stages[i + 1].at is not None
        waiting = reached and not joined and i + 1 < len(stages) and goes_on
        stroke = "━" if joined else "╌" if waiting else " "
        cells = (
            Text(stage.name, f"bold {style}" if reached else "dim"),
            Text.assemble(("●" if reached else "○", style), (stroke * (column - 1), style)),
            Text(_when(stages, i, now, is_next), "" if reached else "dim"),
            Text(stage.note, "dim"),
        )
        for line, cell in zip(lines, cells, strict=True):
            line.append_text(cut(cell, column - (cell is not cells[1]), pad=True))
            if cell is not cells[1]:
                line.append(" ")
    title, style = _title(fault)
    return [rule(title, width, style), *lines]


def history(board: Board, now: float, width: int, rows: int) -> list[Text]:
    """What came before the current fault, newest first, in at most `rows` lines."""
    name_width = max((len(name) for name in board.patients), default=0)
    lines = [(f.injected_at, _fault(f, now, name_width)) for f in board.treated if f is not board.current]
    lines += [
        (
            seen.detected_at,
            _note(seen.detected_at, seen.patient, f"{seen.metric} stood out, nothing injected"),
        )
        for seen in board.unexplained
    ]
    lines += [
        (
            alarm.at,
            _note(alarm.at, alarm.patient, f"false alarm: {alarm.remedy} while it was healthy", "yellow"),
        )
        for alarm in board.false_alarms
    ]
    newest_first = sorted(lines, key=lambda pair: pair[0], reverse=True)
    return [cut(line, width) for _, line in newest_first[: max(0, rows)]]


def _title(fault: Fault) -> tuple[str, str]:
    what = f"{fault.kind} on {fault.patient}"
    if not fault.is_open:
        return f"{what}: healthy again after {fault.repair_s or 0:.1f} s", "bold green"
    if fault.gave_up:
        return f"{what}: given up, {fault.gave_up}", "bold red"
    return what, "bold"


def _when(stages: tuple[Stage, ...], i: int, now: float, is_next: bool) -> str:
    """When a stage came, or how long it has been awaited."""
    at, before = stages[i].at, stages[i - 1].at
    if i == 0:
        return f"at {at or 0:.1f} s"
    if before is None:
        return ""
    if at is not None:
        return f"+{duration(max(0.0, at - before))}"
    return f"{max(0.0, now - before):.1f} s ..." if is_next else ""


def _fault(fault: Fault, now: float, name_width: int) -> Text:
    if not fault.is_open:
        mark, style, healthy = "✓", "green", f"healthy {fault.repair_s or 0:.1f} s"
    elif fault.gave_up:
        mark, style, healthy = "✗", "red", "given up"
    else:
        mark, style, healthy = "…", "yellow", f"for {max(0.0, now - fault.injected_at):.0f} s"
    noticed = "not noticed" if fault.detect_s is None else f"noticed {fault.detect_s:.1f} s"
    remedy = fault.incident.remedy if fault.incident else ""
    return Text.assemble(
        (f"{mark} ", style),
        (f"{fault.injected_at:>5.1f} s  ", "dim"),
        f"{f'{fault.kind} on {fault.patient}':<{name_width + 9}}  ",
        f"{noticed:<13}  ",
        (f"{healthy:<13}  ", style),
        (", ".join(word for word in (remedy, fault.decided_by) if word), "dim"),
    )


def _note(at: float, patient: str, words: str, style: str = "dim") -> Text:
    return Text.assemble(("? ", style), (f"{at:>5.1f} s  ", "dim"), (f"{patient}: {words}", style))
