from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from covey.framework.errors import Reject
from covey.framework.events import (
    NO_CONTEXT,
    AgentEscalated,
    AgentFailed,
    AgentRestarted,
    AgentStarted,
    DeadLettered,
    HandledMessage,
    is_sampled,
)
from covey.observability import OtelSink, unpack
from covey.observability.application_provider import ApplicationProvider
from covey.observability.incidents import PER_SECOND
from tests.observability.conftest import Recording


def handled(context: bytes, kind: str = "pricer", **changes: object) -> HandledMessage:
    values: dict[str, object] = {
        "key": "eu-1",
        "message_type": "shop.Order",
        "message_id": "n1-7",
        "sender": "stock/tea",
        "wait_s": 0.25,
        "remote": True,
        "is_ask": True,
    }
    return HandledMessage(kind=kind, context=context, **{**values, **changes})  # type: ignore[arg-type]


class FixedClock:
    def monotonic(self) -> float:
        return 0.0

    def time(self) -> float:
        return 1_000.0


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def application(exported: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return provider


def application_sink(provider: trace.TracerProvider, ratio: float = 1.0) -> OtelSink:
    return OtelSink(ApplicationProvider(provider, "shop", "n1"), ratio, "the application's")


def test_a_message_and_what_it_causes_become_one_trace(recording: Recording) -> None:
    sink = recording.sink
    first = sink.outgoing("ask", "pricer", "shop.Order")
    with sink.process(handled(first)) as outer:
        second = sink.outgoing("tell", "stock", "shop.Lookup")
        assert outer.trace_id == f"{unpack(first).trace_id:032x}"
        with sink.process(handled(second, "stock", remote=False)), sink.span("decide", "stock", {"phase": 2}):
            pass
    spans = {span.name: span for span in recording.spans()}
    assert set(spans) == {"send pricer", "process pricer", "process stock", "decide"}
    assert len({span.trace_id for span in spans.values()}) == 1
    assert spans["send pricer"].parent_id == ""
    assert spans["process pricer"].parent_id == spans["send pricer"].span_id
    assert spans["process stock"].parent_id == spans["process pricer"].span_id
    assert spans["decide"].parent_id == spans["process stock"].span_id
    assert [spans[name].kind for name in ("send pricer", "process pricer", "decide")] == [
        "producer",
        "consumer",
        "internal",
    ]


def test_each_kind_of_agent_is_a_service_of_its_own(recording: Recording) -> None:
    context = recording.sink.outgoing("tell", "pricer", "shop.Order")
    with recording.sink.process(handled(context)):
        pass
    assert {(span.name, span.service, span.node) for span in recording.spans()} == {
        ("send pricer", "shop", "n1"),
        ("process pricer", "pricer", "n1"),
    }


def test_a_process_span_carries_the_messaging_conventions(recording: Recording) -> None:
    with recording.sink.process(handled(recording.sink.outgoing("ask", "pricer", "shop.Order"))):
        pass
    assert recording.span("process pricer").attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "pricer/eu-1",
        "messaging.destination.template": "pricer",
        "messaging.message.id": "n1-7",
        "covey.message.type": "shop.Order",
        "covey.message.sender": "stock/tea",
        "covey.message.operation": "ask",
        "covey.message.wait_s": 0.25,
        "covey.message.remote": True,
    }


def test_a_message_that_stayed_in_its_process_did_not_use_nats(recording: Recording) -> None:
    context = recording.sink.outgoing("ask", "pricer", "shop.Order")
    with recording.sink.process(handled(context, remote=False, message_id="", sender="")):
        pass
    attributes = recording.span("process pricer").attributes
    assert attributes["messaging.system"] == "covey"
    assert "messaging.message.id" not in attributes


def test_a_producer_span_names_its_peer_for_jaeger_old_and_new(recording: Recording) -> None:
    recording.sink.outgoing("tell", "pricer", "shop.Order")
    attributes = recording.span("send pricer").attributes
    assert attributes["service.peer.name"] == attributes["peer.service"] == "pricer"


