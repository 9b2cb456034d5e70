"""Spans that handlers open themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from covey.framework.current import CURRENT
from covey.framework.events import Attributes, EventSink, SpanHandle

__all__ = ["no_span", "open_span"]


class _NoSpan:
    trace_id = ""

    def set(self, **attributes: str | int | float | bool) -> None:
        """Nothing is traced."""


_NO_SPAN = _NoSpan()


def no_span() -> AbstractContextManager[SpanHandle]:
    """A span that does nothing."""
    return nullcontext(_NO_SPAN)


@contextmanager
def open_span(
    sink: EventSink,
    kind: str,
    name: str,
    attributes: Attributes,
    new_trace: bool,
    start_time_s: float | None,
) -> Iterator[SpanHandle]:
    """A span in the current trace; what is sent inside belongs to that trace, also one begun here."""
    current = CURRENT.get()
    with sink.span(name, kind, attributes, new_trace=new_trace, start_time_s=start_time_s) as span:
        if current is None or not span.trace_id:
            yield span
            return
        current.open_spans += 1
        try:
            yield span
        finally:
            current.open_spans -= 1
