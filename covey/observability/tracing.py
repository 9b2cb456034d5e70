"""Decides where a node's traces go, and makes the sink that sends them there."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from covey.framework.clock import Clock
from covey.observability.application_provider import ApplicationProvider, find_application_provider
from covey.observability.endpoints import LOCAL_PORTS, Endpoint, OtlpProtocol, find_endpoint
from covey.observability.jsonl import MAX_BYTES, FileSpanExporter, trace_file
from covey.observability.sampling import resolve_ratio

if TYPE_CHECKING:
    from covey.observability.sink import OtelSink
    from covey.observability.span_batcher import Exporter

__all__ = ["DEFAULT_RATIO", "setup"]

DEFAULT_RATIO = 0.01

_logger = logging.getLogger("covey.observability")


def setup(
    swarm: str,
    node: str,
    *,
    ratio: float | None = None,
    default_ratio: float = DEFAULT_RATIO,
    directory: Path | None = None,
    max_bytes: int = MAX_BYTES,
    system: str = "nats",
    clock: Clock | None = None,
    local_ports: Mapping[OtlpProtocol, int] = LOCAL_PORTS,
) -> OtelSink | None:
    """The sink for this node, or None where nothing is to be traced; its `destination` says what was chosen.

    In this order: None if `OTEL_SDK_DISABLED` or a ratio of 0 says so; the application's own global
    tracer provider; OTLP to what `OTEL_EXPORTER_OTLP_*` names, or to a collector that answers on this
    machine; a file `<node>.jsonl` in `directory`, at most `max_bytes` with its predecessor; else None.
    OpenTelemetry is imported only where there is somewhere to send to. The caller closes the sink; one
    that it forgot is flushed at exit, within a second.

    Raises:
        ConfigurationError: `ratio`, `default_ratio` or `COVEY_TRACE_RATIO` is no number from 0 to 1.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    provider = find_application_provider()
    ratio = resolve_ratio(ratio, default_ratio, os.environ, read_otel_sampler=provider is None)
    if ratio == 0.0:
        return None
    if provider is not None:
        from covey.observability.sink import OtelSink

        where = _sentence(f"the application's own {type(provider).__name__}", ratio)
        return OtelSink(ApplicationProvider(provider, swarm, node), ratio, where, system=system, clock=clock)
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    if (found := _exporter(node, directory, max_bytes, local_ports)) is None:
        return None
    exporter, destination = found
    from covey.observability.providers import KindProviders
    from covey.observability.sink import OtelSink

    providers = KindProviders(swarm, node, exporter, destination)
    return OtelSink(providers, ratio, _sentence(destination, ratio), system=system, clock=clock)


def _sentence(destination: str, ratio: float) -> str:
    return f"traces: {destination}, ratio {ratio}"


def _exporter(
    node: str, directory: Path | None, max_bytes: int, local_ports: Mapping[OtlpProtocol, int]
) -> tuple[Exporter, str] | None:
    if (endpoint := find_endpoint(os.environ, ports=local_ports)) is not None:
        return _otlp_exporter(endpoint), f"OTLP {endpoint.url}"
    if directory is None:
        return None
    path = trace_file(directory, node)
    try:
        return FileSpanExporter(path, max_bytes), f"file {path}"
    except OSError as error:
        _logger.warning(
            "nothing is traced: %s cannot be written (%s); point COVEY_TRACE_DIR at a folder that can",
            path,
            error.strerror,
        )
        return None


def _otlp_exporter(endpoint: Endpoint) -> Exporter:
    """The SDK's exporter; headers, certificates, compression and timeouts it takes from `OTEL_*` itself."""
    if endpoint.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=endpoint.export_url)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(endpoint=endpoint.export_url)
