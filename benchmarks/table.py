"""Rows as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Row

__all__ = ["print_rows"]


def print_rows(title: str, rows: Sequence[Row], environment: Mapping[str, str], console: Console) -> None:
    """Print the rows, one group for each metric, then how to read them and where they come from."""
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in ("metric", "system"):
        table.add_column(heading)
    for heading in ("value", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit")
    shown = ""
    for row in rows:
        if row.metric != shown and shown:
            table.add_section()
        metric = "" if row.metric == shown else f"{row.metric} ({row.better} is better)"
        shown = row.metric
        table.add_row(metric, row.system, *_cells(row))
    console.print(table)
    measured = next((row for row in rows if row.value is not None), None)
    if measured is not None:
        console.print(
            f"medians of {measured.pairs} interleaved rounds; a ratio is the median of the rounds' ratios; "
            f"each interval covers its median with {measured.coverage:.0%}",
            highlight=False,
        )
    for note in dict.fromkeys(f"{row.system}: {row.note}" for row in rows if row.note):
        console.print(note, highlight=False)
    console.print(", ".join(f"{name} {value}" for name, value in environment.items()), highlight=False)


def _cells(row: Row) -> tuple[str, str, str]:
    if row.value is None or row.low is None or row.high is None:
        return "not measured", "", ""
    return _number(row.value), f"{_number(row.low)} .. {_number(row.high)}", row.unit


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
