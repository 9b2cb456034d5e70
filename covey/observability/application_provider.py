"""The tracer provider that the application has set up by itself: used as it is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from covey.framework.events import Attributes
from covey.observability import names

if TYPE_CHECKING:
    from opentelemetry import trace

__all__ = ["ApplicationProvider", "find_application_provider"]


class ApplicationProvider:
    """Tracers of the application's own provider; swarm, node and kind become attributes of each span.

    Its sampler, processors and shutdown stay the application's business.
    """

    def __init__(self, provider: trace.TracerProvider, swarm: str, node: str) -> None:
        self._tracer = provider.get_tracer(names.TRACER)
        self._identity = {names.SWARM: swarm, names.NODE: node}

    def tracer(self, kind: str) -> trace.Tracer:  # noqa: ARG002 - one tracer for all kinds
        return self._tracer

    def identity(self, kind: str) -> Attributes:
        return {**self._identity, names.AGENT_KIND: kind} if kind else self._identity

    def close(self, timeout_s: float) -> None:
        """Nothing: whoever made the provider flushes it."""


def find_application_provider() -> trace.TracerProvider | None:
    """The global tracer provider if the application has set one, else None.

    Costs nothing where the application has not even imported OpenTelemetry.
    """
    if "opentelemetry.trace" not in sys.modules and "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider
