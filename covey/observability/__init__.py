"""Traces: where they go, what a node records, and how a recorded one is read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.observability.context import TraceContext, pack, unpack
from covey.observability.jsonl import RecordedSpan, newest_run, read_spans, run_folder, trace_directory
from covey.observability.traces import Trace, group_traces, pick_traces
from covey.observability.tracing import DEFAULT_RATIO, setup
from covey.observability.waterfall import Row, layout

if TYPE_CHECKING:
    from covey.observability.sink import OtelSink

__all__ = [
    "DEFAULT_RATIO",
    "OtelSink",
    "RecordedSpan",
    "Row",
    "Trace",
    "TraceContext",
    "group_traces",
    "layout",
    "newest_run",
    "pack",
    "pick_traces",
    "read_spans",
    "run_folder",
    "setup",
    "trace_directory",
    "unpack",
]


def __getattr__(name: str) -> object:
    # The sink imports OpenTelemetry, which costs more than all of the rest together.
    if name == "OtelSink":
        from covey.observability.sink import OtelSink

        return OtelSink
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
