from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import Link, SpanContext, TraceFlags

from covey.observability import RecordedSpan, newest_run, read_spans, run_folder, trace_directory
from covey.observability.jsonl import FileSpanExporter, trace_file


def ended(name: str, **attributes: str) -> ReadableSpan:
    provider = TracerProvider(resource=Resource({"service.name": "pricer", "covey.node": "n1"}))
    link = Link(SpanContext(7, 8, True, TraceFlags(1)))
    span = provider.get_tracer("test").start_span(
        name, attributes=attributes, links=[link], start_time=1_500_000_000
    )
    span.add_event("seen", {"n": 1}, timestamp=1_600_000_000)
    span.end(1_750_000_000)
    return span


def test_a_span_is_read_back_as_it_was(tmp_path: Path) -> None:
    span = ended("naïve span\n", text="line\nline")
    exporter = FileSpanExporter(trace_file(tmp_path / "new" / "folder", "n1"))
    exporter.export([span])
    exporter.shutdown()
    context = span.get_span_context()
    assert read_spans(tmp_path / "new" / "folder") == [
        RecordedSpan(
            trace_id=f"{context.trace_id:032x}",
            span_id=f"{context.span_id:016x}",
            parent_id="",
            name="naïve span\n",
            service="pricer",
            node="n1",
            start=1.5,
            duration_s=0.25,
            attributes={"text": "line\nline"},
            events=[{"name": "seen", "time": 1.6, "attributes": {"n": 1}}],
            links=[{"trace_id": f"{7:032x}", "span_id": f"{8:016x}"}],
        )
    ]


def test_the_files_of_all_nodes_are_merged(tmp_path: Path) -> None:
    for node in ("n1", "n2/b"):
        exporter = FileSpanExporter(trace_file(tmp_path, node))
        exporter.export([ended(node)])
        exporter.shutdown()
    assert [span.name for span in read_spans(tmp_path)] == ["n1", "n2/b"]


def test_a_file_and_its_predecessor_stay_within_the_bound_and_keep_the_newest(tmp_path: Path) -> None:
    path = trace_file(tmp_path, "n1")
    exporter = FileSpanExporter(path, max_bytes=10_000)
    for batch in range(30):
        exporter.export([ended(f"{batch}-{number}") for number in range(5)])
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10_000
    exporter.shutdown()
    kept = [span.name for span in read_spans(tmp_path)]
    assert {file.name for file in tmp_path.iterdir()} == {"n1.jsonl", "n1.jsonl.1"}
    assert len(kept) > 10
    assert "29-4" in kept
    assert "0-0" not in kept


def test_a_span_larger_than_the_file_may_be_is_left_out(tmp_path: Path) -> None:
    exporter = FileSpanExporter(trace_file(tmp_path, "n1"), max_bytes=4_000)
    exporter.export([ended("small"), ended("large", text="x" * 5_000), ended("small too")])
    exporter.shutdown()
    assert [span.name for span in read_spans(tmp_path)] == ["small", "small too"]


def test_lines_that_are_no_spans_are_passed_over(tmp_path: Path) -> None:
    path = trace_file(tmp_path, "n1")
    path.write_bytes(b'\xff\n[1]\n{"name": "other"}\n3\n{"trace_id": "torn')
    exporter = FileSpanExporter(path)
    exporter.export([ended("after the crash")])
    exporter.shutdown()
    assert [span.name for span in read_spans(tmp_path)] == ["after the crash"]


@pytest.mark.parametrize("meanwhile", [os.remove, lambda path: os.replace(path, f"{path}.1")])
def test_a_file_that_somebody_took_away_is_made_anew(tmp_path: Path, meanwhile) -> None:
    path = trace_file(tmp_path, "n1")
    exporter = FileSpanExporter(path)
    exporter.export([ended("before")])
    meanwhile(path)
    exporter.export([ended("after")])
    exporter.shutdown()
    assert json.loads(path.read_text())["name"] == "after"


def test_trace_files_are_for_their_owner_only(tmp_path: Path) -> None:
    path = trace_file(tmp_path, "n1")
    FileSpanExporter(path).shutdown()
    assert path.stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_there_has_no_spans(tmp_path: Path) -> None:
    assert read_spans(tmp_path / "missing") == []


def test_the_environment_names_the_folder() -> None:
    assert trace_directory({"COVEY_TRACE_DIR": "/traces"}) == Path("/traces")
    assert trace_directory({}) == Path.home() / ".cache/covey/traces"


def traces_of_run(base: Path, run: str, changed_at: float) -> Path:
    folder = run_folder(base, run)
    folder.mkdir(parents=True)
    file = folder / "n1.jsonl"
    file.write_text("{}\n")
    os.utime(file, (changed_at, changed_at))
    return folder


def test_the_newest_run_is_the_folder_whose_trace_files_changed_last(tmp_path: Path) -> None:
    assert newest_run(tmp_path / "nowhere") == tmp_path / "nowhere"
    assert newest_run(tmp_path) == tmp_path
    first = traces_of_run(tmp_path, "first", 100.0)
    second = traces_of_run(tmp_path, "second", 200.0)
    assert newest_run(tmp_path) == second
    os.utime(first / "n1.jsonl", (300.0, 300.0))
    assert newest_run(tmp_path) == first
    (tmp_path / "own.jsonl").write_text("{}\n")  # of a node that writes into the folder itself
    assert newest_run(tmp_path) == tmp_path


def test_the_oldest_runs_make_room_and_what_is_no_trace_file_stays(tmp_path: Path) -> None:
    precious = traces_of_run(tmp_path, "oldest", 1.0) / "notes.txt"
    precious.write_text("keep me")
    folders = [traces_of_run(tmp_path, f"run-{number}", 10.0 + number) for number in range(12)]
    assert [folder.exists() for folder in folders] == [False] * 4 + [True] * 8
    assert precious.read_text() == "keep me"
