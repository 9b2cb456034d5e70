"""The event sink that turns what happens in a node into OpenTelemetry spans."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from covey.framework.clock import Clock, SystemClock
from covey.framework.events import (
    NO_CONTEXT,
    AgentEscalated,
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    Attributes,
    DeadLettered,
    Event,
    HandledMessage,
    SpanHandle,
)
from covey.framework.messages import codec
from covey.observability import names
from covey.observability.context import SAMPLED, pack, unpack
from covey.observability.incidents import Incidents
from covey.observability.open_span import NO_SPAN, OpenSpan, record_outcome, report
from covey.observability.providers import Providers
from covey.observability.recent import RecentMessages

__all__ = ["OtelSink"]

_EMPTY = otel_context.Context()


class OtelSink:
    """Implements `covey.framework.events.EventSink` on OpenTelemetry.

    Any thread may call it; no method raises or waits for an exporter. What is not sampled never reaches
    the SDK. It keeps nothing but the tracers, one per kind.
    """

    def __init__(
        self,
        providers: Providers,
        ratio: float,
        destination: str,
        *,
        system: str = "nats",
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.ratio = ratio
        """The share of new traces that are recorded."""
        self.destination = destination
        """One sentence for people: where the traces go, and what share of them."""
        self._providers = providers
        self._system = system
        self._clock = clock or SystemClock()
        self._draw = draw
        self._current = _current_context()
        self._incidents = Incidents(self._clock.monotonic)
        self.recent = RecentMessages()
        """What was handled last, and how long it took, by kind."""

    def outgoing(self, operation: str, target_kind: str, message: object) -> bytes:
        """The current span's context, a new sampled root's, or `b""`; see `EventSink.outgoing`.

        A current span that is not sampled decides for what it sends as well.
        """
        try:
            current = self._current()
            if current:
                found = trace.get_current_span(current).get_span_context()
                if found.is_valid:
                    return _packed(found)
            if self._draw() >= self.ratio:
                return NO_CONTEXT
            return self._new_root(operation, target_kind, codec.type_name(message))
        except Exception as error:  # noqa: BLE001 - tracing never breaks a send
            report("outgoing", error)
            return NO_CONTEXT

    def observe(self, kind: str, message_type: type, took_s: float, *, slow: bool) -> None:
        """One handled message: into its kind's histogram and among the recent ones."""
        self.recent.add(kind, message_type, took_s, slow=slow)

    def process(self, handled: HandledMessage) -> AbstractContextManager[SpanHandle]:
        """A CONSUMER span `process <kind>` under the message's span; nothing if that is not sampled."""
        parent = _parent(handled.context, remote=handled.remote)
        if parent is None:
            return NO_SPAN
        attributes: dict[str, str | int | float | bool] = {
            names.MESSAGING_SYSTEM: self._system if handled.remote else names.SYSTEM_LOCAL,
            names.MESSAGING_OPERATION_NAME: names.SPAN_PROCESS,
            names.MESSAGING_OPERATION_TYPE: "process",
            names.MESSAGING_DESTINATION_NAME: f"{handled.kind}/{handled.key}",
            names.MESSAGING_DESTINATION_TEMPLATE: handled.kind,
            names.MESSAGE_TYPE: handled.message_type,
            names.MESSAGE_OPERATION: "ask" if handled.is_ask else "tell",
            names.MESSAGE_WAIT_S: handled.wait_s,
            names.MESSAGE_REMOTE: handled.remote,
        }
        if handled.message_id:
            attributes[names.MESSAGING_MESSAGE_ID] = handled.message_id
        if handled.sender:
            attributes[names.MESSAGE_SENDER] = handled.sender
        return self._open(
            f"{names.SPAN_PROCESS} {handled.kind}", handled.kind, SpanKind.CONSUMER, parent, attributes
        )

    def span(
        self,
        name: str,
        kind: str,
        attributes: Attributes,
        *,
        new_trace: bool = False,
        start_time_s: float | None = None,
    ) -> AbstractContextManager[SpanHandle]:
        """An INTERNAL span under the current one; see `EventSink.span`."""
        current = otel_context.get_current()
        found = trace.get_current_span(current).get_span_context() if current else trace.INVALID_SPAN_CONTEXT
        if found.is_valid:
            if not found.trace_flags & SAMPLED:
                return NO_SPAN
        elif not new_trace or self._draw() >= self.ratio:
            return NO_SPAN
        start_ns = None if start_time_s is None else _nanoseconds(start_time_s)
        return self._open(name, kind, SpanKind.INTERNAL, current, attributes, start_ns)

    def emit(self, event: Event) -> None:
        """A failure, a restart or a dead letter in a sampled trace becomes a span there, after the fact.

        A failure that nobody traces gets a trace of its own, whatever the ratio, with what its supervisors
        do about it; at most 100 a second.
        """
        try:
            if isinstance(event, AgentFailed):
                self._agent_failed(event)
            elif isinstance(event, AgentRestarted):
                self._agent_restarted(event)
            elif isinstance(event, DeadLettered):
                self._dead_lettered(event)
            elif isinstance(event, AgentEscalated):
                self._agent_escalated(event)
            elif isinstance(event, AgentStopped):
                self._incidents.ended(event.address)
        except Exception as error:  # noqa: BLE001 - tracing never breaks a supervisor
            report("emit", error)

    def close(self, timeout_s: float) -> None:
        """Export what is left, within the time. Idempotent; never raises."""
        self._providers.close(timeout_s)

    def _open(
        self,
        name: str,
        kind: str,
        span_kind: SpanKind,
        parent: otel_context.Context,
        attributes: Attributes,
        start_ns: int | None = None,
    ) -> AbstractContextManager[SpanHandle]:
        try:
            if identity := self._providers.identity(kind):
                attributes = {**attributes, **identity}
            return OpenSpan(self._providers.tracer(kind), name, span_kind, parent, attributes, start_ns)
        except Exception as error:  # noqa: BLE001 - an application's own provider may do anything
            report("making a tracer", error)
            return NO_SPAN

    def _new_root(self, operation: str, target_kind: str, message_type: str) -> bytes:
        attributes = {
            names.MESSAGING_SYSTEM: self._system,
            names.MESSAGING_OPERATION_NAME: names.SPAN_SEND,
            names.MESSAGING_OPERATION_TYPE: "send",
            names.MESSAGING_DESTINATION_TEMPLATE: target_kind,
            names.MESSAGE_TYPE: message_type,
            names.MESSAGE_OPERATION: operation,
            names.SERVICE_PEER_NAME: target_kind,
            names.PEER_SERVICE: target_kind,
            **self._providers.identity(""),
        }
        tracer = self._providers.tracer("")
        span = tracer.start_span(f"{names.SPAN_SEND} {target_kind}", _EMPTY, SpanKind.PRODUCER, attributes)
        span.end()
        return _packed(span.get_span_context())

    def _agent_failed(self, event: AgentFailed) -> None:
        kind = _kind(event.address)
        attributes: Attributes = {
            names.MESSAGING_DESTINATION_NAME: event.address,
            names.MESSAGE_TYPE: event.message_type,
            names.MESSAGING_MESSAGE_ID: event.message_id,
            names.AGENT_RESTARTS: event.restarts,
            names.SUPERVISOR: event.supervisor,
            names.VERDICT: event.verdict,
        }
        is_traced = _parent(event.context, remote=False) is not None
        if not is_traced and not self._incidents.may_begin():
            return
        context = self._past(
            names.SPAN_AGENT_FAILED, kind, event.context, attributes, error=event.error, new_trace=True
        )
        if not is_traced:
            self._incidents.began(event.address, context)

    def _agent_restarted(self, event: AgentRestarted) -> None:
        kind = _kind(event.address)
        attributes: Attributes = {
            names.MESSAGING_DESTINATION_NAME: event.address,
            names.SUPERVISOR: event.supervisor,
            names.AGENT_RESTARTS: event.restarts,
        }
        if event.cause:
            attributes = {**attributes, names.CAUSE: event.cause}
        context = event.context or self._incidents.ended(event.address)
        self._past(f"{names.SPAN_RESTART} {kind}", kind, context, attributes, duration_s=event.down_s)

    def _agent_escalated(self, event: AgentEscalated) -> None:
        attributes: Attributes = {
            names.SUPERVISOR: event.supervisor,
            names.MESSAGING_DESTINATION_NAME: event.child,
        }
        context = self._incidents.of(event.child)
        # The swarm's service: a supervisor is of no kind.
        self._past(names.SPAN_ESCALATE, "", context, attributes, error=event.error, new_trace=True)

    def _dead_lettered(self, event: DeadLettered) -> None:
        attributes = {
            names.MESSAGING_DESTINATION_NAME: event.target,
            names.MESSAGE_TYPE: event.message_type,
            names.DEAD_LETTER_REASON: event.reason,
        }
        # The swarm's service: the kind may exist nowhere, and must not become one.
        self._past(f"{names.SPAN_DEAD_LETTER} {_kind(event.target)}", "", event.context, attributes)

    def _past(
        self,
        name: str,
        kind: str,
        context: bytes,
        attributes: Attributes,
        *,
        duration_s: float = 0.0,
        error: BaseException | None = None,
        new_trace: bool = False,
    ) -> bytes:
        """Record a span that ends now and began `duration_s` ago; returns its context.

        Without a sampled context there is none, unless `new_trace`.
        """
        parent = _parent(context, remote=False)
        if parent is None:
            if not new_trace:
                return NO_CONTEXT
            parent = _EMPTY
        end_ns = _nanoseconds(self._clock.time())
        span = self._providers.tracer(kind).start_span(
            name,
            parent,
            SpanKind.INTERNAL,
            {**attributes, **self._providers.identity(kind)},
            start_time=end_ns - _nanoseconds(duration_s),
        )
        if error is not None:
            record_outcome(span, error)
        span.end(end_ns)
        return _packed(span.get_span_context())


def _current_context() -> Callable[[], otel_context.Context]:
    """OpenTelemetry's `get_current`, past two calls that every unsampled message would pay for.

    Where its runtime context is of another make, the public function.
    """
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    return variable.get if isinstance(variable, ContextVar) else otel_context.get_current


def _packed(context: SpanContext) -> bytes:
    if not context.trace_flags & SAMPLED:
        return NO_CONTEXT
    return pack(context.trace_id, context.span_id, context.trace_flags)


def _parent(context: bytes, *, remote: bool) -> otel_context.Context | None:
    """The OpenTelemetry context of a sampled message, or None.

    Built on an empty context: nothing of whatever was current here before leaks into the trace.
    """
    found = unpack(context)
    if found is None or not found.sampled:
        return None
    span_context = SpanContext(found.trace_id, found.span_id, remote, TraceFlags(found.flags))
    return trace.set_span_in_context(NonRecordingSpan(span_context), _EMPTY)


def _kind(address: str) -> str:
    return address.partition("/")[0]


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
