from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from covey.observability.span_batcher import SpanBatcher


class Gate:
    """An exporter that holds each batch until it is opened or shut down."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.result = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        assert self.open.wait(30)
        self.batches.append(len(spans))
        return self.result

    def shutdown(self) -> None:
        self.open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def batcher(gate: Gate) -> Iterator[SpanBatcher]:
    made = SpanBatcher(gate, "a gate", delay_s=0.01, capacity=10, batch_size=4)
    yield made
    made.close(1.0)


@pytest.fixture
def end_spans(batcher: SpanBatcher) -> Callable[[int], None]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(batcher)
    tracer = provider.get_tracer("test")

    def end(count: int) -> None:
        for _ in range(count):
            tracer.start_span("x").end()

    return end


def test_a_full_queue_drops_what_comes_on_top_and_counts_it(
    gate: Gate, batcher: SpanBatcher, end_spans: Callable[[int], None]
) -> None:
    end_spans(1)
    assert gate.entered.wait(10)
    end_spans(13)
    assert batcher.lost == 3
    gate.open.set()
    batcher.close(10.0)
    assert (sum(gate.batches), batcher.lost, max(gate.batches)) == (11, 3, 4)


def test_close_aborts_an_export_that_hangs_and_counts_what_was_left(
    gate: Gate, batcher: SpanBatcher, end_spans: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    end_spans(1)
    assert gate.entered.wait(10)
    end_spans(5)
    batcher.close(0.1)
    assert batcher.lost == 5
    assert caplog.messages == ["some traces did not reach a gate (5 spans): is it up? This is said once"]


def test_failures_are_said_once(
    gate: Gate, batcher: SpanBatcher, end_spans: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    gate.result = SpanExportResult.FAILURE
    gate.open.set()
    end_spans(9)
    batcher.close(10.0)
    assert batcher.lost == 9
    assert caplog.messages == [
        "some traces did not reach a gate (the exporter gave up): is it up? This is said once"
    ]


def test_spans_that_end_after_the_close_are_counted_as_lost(
    gate: Gate, batcher: SpanBatcher, end_spans: Callable[[int], None]
) -> None:
    batcher.close(1.0)
    end_spans(2)
    assert (batcher.lost, gate.batches) == (2, [])


def test_an_exporter_that_raises_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Gate):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.batches.append(len(spans))
            if len(self.batches) == 1:
                raise OSError("no space left")
            self.open.set()
            return SpanExportResult.SUCCESS

    gate = Raising()
    batcher = SpanBatcher(gate, "a disk", delay_s=0.01, batch_size=1)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(batcher)
    for _ in range(2):
        provider.get_tracer("test").start_span("x").end()
    assert gate.open.wait(10)
    batcher.close(1.0)
    assert (gate.batches, batcher.lost) == ([1, 1], 1)
    assert "OSError: no space left" in caplog.text