def test_head_sampling_keeps_what_the_draw_says(recording: Recording) -> None:
    draws = iter([0.29, 0.3, 0.9, 0.0])
    sink = OtelSink(recording.sink._providers, 0.3, "x", draw=lambda: next(draws))
    assert [is_sampled(sink.outgoing("tell", "pricer", "m")) for _ in range(4)] == [True, False, False, True]


def test_what_is_not_sampled_never_reaches_the_sdk(recording: Recording) -> None:
    sink = OtelSink(recording.sink._providers, 0.5, "x", draw=lambda: 0.7)
    unsampled = b"\x01" * 24 + b"\x02"
    files: set[str] = set()
    sys.setprofile(lambda frame, event, arg: files.add(frame.f_code.co_filename))
    try:
        context = sink.outgoing("tell", "pricer", "m")
        with sink.process(handled(context)) as nothing, sink.span("decide", "pricer", {}, new_trace=True):
            nothing.set(size=1)
        with sink.process(handled(unsampled)):
            pass
        sink.emit(DeadLettered("pricer/x", "stopped", "m", unsampled))
    finally:
        sys.setprofile(None)
    assert context == NO_CONTEXT
    assert nothing.trace_id == ""
    assert any(name.endswith("sink.py") for name in files)
    assert not [name for name in files if "opentelemetry/sdk" in name]
    assert recording.spans() == []


def test_the_flag_is_tested_as_a_bit(recording: Recording) -> None:
    context = recording.sink.outgoing("tell", "pricer", "m")
    assert context[24] & 1
    with recording.sink.process(handled(context[:24] + b"\x03")) as span:
        assert span.trace_id == context[:16].hex()


def test_the_users_current_span_is_the_parent_of_what_is_sent(
    application: TracerProvider, exported: InMemorySpanExporter
) -> None:
    sink = application_sink(application, ratio=0.01)
    with application.get_tracer("web").start_as_current_span("GET /price") as request:
        context = sink.outgoing("ask", "pricer", "m")
    found = unpack(context)
    assert (found.trace_id, found.span_id) == (
        request.get_span_context().trace_id,
        request.get_span_context().span_id,
    )
    assert [span.name for span in exported.get_finished_spans()] == ["GET /price"]


def test_a_request_that_its_own_tracer_left_out_is_left_out_here_too(recording: Recording) -> None:
    outside = TracerProvider(sampler=ALWAYS_OFF).get_tracer("web")
    with outside.start_as_current_span("GET /price"):
        assert recording.sink.outgoing("ask", "pricer", "m") == NO_CONTEXT
        with recording.sink.span("tick", "pricer", {}, new_trace=True) as span:
            assert span.trace_id == ""


def test_an_applications_provider_gets_kind_swarm_and_node_as_attributes(
    application: TracerProvider, exported: InMemorySpanExporter
) -> None:
    sink = application_sink(application)
    with sink.process(handled(sink.outgoing("tell", "pricer", "m"))):
        pass
    sent, processed = exported.get_finished_spans()
    assert sent.attributes["covey.swarm"] == "shop"
    assert processed.attributes["covey.agent.kind"] == "pricer"
    assert processed.attributes["covey.node"] == "n1"


def test_an_applications_sampler_has_the_last_word() -> None:
    sink = application_sink(TracerProvider(sampler=ALWAYS_OFF))
    assert sink.outgoing("tell", "pricer", "m") == NO_CONTEXT


def test_an_error_is_recorded_and_goes_on(recording: Recording) -> None:
    context = recording.sink.outgoing("ask", "pricer", "m")
    with pytest.raises(KeyError, match="tea"), recording.sink.process(handled(context)):
        raise KeyError("tea")
    span = recording.span("process pricer")
    assert span.status == "error"
    assert span.attributes["error.type"] == "KeyError"
    (event,) = span.events
    assert event["name"] == "exception"
    assert "raise KeyError" in event["attributes"]["exception.stacktrace"]


