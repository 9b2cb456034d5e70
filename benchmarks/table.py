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
        interval = f"{_number(row.low)} .. {_number(row.high)}"
        table.add_row(metric, row.system, _number(row.value), interval, row.unit)
    console.print(table)
    if rows:
        console.print(
            f"medians of {rows[0].pairs} interleaved pairs; a ratio is the median of the pairs' ratios; "
            f"each interval covers its median with {rows[0].coverage:.0%}",
            highlight=False,
        )
    console.print(", ".join(f"{name} {value}" for name, value in environment.items()), highlight=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
