"""Findings as rich draws them: a mark, the check, what was seen, and below it what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from covey.cli.console import printable
from covey.transports.diagnosis import Finding, Verdict

__all__ = ["draw"]

STYLES = {
    Verdict.OK: "green",
    Verdict.WARNING: "bold yellow",
    Verdict.FAILURE: "bold red",
    Verdict.SKIPPED: "dim",
}
MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.FAILURE: "✗", Verdict.SKIPPED: "-"}
ASCII_MARKS = {**MARKS, Verdict.OK: "+", Verdict.FAILURE: "X"}
PLURALS = {Verdict.WARNING: "warnings", Verdict.FAILURE: "failures"}


def draw(title: str, findings: Sequence[Finding], encoding: str = "utf-8") -> RenderableType:
    """The title, a line for each finding, wrapped in its column, and how many there are of each verdict."""
    is_utf = encoding.lower().startswith("utf")
    marks, arrow = (MARKS, "→ ") if is_utf else (ASCII_MARKS, "> ")
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.verdict]
        is_quiet = finding.verdict in (Verdict.OK, Verdict.SKIPPED)
        seen = Text(printable(finding.seen, encoding), "dim" if finding.verdict is Verdict.SKIPPED else "")
        check = Text(finding.check + " ", "" if is_quiet else style)
        table.add_row(Text(marks[finding.verdict], style), check, seen)
        if finding.fix:
            fix = Table.grid()
            fix.add_row(
                Text(arrow, "dim" if is_quiet else "cyan"),
                Text(printable(finding.fix, encoding), "dim" if is_quiet else "cyan"),
            )
            table.add_row("", "", fix)
    heading = Text(printable(title, encoding), "bold")
    return Group(heading, Text(""), table, Text(""), _counts(findings, " · " if is_utf else ", "))


def _counts(findings: Sequence[Finding], dot: str) -> Text:
    counted = Counter(finding.verdict for finding in findings)
    text = Text(f"{len(findings)} checks")
    for verdict in Verdict:
        count = counted[verdict]
        if count:
            word = PLURALS.get(verdict, verdict) if count > 1 else verdict
            text.append(dot, "dim").append(f"{count} {word}", STYLES[verdict])
    return text
