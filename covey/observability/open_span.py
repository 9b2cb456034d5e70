"""A span around a block of code: started, made current, and ended, whatever happens inside."""

from __future__ import annotations

import contextvars
import logging
from contextlib import AbstractContextManager
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from covey.framework.errors import Reject
from covey.framework.events import Attributes
from covey.observability import names

__all__ = ["NO_SPAN", "NoSpan", "OpenSpan", "record_outcome", "report"]

_logger = logging.getLogger("covey.observability")
_reported: set[str] = set()

# Its reset fails where a block is left in another context than it was entered in. There OpenTelemetry's
# own token would fail as well, and log "Failed to detach context".
_entered: contextvars.ContextVar[None] = contextvars.ContextVar("covey_entered")


def report(where: str, error: Exception) -> None:
    """Say once for each place that tracing itself failed; the traced code goes on."""
    if where not in _reported:
        _reported.add(where)
        _logger.warning(
            "tracing failed in %s (%s: %s); a span is missing", where, type(error).__name__, error
        )


def record_outcome(span: trace.Span, error: BaseException) -> None:
    """Mark a span by the exception that ended its block: an error, a refusal, or a cancellation."""
    if isinstance(error, Reject):
        span.set_attribute(names.OUTCOME, names.OUTCOME_REJECTED)
        span.add_event(names.OUTCOME_REJECTED, {"reason": str(error)})
    elif isinstance(error, Exception):
        span.record_exception(error)
        span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
    else:
        span.set_attribute(names.OUTCOME, names.OUTCOME_CANCELLED)
        span.add_event(names.OUTCOME_CANCELLED)


class NoSpan(AbstractContextManager["NoSpan"]):
    """The span of a block that nobody traces."""

    __slots__ = ()

    trace_id = ""

    def set(self, **attributes: str | int | float | bool) -> None:
        """Nothing."""

    def __exit__(self, *exc_info: object) -> None:
        return None


NO_SPAN = NoSpan()


class OpenSpan(AbstractContextManager["OpenSpan"]):
    """One span, current while the block runs; entering and leaving it never raise.

    An exception that passes through is recorded and goes on; a cancellation is no error. Afterwards the
    OpenTelemetry context is what it was before, whatever spans the block left open.
    """

    __slots__ = (
        "_attributes",
        "_entered",
        "_kind",
        "_name",
        "_parent",
        "_span",
        "_start_ns",
        "_token",
        "_tracer",
    )

    def __init__(
        self,
        tracer: trace.Tracer,
        name: str,
        kind: SpanKind,
        parent: otel_context.Context,
        attributes: Attributes,
        start_ns: int | None = None,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._parent = parent
        self._attributes = attributes
        self._start_ns = start_ns
        self._span: trace.Span = trace.INVALID_SPAN

    @property
    def trace_id(self) -> str:
        context = self._span.get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else ""

    def set(self, **attributes: str | int | float | bool) -> None:
        try:
            self._span.set_attributes(attributes)
        except Exception as error:  # noqa: BLE001 - an application's own provider may do anything
            report("SpanHandle.set", error)

    def __enter__(self) -> OpenSpan:
        try:
            self._span = self._tracer.start_span(
                self._name, self._parent, self._kind, self._attributes, start_time=self._start_ns
            )
        except Exception as error:  # noqa: BLE001 - a span processor of the application's may raise
            report("starting a span", error)
        self._entered = _entered.set(None)
        self._token = otel_context.attach(trace.set_span_in_context(self._span, self._parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            _entered.reset(self._entered)
        except ValueError:
            pass  # left in another context, where there is nothing of ours to undo
        else:
            otel_context.detach(self._token)
        try:
            if error is not None:
                record_outcome(self._span, error)
            self._span.end()
        except Exception as problem:  # noqa: BLE001 - a span processor of the application's may raise
            report("ending a span", problem)