@pytest.mark.parametrize(
    ("error", "outcome"), [(asyncio.CancelledError(), "cancelled"), (Reject("sold out"), "rejected")]
)
def test_a_cancellation_or_a_refusal_is_no_error(
    recording: Recording, error: BaseException, outcome: str
) -> None:
    context = recording.sink.outgoing("ask", "pricer", "m")
    with pytest.raises(type(error)), recording.sink.process(handled(context)):
        raise error
    span = recording.span("process pricer")
    assert span.status == "unset"
    assert span.attributes["covey.outcome"] == outcome
    assert [event["name"] for event in span.events] == [outcome]


async def _cancelled_in_a_task(sink: OtelSink, context: bytes) -> None:
    entered = asyncio.Event()

    async def handler() -> None:
        with sink.process(handled(context)):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(handler())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_task_ends_its_span_as_cancelled(recording: Recording) -> None:
    asyncio.run(_cancelled_in_a_task(recording.sink, recording.sink.outgoing("ask", "pricer", "m")))
    assert recording.span("process pricer").attributes["covey.outcome"] == "cancelled"


def test_after_a_handler_nothing_is_current_though_it_left_a_span_open(
    recording: Recording, application: TracerProvider
) -> None:
    before = otel_context.get_current()
    with recording.sink.process(handled(recording.sink.outgoing("tell", "pricer", "m"))):
        span = application.get_tracer("user").start_span("left open")
        otel_context.attach(trace.set_span_in_context(span))
    assert otel_context.get_current() is before


