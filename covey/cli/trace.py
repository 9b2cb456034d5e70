"""`covey trace`: the traces that nodes wrote into files, as a list or as a waterfall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from covey.cli.console import open_console
from covey.framework.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from covey.observability import Row, Trace

__all__ = ["trace"]

_SHORT_ID = 8
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


@click.command()
@click.argument("trace_id", metavar="[ID|last]", required=False)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of trace files [default: $COVEY_TRACE_DIR, else ~/.cache/covey/traces].",
)
@click.option("--last", "count", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--width", type=click.IntRange(min=40), help="Columns of the waterfall [default: the terminal's]."
)
def trace(trace_id: str | None, directory: Path | None, count: int, as_json: bool, width: int | None) -> None:
    """List the latest traces, or draw one of them: give the first digits of its ID, or `last`.

    Traces of several services come first; --last N says how many are listed, the newest at the end.
    """
    from covey.observability import group_traces, newest_run, read_spans, trace_directory

    directory = newest_run(directory or trace_directory())
    traces = group_traces(read_spans(directory))
    if not traces:
        raise ConfigurationError(
            f"no traces in {directory}: make some with `covey demo aiops`, "
            "or say where they are with --dir or COVEY_TRACE_DIR "
            "(where a collector such as Jaeger answers, traces go there instead)"
        )
    if trace_id is None:
        _list(traces, count, as_json)
    else:
        _draw(_find(traces, trace_id), as_json, width)


def _find(traces: Sequence[Trace], wanted: str) -> Trace:
    if wanted == "last":
        return traces[-1]
    found = [known for known in traces if known.trace_id.startswith(wanted.lower())]
    if not found:
        raise ConfigurationError(
            f"no trace begins with {wanted!r} among {len(traces)}: `covey trace` lists them"
        )
    if len(found) > 1:
        some = ", ".join(known.trace_id[: len(wanted) + 6] for known in found[:5])
        raise ConfigurationError(f"{len(found)} traces begin with {wanted!r}, say more digits: {some}")
    return found[0]


def _list(traces: Sequence[Trace], count: int, as_json: bool) -> None:
    from covey.observability import pick_traces

    shown = pick_traces(traces, count)
    if as_json:
        _print_json([_summary(known) for known in shown])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("id", "began", "root"):
        table.add_column(title, no_wrap=True)
    table.add_column("services", overflow="fold")
    for title in ("spans", "duration", "errors"):
        table.add_column(title, justify="right", no_wrap=True)
    for known in shown:
        table.add_row(*_cells(known))
    console = open_console()
    console.print(table)
    hidden = len(traces) - len(shown)
    more = f"{hidden} more not listed (--last {len(traces)} lists all); " if hidden else ""
    console.print(
        f"{more}`covey trace ID` draws one, `covey trace last` the newest", style="dim", soft_wrap=True
    )


def _cells(known: Trace) -> list[str]:
    from rich.markup import escape

    from covey.observability.waterfall import duration_text

    services = ", ".join(known.services)
    errors = f"[red]{known.errors}[/red]" if known.errors else "0"
    return [
        known.trace_id[:_SHORT_ID],
        _clock_text(known.start),
        escape(known.root.name),
        f"[bold]{escape(services)}[/bold]" if len(known.services) > 1 else escape(services),
        str(len(known.spans)),
        duration_text(known.duration_s),
        errors,
    ]


def _draw(known: Trace, as_json: bool, width: int | None) -> None:
    from rich.text import Text

    from covey.observability import layout
    from covey.observability.waterfall import duration_text

    if as_json:
        _print_json({**_summary(known), "spans": [span.to_json() for span in known.spans]})
        return
    console = open_console()
    errors = f", {known.errors} with errors" if known.errors else ""
    console.print(
        Text(
            f"trace {known.trace_id}  {_clock_text(known.start)}  {duration_text(known.duration_s)}  "
            f"{len(known.spans)} spans{errors}, {len(known.services)} services",
            style="bold",
        ),
        soft_wrap=True,
    )
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(known.services)}
    ascii_only = not console.encoding.lower().startswith("utf")
    rows = layout(known.spans, width or console.width, ascii_only=ascii_only)
    for row in rows:
        console.print(_coloured(row, colours), soft_wrap=True)


def _coloured(row: Row, colours: dict[str, str]) -> Text:
    from rich.text import Text

    colour = colours[row.span.service]
    bar = "red" if row.span.failed else colour
    cells = (
        (row.label, ""),
        (row.service, colour),
        (row.offset, "dim"),
        (row.bar, bar),
        (row.duration, ""),
        (row.note, bar),
    )
    line = Text()
    for text, style in cells:
        line.append(text + "  ", style)
    line.rstrip()
    return line


def _summary(known: Trace) -> dict[str, object]:
    return {
        "trace_id": known.trace_id,
        "root": known.root.name,
        "services": known.services,
        "spans": len(known.spans),
        "start": known.start,
        "duration_s": known.duration_s,
        "errors": known.errors,
    }


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2))


def _clock_text(epoch_s: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(epoch_s).strftime("%m-%d %H:%M:%S")
