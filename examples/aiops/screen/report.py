"""The report at the end of a run: flat JSON for machines, at most 24 lines of text for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from covey.framework.errors import ConfigurationError

from ..options import DemoOptions
from .board import Board
from .board_faults import Fault
from .median import median_of
from .verdict import exit_status, verdict
from .waterfall import choose, waterfall

__all__ = ["MAX_COLUMNS", "MAX_LINES", "Line", "to_json", "to_lines", "to_text", "write_json"]

MAX_LINES = 24
MAX_COLUMNS = 100
MAX_REASONS = 2
"""Of dead letters; where there are more, the most frequent is named and the others are summed up."""
NEXT = "covey demo aiops --help"

Number = int | float | None


class Line(NamedTuple):
    """A line of the report and the rich style it takes on a terminal."""

    text: str
    style: str = ""


def to_json(board: Board, options: DemoOptions) -> dict[str, Number]:
    """The run in flat keys that are always there; numbers, or None for what never happened.

    Availabilities are shares from 0 to 1; `_s` are seconds, `_ms` milliseconds. `availability_treated` is
    that of the patient with the twin, like for like; `availability_all` that of all treated ones.
    """
    treated = board.treated
    repaired = [fault for fault in treated if not fault.is_open]
    slowest_s = board.slowest_restart_s
    values: dict[str, Number] = {
        "faults_injected": len(treated),
        "faults_detected": sum(fault.detect_s is not None for fault in treated),
        "faults_repaired": len(repaired),
        "false_alarms": len(board.false_alarms),
        "availability_treated": _rounded(board.availability_treated, 4),
        "availability_all": _rounded(board.availability_all, 4),
        "availability_twin": _rounded(board.availability_twin, 4),
        "decided_by_torch": board.verdicts.torch,
        "decided_by_baseline": board.verdicts.baseline,
        "repairs": board.repair_count,
        "crashes": board.crash_count,
        "restarts": board.restart_count,
        "siblings_restarted": board.sibling_count,
        "slowest_restart_ms": _rounded(None if slowest_s is None else slowest_s * 1000),
        "readings_sent": board.readings.sent,
        "readings_handled": board.readings.handled,
        "readings_dead": board.readings.dead,
        "readings_lost": board.readings.lost,
        "messages": board.messages,
        "dead_letters": board.dead_letters.count,
        "ask_p50_ms": _rounded(board.ask.p50_ms if board.ask else None),
        "ask_p99_ms": _rounded(board.ask.p99_ms if board.ask else None),
        "detect_p50_s": _rounded(median_of(fault.detect_s for fault in treated)),
        "repair_p50_s": _rounded(median_of(fault.repair_s for fault in treated)),
        "first_repair_s": _rounded(min((f.ended_at or 0.0 for f in repaired), default=None)),
        "seed": options.seed,
        "seconds": options.seconds,
        "nodes": options.nodes,
        "patients": options.patients,
        "exit_status": exit_status(board),
    }
    for kind, faults in board.by_kind().items():
        values[f"injected_{kind}"] = len(faults)
        values[f"detected_{kind}"] = sum(fault.detect_s is not None for fault in faults)
        values[f"repaired_{kind}"] = sum(not fault.is_open for fault in faults)
    return values


def write_json(path: Path, values: dict[str, Number]) -> None:
    """Write the report to `path`.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--report {path} cannot be written: {error.strerror or error}") from error


def to_lines(board: Board, traces: str = "") -> list[Line]:
    """The report for people: at most `MAX_LINES` lines; `traces` says where the traces are.

    Lines are cut at `MAX_COLUMNS`, all but the verdict.
    """
    style = "bold red" if exit_status(board) else "bold green"
    groups = [
        [Line(verdict(board), style)],
        _kinds(board),
        _facts(board),
        _incident(board),
        _next(board, traces),
    ]
    if sum(len(group) for group in groups) > MAX_LINES:  # more kinds of fault than the six
        groups[3] = []
    room = MAX_LINES - sum(len(group) for group in groups)
    lines: list[Line] = []
    for group in groups:
        if lines and group and room > 0:
            lines.append(Line(""))
            room -= 1
        lines.extend(group)
    return lines[:1] + [Line(line.text[:MAX_COLUMNS], line.style) for line in lines[1:MAX_LINES]]


def to_text(board: Board, traces: str = "") -> str:
    """`to_lines` as plain text."""
    return "\n".join(line.text for line in to_lines(board, traces))


def _kinds(board: Board) -> list[Line]:
    rows = {kind: faults for kind, faults in board.by_kind().items() if faults}
    if not rows:
        return []
    head = "fault     injected  detected  repaired  detect p50  repair p50  noticed by"
    return [Line(head, "dim"), *(_kind(board, kind, faults) for kind, faults in rows.items())]


