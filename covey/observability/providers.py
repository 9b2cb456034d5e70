"""Tracer providers: one `service.name` per kind of agent, or the provider that the user has set up."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Protocol

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from covey.framework.events import Attributes
from covey.observability import names
from covey.observability.span_batcher import Exporter, SpanBatcher

__all__ = ["KindProviders", "Providers"]

MAX_KINDS = 256
"""Kinds with a service of their own; any more share the swarm's, so that memory stays bounded."""

_MAX_ATTRIBUTE_LENGTH = 16_384
_EXIT_TIMEOUT_S = 1.0


class Providers(Protocol):
    """Where a sink gets its tracers."""

    def tracer(self, kind: str) -> trace.Tracer:
        """The tracer for spans of this kind of agent; the empty kind is code outside of agents."""
        ...

    def identity(self, kind: str) -> Attributes:
        """What each span must say of its agent because the tracer's resource does not."""
        ...

    def close(self, timeout_s: float) -> None:
        """Export what is left, within the time. Idempotent; never raises."""
        ...


class KindProviders:
    """One provider per kind of agent over one shared batcher, so that Jaeger draws kinds as services.

    Samples everything that it is asked for: the sink decides before, where a trace begins.
    """

    def __init__(self, swarm: str, node: str, exporter: Exporter, destination: str) -> None:
        self._batcher = SpanBatcher(exporter, destination)
        self._resource = Resource.create(
            {
                names.SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or swarm,
                names.SERVICE_NAMESPACE: swarm,
                names.SERVICE_INSTANCE_ID: f"{node}/{os.getpid()}",
                names.SWARM: swarm,
                names.NODE: node,
            }
        )
        self._limits = _span_limits()
        self._lock = threading.Lock()
        self._tracers: dict[str, trace.Tracer] = {"": self._make(self._resource)}
        atexit.register(self.close, _EXIT_TIMEOUT_S)

    def tracer(self, kind: str) -> trace.Tracer:
        found = self._tracers.get(kind)
        return found if found is not None else self._add(kind)

    def identity(self, kind: str) -> Attributes:  # noqa: ARG002 - each kind's resource says it all
        return {}

    def close(self, timeout_s: float) -> None:
        atexit.unregister(self.close)
        self._batcher.close(timeout_s)

    def _add(self, kind: str) -> trace.Tracer:
        with self._lock:
            if kind not in self._tracers:
                if len(self._tracers) > MAX_KINDS:
                    return self._tracers[""]
                self._tracers[kind] = self._make(self._resource.merge(Resource({names.SERVICE_NAME: kind})))
            return self._tracers[kind]

    def _make(self, resource: Resource) -> trace.Tracer:
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, span_limits=self._limits
        )
        provider.add_span_processor(self._batcher)
        return provider.get_tracer(names.TRACER)


def _span_limits() -> SpanLimits:
    """The SDK's limits and, unless the environment sets its own, one for the length of a traceback."""
    if os.environ.get("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        return SpanLimits()
    return SpanLimits(max_attribute_length=_MAX_ATTRIBUTE_LENGTH)
