import socket
from collections.abc import Iterator

import pytest

from covey.observability.endpoints import Endpoint, configured_endpoint, find_endpoint


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            Endpoint("http://c:4318", "http/protobuf", "http://c:4318/v1/traces"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
            Endpoint("http://c:4317", "grpc", "http://c:4317"),
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}, Endpoint("c:4317", "grpc", "c:4317")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            Endpoint("http://c:9", "grpc", "http://c:9"),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/in",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            Endpoint("http://t/in", "http/protobuf", "http://t/in"),
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
    ],
)
def test_the_environment_names_the_endpoint_as_the_otlp_specification_has_it(environ, endpoint) -> None:
    assert configured_endpoint(environ) == endpoint


def test_a_configured_endpoint_is_taken_although_nothing_answers_there_yet(
    silent: int, listening: int
) -> None:
    found = find_endpoint(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent}"}, ports={"http/protobuf": listening}
    )
    assert found is not None
    assert found.url == f"http://127.0.0.1:{silent}"


def test_a_collector_that_answers_on_this_machine_is_found(listening: int, silent: int) -> None:
    found = find_endpoint({}, ports={"http/protobuf": silent, "grpc": listening})
    assert found == Endpoint(f"http://localhost:{listening}", "grpc", f"http://localhost:{listening}")


def test_only_the_port_of_the_configured_protocol_is_tried(listening: int) -> None:
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert find_endpoint(environ, ports={"http/protobuf": listening}) is None


def test_where_nothing_answers_there_is_no_endpoint(silent: int) -> None:
    assert find_endpoint({}, ports={"http/protobuf": silent, "grpc": silent}) is None


def test_an_unknown_protocol_is_named_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    found = configured_endpoint(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    )
    assert found is not None
    assert found.protocol == "http/protobuf"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json" in caplog.text