def test_leaving_a_span_in_another_context_makes_no_noise(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    block = recording.sink.process(handled(recording.sink.outgoing("tell", "pricer", "m")))
    contextvars.copy_context().run(block.__enter__)
    with caplog.at_level(logging.DEBUG):
        block.__exit__(None, None, None)
    assert caplog.records == []
    assert recording.span("process pricer").status == "unset"


def test_what_was_current_before_does_not_leak_into_a_messages_trace(recording: Recording) -> None:
    context = recording.sink.outgoing("tell", "pricer", "m")
    token = otel_context.attach(otel_context.set_value("stale", "value"))
    try:
        with recording.sink.process(handled(context)):
            assert otel_context.get_value("stale") is None
        assert otel_context.get_value("stale") == "value"
    finally:
        otel_context.detach(token)


def test_a_new_trace_may_begin_in_the_past(recording: Recording) -> None:
    with recording.sink.span("tick", "pricer", {"turn": 3}, new_trace=True, start_time_s=1_000.5) as span:
        span.set(found=7)
        assert is_sampled(recording.sink.outgoing("tell", "stock", "m"))
    tick = recording.span("tick")
    assert (tick.start, tick.parent_id, tick.service) == (1_000.5, "", "pricer")
    assert tick.attributes == {"turn": 3, "found": 7}


def test_a_span_without_a_trace_is_nothing(recording: Recording) -> None:
    with recording.sink.span("decide", "pricer", {}) as span:
        span.set(found=7)
        assert span.trace_id == ""
    assert recording.spans() == []


def test_failure_and_restart_join_the_trace_of_the_message_that_caused_them(
    record: Callable[..., Recording],
) -> None:
    recording = record(clock=FixedClock())
    context = recording.sink.outgoing("tell", "pricer", "m")
    error = ValueError("bad price")
    recording.sink.emit(AgentFailed("pricer/a/b", "n1", error, "shop.Order", 1, context))
    recording.sink.emit(AgentRestarted("pricer/a/b", "n1", "supervisor/root", 2, 1.5, context))
    spans = {span.name: span for span in recording.spans()}
    assert len({span.trace_id for span in spans.values()}) == 1
    failed, restart = spans["agent failed"], spans["restart pricer"]
    assert failed.parent_id == restart.parent_id == spans["send pricer"].span_id
    assert (failed.status, failed.attributes["error.type"], failed.start) == ("error", "ValueError", 1_000.0)
    assert (restart.start, restart.duration_s, restart.service) == (998.5, 1.5, "pricer")
    assert restart.attributes["covey.supervisor"] == "supervisor/root"


def test_a_dead_letter_shows_in_its_trace_and_makes_no_service(recording: Recording) -> None:
    context = recording.sink.outgoing("tell", "pricer", "m")
    recording.sink.emit(DeadLettered("typo/x", "no host", "m", context))
    letter = recording.span("dead letter typo")
    assert letter.service == "shop"
    assert letter.attributes["covey.dead_letter.reason"] == "no host"


def test_events_outside_a_trace_become_nothing(recording: Recording) -> None:
    recording.sink.emit(AgentStarted("pricer/a", "n1"))
    recording.sink.emit(AgentRestarted("pricer/a", "n1", "root", 1, 0.5))
    recording.sink.emit(DeadLettered("pricer/a", "failed", "m"))
    assert recording.spans() == []


def test_a_failure_that_nobody_traces_gets_a_trace_with_its_restart_and_escalation(
    recording: Recording,
) -> None:
    failed = AgentFailed(
        "pricer/a", "n1", ValueError("bad"), "shop.Order", 0, b"", "root/shop", "restart", "n1-7"
    )
    recording.sink.emit(failed)
    recording.sink.emit(AgentRestarted("pricer/a", "n1", "root/shop", 1, 0.5))
    recording.sink.emit(failed)
    recording.sink.emit(AgentEscalated("root/shop", "n1", "pricer/a", ValueError("bad")))
    first, second = recording.spans()[::2]
    restart, escalation = recording.spans()[1::2]
    assert first.attributes["covey.supervisor"] == "root/shop"
    assert first.attributes["covey.supervisor.verdict"] == "restart"
    assert first.attributes["messaging.message.id"] == "n1-7"
    assert (restart.trace_id, restart.parent_id) == (first.trace_id, first.span_id)
    assert (escalation.trace_id, escalation.parent_id) == (second.trace_id, second.span_id)
    assert first.trace_id != second.trace_id
    assert (escalation.name, escalation.service, escalation.status) == ("escalate", "shop", "error")


def test_a_crash_storm_makes_no_more_traces_than_a_hundred_a_second(
    record: Callable[..., Recording],
) -> None:
    recording = record(clock=FixedClock())
    for number in range(PER_SECOND + 50):
        recording.sink.emit(AgentFailed(f"pricer/{number}", "n1", ValueError(), "m", 0))
    assert len(recording.spans()) == PER_SECOND


class RaisingProcessor(SpanProcessor):
    def on_start(self, span: object, parent_context: object = None) -> None:
        raise RuntimeError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("on_end")


def test_a_provider_that_raises_breaks_no_handler_and_says_so_once_a_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey.observability.open_span._reported", set())
    provider = TracerProvider()
    provider.add_span_processor(RaisingProcessor())
    sink = application_sink(provider)
    context = b"\x01" * 24 + b"\x01"
    assert sink.outgoing("tell", "pricer", "m") == NO_CONTEXT
    for _ in range(3):
        with sink.process(handled(context)) as span:
            span.set(size=1)
        sink.emit(AgentRestarted("pricer/a", "n1", "s", 1, 0.1, context))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert all("RuntimeError: on_start" in text for text in said)


def test_more_kinds_than_have_room_share_the_swarms_service(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey.observability.providers.MAX_KINDS", 2)
    context = recording.sink.outgoing("tell", "a", "m")
    for kind in ("a", "b", "c"):
        with recording.sink.process(handled(context, kind)):
            pass
    services = {span.name: span.service for span in recording.spans()}
    assert services == {"send a": "shop", "process a": "a", "process b": "b", "process c": "shop"}


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.sink.outgoing("tell", "pricer", "m")
    recording.sink.close(1.0)
    recording.sink.close(1.0)
    assert len(recording.spans()) == 1
