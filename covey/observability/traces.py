"""Spans put together again: which belong to one trace, and what that trace was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from covey.observability.jsonl import RecordedSpan

__all__ = ["Trace", "group_traces", "pick_traces"]


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans that are known of one trace, in the order of their start."""

    trace_id: str
    spans: Sequence[RecordedSpan]

    @property
    def root(self) -> RecordedSpan:
        """The span without a parent, or the earliest one if that is not among them."""
        return next((span for span in self.spans if not span.parent_id), self.spans[0])

    @property
    def services(self) -> list[str]:
        """Names of the services in it, in the order in which they came in."""
        return list(dict.fromkeys(span.service for span in self.spans))

    @property
    def start(self) -> float:
        """Seconds since the epoch."""
        return self.spans[0].start

    @property
    def duration_s(self) -> float:
        return max(span.end for span in self.spans) - self.start

    @property
    def errors(self) -> int:
        return sum(span.failed for span in self.spans)


def group_traces(spans: Iterable[RecordedSpan]) -> list[Trace]:
    """The traces that these spans make up, oldest first."""
    by_id: dict[str, list[RecordedSpan]] = {}
    for span in spans:
        by_id.setdefault(span.trace_id, []).append(span)
    traces = [
        Trace(trace_id, sorted(found, key=lambda span: (span.start, span.span_id)))
        for trace_id, found in by_id.items()
    ]
    return sorted(traces, key=lambda trace: (trace.start, trace.trace_id))


def pick_traces(traces: Sequence[Trace], count: int) -> list[Trace]:
    """The `count` traces most worth showing, oldest first.

    Those of several services come before the rest, of either the newest.
    """
    ranked = sorted(traces, key=lambda trace: (len(trace.services) > 1, trace.start), reverse=True)
    return sorted(ranked[: max(count, 0)], key=lambda trace: (trace.start, trace.trace_id))