def _kind(board: Board, kind: str, faults: list[Fault]) -> Line:
    detected = sum(fault.detect_s is not None for fault in faults)
    repaired = sum(not fault.is_open for fault in faults)
    deciders = board.deciders(faults)
    who = ", ".join(name if len(deciders) == 1 else f"{name} {n}" for name, n in deciders.most_common())
    text = (
        f"{kind:<8}  {len(faults):>8}  {detected:>8}  {repaired:>8}"
        f"  {_seconds(median_of(f.detect_s for f in faults)):>10}"
        f"  {_seconds(median_of(f.repair_s for f in faults)):>10}  {who or '-'}"
    )
    return Line(text, "red" if repaired < len(faults) else "")


def _facts(board: Board) -> list[Line]:
    """Availability, verdicts, crashes and the swarm's own figures: at most five lines."""
    alarms = len(board.false_alarms)
    about = f" ({', '.join(sorted({alarm.patient for alarm in board.false_alarms}))})" if alarms else ""
    ask = board.ask
    asks = f"p50 {ask.p50_ms:.1f}, p99 {ask.p99_ms:.1f} ms" if ask else "none"
    torch = f" (torch {board.torch})" if board.torch else ""
    verdicts = f"torch {board.verdicts.torch:,}, baseline {board.verdicts.baseline:,}{torch}"
    deeds = f"false alarms {alarms}{about}; repairs {board.repair_count}"
    return [
        *([Line(_availability(board))] if board.wants_faults else []),
        Line(f"verdicts      {verdicts}; {deeds}", "yellow" if alarms else ""),
        Line(f"agents        {_crashes(board)}", "yellow" if board.restart_count < board.crash_count else ""),
        Line(f"readings      {_readings(board)}", "yellow" if board.readings.lost else ""),
        Line(f"across nodes  asks {asks}; {board.messages:,} messages; {_dead_letters(board)}"),
    ]


def _availability(board: Board) -> str:
    treated, twin = _percent(board.availability_treated), _percent(board.availability_twin)
    return (
        f"availability  {board.twin_of} {treated}; {board.twin}, without help, {twin}; "
        f"all {len(board.patients)} services {_percent(board.availability_all)}"
    )


def _dead_letters(board: Board) -> str:
    count, reasons = board.dead_letters.count, board.dead_letters.reasons
    words = [f"{reason} {n}" for reason, n in reasons.items()] if len(reasons) > 1 else list(reasons)
    if len(words) > MAX_REASONS:
        rest = count - sum(list(reasons.values())[: MAX_REASONS - 1])
        words[MAX_REASONS - 1 :] = [f"other {rest}"]
    why = ", ".join(words)
    return f"{count:,} dead letter{'' if count == 1 else 's'}" + (f" ({why})" if why else "")


def _crashes(board: Board) -> str:
    """How many failed, how many their supervisors had back, and who was restarted with them."""
    if not board.crash_count:
        return "none crashed"
    words = f"{board.crash_count} crashed, {board.restart_count} restarted"
    if board.slowest_restart_s is not None:
        at_most = " at most" if board.restart_count > 1 else ""
        words += f", back in {board.slowest_restart_s * 1000:.0f} ms{at_most}"
    if board.sibling_count:
        siblings = "1 sibling" if board.sibling_count == 1 else f"{board.sibling_count} siblings"
        words += f"; {siblings} restarted with {'it' if board.crash_count == 1 else 'them'}"
    return words


def _readings(board: Board) -> str:
    """What became of every reading, as an equation if it is one."""
    readings = board.readings
    letters = f"{readings.dead:,} dead letter{'' if readings.dead == 1 else 's'}"
    if not readings.lost:
        return f"{readings.sent:,} sent = {readings.handled:,} handled + {letters}"
    missing = f"{readings.lost:,} lost" if readings.lost > 0 else f"{-readings.lost:,} not counted when sent"
    down = ", ".join(row.node for row in board.nodes.values() if row.down)
    why = f" ({down} took its counts along)" if down else ""
    return f"{readings.sent:,} sent, {readings.handled:,} handled, {letters}; {missing}{why}"


def _incident(board: Board) -> list[Line]:
    chosen = choose(board.treated)
    if chosen is None:
        return []
    fault, seen = chosen
    healthy = "" if fault.repair_s is None else f", healthy after {fault.repair_s:.1f} s"
    trace = f"; trace {seen.trace_id[:8]}" if seen.trace_id else ""
    title = f"one incident  {fault.kind} on {fault.patient}{healthy}{trace}"
    return [Line(title, "bold"), *(Line(text, "cyan") for text in waterfall(fault))]


def _next(board: Board, traces: str) -> list[Line]:
    """Where the traces are, and the command that shows the incident above as one."""
    if not traces:
        return [Line(f"next          {NEXT}", "bold")]
    chosen = choose(board.treated)
    trace_id = chosen[1].trace_id if chosen else ""
    if not trace_id:
        command = "covey trace last" if board.incidents else NEXT
    elif traces.startswith("OTLP"):
        command = f"look there for trace {trace_id}"
    else:
        command = f"covey trace {trace_id[:8]}"
    return [Line(f"traces        {traces}"), Line(f"next          {command}", "bold")]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
