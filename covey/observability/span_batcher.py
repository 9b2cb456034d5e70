"""A span processor that batches, never blocks a caller, and ends within its time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

__all__ = ["Exporter", "SpanBatcher"]

_logger = logging.getLogger("covey.observability")

# What the exporters log about each retry; one sentence of ours replaces it.
_NOISY_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "urllib3.connectionpool",
)


class Exporter(Protocol):
    """What a batcher needs of an OpenTelemetry `SpanExporter`."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult | None:
        """Deliver the spans; FAILURE or an exception means that they are lost."""
        ...

    def shutdown(self) -> None:
        """Abort what is under way and let go of everything."""
        ...


class _MuteThread(logging.Filter):
    """Drops what is logged from one thread, so that a user's own exporters keep their logs."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread.ident


class SpanBatcher(SpanProcessor):
    """Hands spans to an exporter in batches, from one daemon thread that `close` ends.

    Differs from the SDK's `BatchSpanProcessor` where a program must end on time: `close` keeps its
    deadline although an export hangs or retries, and starts no thread (Python 3.12 refuses to at exit).
    At most `capacity` spans wait; what comes on top is dropped and counted. The first failure is logged
    in one sentence, no other is.
    """

    def __init__(
        self,
        exporter: Exporter,
        destination: str,
        *,
        delay_s: float = 0.25,
        capacity: int = 65_536,
        batch_size: int = 512,
    ) -> None:
        self.lost = 0
        """Spans that were dropped or not delivered, about: threads count without a lock."""
        self._exporter = exporter
        self._destination = destination
        self._delay_s = delay_s
        self._capacity = capacity
        self._batch_size = batch_size
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._aborted = False
        self._warned = False
        self._close_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="covey-traces", daemon=True)
        self._mute = _MuteThread(self._thread)
        for name in _NOISY_LOGGERS:
            logging.getLogger(name).addFilter(self._mute)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: only ended spans count."""

    def on_end(self, span: ReadableSpan) -> None:
        if self._closing or len(self._queue) >= self._capacity:
            self.lost += 1
            return
        self._queue.append(span)
        if len(self._queue) >= self._batch_size and not self._wake.is_set():
            self._wake.set()

    def shutdown(self) -> None:
        self.close(1.0)

    def close(self, timeout_s: float) -> None:
        """Export what is left and end the thread, within the time. Idempotent; never raises."""
        with self._close_lock:
            if self._closing:
                return
            self._closing = True
        self._wake.set()
        # The last fifth of the time is for the thread to notice that its export was aborted.
        self._thread.join(timeout_s * 0.8)
        self._aborted = True
        try:
            self._exporter.shutdown()
        except Exception as error:  # noqa: BLE001 - an exporter's own trouble must not stop a shutdown
            _logger.debug("the trace exporter did not shut down cleanly: %s", error)
        self._thread.join(timeout_s * 0.2)
        self.lost += len(self._queue)
        self._queue.clear()
        for name in _NOISY_LOGGERS:
            logging.getLogger(name).removeFilter(self._mute)
        if self.lost:
            self._warn(f"{self.lost} spans")

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._queue and not self._aborted:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_size))]
            problem = ""
            try:
                if self._exporter.export(batch) is SpanExportResult.FAILURE:
                    problem = "the exporter gave up"
            except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the thread lives on
                problem = f"{type(error).__name__}: {error}"
            if problem:
                self.lost += len(batch)
                self._warn("the time to shut down ran out" if self._aborted else problem)

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "some traces did not reach %s (%s): is it up? This is said once", self._destination, problem
            )
