from __future__ import annotations

import logging
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from covey.framework.errors import ConfigurationError
from covey.framework.events import AgentRestarted, HandledMessage
from covey.observability import OtelSink, read_spans, setup
from tests.observability.receivers import Received, attributes, grpc_receiver, http_receiver


def converse(sink: OtelSink) -> str:
    """One small conversation; returns its trace id."""
    context = sink.outgoing("ask", "pricer", "shop.Order")
    with sink.process(
        HandledMessage("pricer", "eu", "shop.Order", "n1-1", "", context, 0.0, True, True)
    ) as span:
        sink.emit(AgentRestarted("stock/tea", "n1", "root", 1, 0.5, context))
        return span.trace_id


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PATH": "", "PYTHONPATH": ":".join(filter(None, sys.path)), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("receiver", "protocol"), [(grpc_receiver, "grpc"), (http_receiver, "http/protobuf")]
)
def test_a_real_otlp_receiver_gets_the_spans(
    receiver: Callable[[], Received], protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as received:
        url = f"http://127.0.0.1:{received.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        sink = setup("shop", "n1", ratio=1.0)
        assert sink is not None
        assert sink.destination == f"traces: OTLP {url}, ratio 1.0"
        trace_id = converse(sink)
        sink.close(5.0)
        spans = {(service, span.name): span for service, span in received.wait_for(3)}
    assert set(spans) == {("shop", "send pricer"), ("pricer", "process pricer"), ("stock", "restart stock")}
    assert {span.trace_id.hex() for span in spans.values()} == {trace_id}
    root, child = spans["shop", "send pricer"], spans["pricer", "process pricer"]
    assert child.parent_span_id == root.span_id
    assert (root.kind, child.kind) == (4, 5)
    assert attributes(child)["messaging.destination.name"] == "pricer/eu"


def test_spans_arrive_without_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{received.port}")
        sink = setup("shop", "n1", ratio=1.0)
        assert sink is not None
        try:
            converse(sink)
            assert len(received.wait_for(3)) == 3
        finally:
            sink.close(1.0)


def test_a_local_collector_is_preferred_to_a_file(tmp_path: Path) -> None:
    with http_receiver() as received:
        sink = setup(
            "shop", "n1", ratio=1.0, directory=tmp_path, local_ports={"http/protobuf": received.port}
        )
        assert sink is not None
        converse(sink)
        sink.close(5.0)
        received.wait_for(3)
    assert list(tmp_path.iterdir()) == []


def test_without_a_collector_spans_go_to_the_file_of_the_node(tmp_path: Path) -> None:
    sink = setup("shop", "n/1", ratio=0.5, directory=tmp_path, local_ports={"grpc": free_port()})
    assert sink is not None
    assert sink.destination == f"traces: file {tmp_path / 'n%2F1.jsonl'}, ratio 0.5"
    sink.ratio = 1.0
    converse(sink)
    sink.close(5.0)
    assert len(read_spans(tmp_path)) == 3


def test_nothing_is_traced_when_there_is_nowhere_to_send_it() -> None:
    assert setup("shop", "n1", ratio=1.0, local_ports={"grpc": free_port()}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("COVEY_TRACE_RATIO", "0"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ],
)
def test_tracing_can_be_switched_off(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert setup("shop", "n1", default_ratio=1.0, directory=tmp_path, local_ports={}) is None


def test_a_bad_ratio_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"the trace ratio is 2\.0"):
        setup("shop", "n1", ratio=2.0)


def test_a_folder_that_cannot_be_written_costs_traces_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert setup("shop", "n1", ratio=1.0, directory=tmp_path / "file" / "x", local_ports={}) is None
    assert "COVEY_TRACE_DIR" in caplog.text


def test_importing_the_room_does_not_import_opentelemetry() -> None:
    done = run_python(
        """
        import sys
        import covey.observability
        assert covey.observability.setup("shop", "n1", ratio=1.0, local_ports={}) is None
        loaded = [name for name in sys.modules if name.startswith(("opentelemetry", "grpc", "requests"))]
        print(loaded)
        """
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_the_applications_own_global_provider_is_used_as_it_is() -> None:
    done = run_python(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        from covey.observability import setup
        sink = setup("shop", "n1", ratio=1.0)
        sink.outgoing("tell", "pricer", "m")
        sink.close(1.0)
        print(sink.destination, [span.name for span in exporter.get_finished_spans()])
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "traces: the application's own TracerProvider, ratio 1.0 ['send pricer']"


FORGOTTEN_SINK = """
    import time
    from covey.observability import setup
    sink = setup("shop", "n1", ratio=1.0)
    for _ in range(2000):
        sink.outgoing("tell", "pricer", "m")
    print("done", flush=True)
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_program_ends_quietly_though_its_collector_is_gone(protocol: str) -> None:
    done = run_python(
        FORGOTTEN_SINK,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    (only_line,) = done.stderr.splitlines()
    assert only_line.startswith("some traces did not reach OTLP http://127.0.0.1:")


def test_a_program_ends_though_its_collector_accepts_and_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = run_python(
            FORGOTTEN_SINK, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.getsockname()[1]}"
        )
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert len(done.stderr.splitlines()) == 1


def test_spans_of_a_sink_that_nobody_closed_are_written_at_exit(tmp_path: Path) -> None:
    done = run_python(
        f"""
        from pathlib import Path
        from covey.observability import setup
        sink = setup("shop", "n1", ratio=1.0, directory=Path({str(tmp_path)!r}), local_ports={{}})
        for _ in range(100):
            sink.outgoing("tell", "pricer", "m")
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_spans(tmp_path)) == 100


def test_only_our_own_exports_are_muted(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    theirs = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    sink = setup("shop", "n1", ratio=1.0, directory=tmp_path, local_ports={})
    assert sink is not None
    theirs.warning("from the application's own exporter")
    sink.close(1.0)
    assert caplog.messages == ["from the application's own exporter"]
    assert theirs.filters == []
