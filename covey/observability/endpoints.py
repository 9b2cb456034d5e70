"""Where OTLP traces can go: what the environment says, else a collector that answers on this machine."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["LOCAL_PORTS", "Endpoint", "OtlpProtocol", "answers", "configured_endpoint", "find_endpoint"]

OtlpProtocol = Literal["grpc", "http/protobuf"]

# HTTP first: of two that answer (Jaeger listens on both) it is the one whose exporter loads faster.
LOCAL_PORTS: Mapping[OtlpProtocol, int] = {"http/protobuf": 4318, "grpc": 4317}

_TRACES_PATH = "/v1/traces"
_logger = logging.getLogger("covey.observability")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OTLP receiver: what people read, and what an exporter takes."""

    url: str
    protocol: OtlpProtocol
    export_url: str


def find_endpoint(
    environ: Mapping[str, str],
    *,
    ports: Mapping[OtlpProtocol, int] = LOCAL_PORTS,
    deadline_s: float = 0.05,
) -> Endpoint | None:
    """The configured endpoint as it is, else the first local port that accepts a connection, else None.

    Ports are tried before any exporter is made, because an exporter without a collector costs retries
    and seconds at exit. Takes at most `deadline_s` for each port and address of localhost.
    """
    if (configured := configured_endpoint(environ)) is not None:
        return configured
    wanted = _configured_protocol(environ)
    for protocol, port in ports.items():
        if wanted in (None, protocol) and answers("localhost", port, deadline_s):
            url = f"http://localhost:{port}"
            return Endpoint(url, protocol, url if protocol == "grpc" else url + _TRACES_PATH)
    return None


def configured_endpoint(environ: Mapping[str, str]) -> Endpoint | None:
    """The endpoint that the `OTEL_EXPORTER_OTLP_*` variables name, or None.

    `_TRACES_ENDPOINT` is taken literally, `_ENDPOINT` is a base, as the OTLP specification has it. Without
    `_PROTOCOL`, port 4317 means gRPC and everything else HTTP.
    """
    exact = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    url = exact or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if not url:
        return None
    authority = url.partition("://")[2] or url
    by_port: OtlpProtocol = "grpc" if authority.partition("/")[0].endswith(":4317") else "http/protobuf"
    protocol = _configured_protocol(environ) or by_port
    if protocol == "grpc" or exact:
        return Endpoint(url, protocol, url)
    return Endpoint(url, protocol, url.rstrip("/") + _TRACES_PATH)


def _configured_protocol(environ: Mapping[str, str]) -> OtlpProtocol | None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = environ.get(name, "").strip().lower()
        if value == "grpc":
            return "grpc"
        if value == "http/protobuf":
            return "http/protobuf"
        if value:
            _logger.warning("%s=%s is not supported: use grpc or http/protobuf", name, value)
    return None


def answers(host: str, port: int, deadline_s: float) -> bool:
    """Whether something accepts TCP connections there, within the deadline for each address of the host."""
    try:
        with socket.create_connection((host, port), timeout=deadline_s):
            return True
    except OSError:
        return False
