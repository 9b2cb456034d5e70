"""Spans in files: one JSON object a line, one bounded file per node, read back from a whole folder."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from covey.framework.address import escape_token
from covey.observability import names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

__all__ = [
    "FileSpanExporter",
    "RecordedSpan",
    "newest_run",
    "read_spans",
    "run_folder",
    "trace_directory",
    "trace_file",
]

KEPT_RUNS = 8
"""Folders of runs that are kept beside the newest one."""

MAX_BYTES = 20_000_000
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """One span as a line of a trace file has it."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    parent_id: str
    """16 hex digits; empty for the root of a trace."""
    name: str
    service: str
    node: str
    start: float
    """Seconds since the epoch, by the clock of the span's node."""
    duration_s: float
    status: str = "unset"
    """`unset`, `ok` or `error`."""
    kind: str = "internal"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    """Each with `name`, `time` (seconds since the epoch) and `attributes`."""
    links: Sequence[Mapping[str, str]] = ()
    """Each with `trace_id` and `span_id`."""

    @property
    def end(self) -> float:
        return self.start + self.duration_s

    @property
    def failed(self) -> bool:
        return self.status == "error"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def trace_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for trace files: `$COVEY_TRACE_DIR`, else `~/.cache/covey/traces`."""
    configured = environ.get("COVEY_TRACE_DIR", "").strip()
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "covey" / "traces"


def run_folder(base: Path, run: str) -> Path:
    """The folder for the traces of one run, so that runs do not mix; old runs' folders are removed.

    Only folders that hold trace files and nothing else are removed.
    """
    try:
        runs = sorted((path for path in base.iterdir() if path.is_dir()), key=_changed_at)
    except OSError:
        runs = []
    for old in runs[: -(KEPT_RUNS - 1)]:
        for file in old.glob("*.jsonl*"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds something else, or another run removes it too
            old.rmdir()
    return base / run


def newest_run(base: Path) -> Path:
    """Of the folder and the runs' folders in it, the one whose trace files changed last."""
    try:
        runs = [path for path in base.iterdir() if path.is_dir()]
    except OSError:
        runs = []
    return max([base, *runs], key=_changed_at)


def _changed_at(folder: Path) -> float:
    times = []
    for file in folder.glob("*.jsonl*"):
        with contextlib.suppress(OSError):
            times.append(file.stat().st_mtime)
    return max(times, default=0.0)


def trace_file(directory: Path, node: str) -> Path:
    """Where this node writes; its older half lies beside it with `.1` appended."""
    return directory / f"{escape_token(node)[:_MAX_NAME]}.jsonl"


class FileSpanExporter:
    """Appends spans to a file that, together with its `.1`, never exceeds `max_bytes`.

    At half of that the file replaces its `.1`. Lines are appended whole, so that a reader, or a second
    process of the same name, disturbs nothing. Called from one thread at a time.

    Raises:
        OSError: the file cannot be made or written.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._limit_bytes = max_bytes // 2
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._opened()

    def export(self, spans: Sequence[ReadableSpan]) -> None:
        if not self._is_current():
            self._file.close()
            self._file = self._opened()
        size_bytes = os.fstat(self._file.fileno()).st_size
        pending: list[bytes] = []
        for span in spans:
            line = json.dumps(_recorded(span).to_json(), separators=(",", ":"), default=str).encode() + b"\n"
            if len(line) > self._limit_bytes:
                continue
            if size_bytes + len(line) > self._limit_bytes:
                self._append(pending)
                pending, size_bytes = [], 0
                self._rotate()
            pending.append(line)
            size_bytes += len(line)
        self._append(pending)

    def shutdown(self) -> None:
        self._file.close()

    def _append(self, lines: list[bytes]) -> None:
        if lines:
            self._file.write(b"".join(lines))

    def _rotate(self) -> None:
        self._file.close()
        os.replace(self._path, self._path.with_name(self._path.name + ".1"))
        self._file = self._opened()

    def _is_current(self) -> bool:
        """Whether the path still names the open file: another process may have rotated or removed it."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def _opened(self) -> BinaryIO:
        # Readable by their owner only: spans quote errors and addresses.
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "ab", buffering=0)
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes and os.pread(descriptor, 1, size_bytes - 1) != b"\n":
            file.write(b"\n")  # the last writer was killed inside a line
        return file


def _recorded(span: ReadableSpan) -> RecordedSpan:
    context: SpanContext = span.get_span_context()  # type: ignore[assignment]
    start_ns, end_ns = span.start_time or 0, span.end_time or 0
    return RecordedSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else "",
        name=span.name,
        service=str(span.resource.attributes.get(names.SERVICE_NAME, "")),
        node=str(span.resource.attributes.get(names.NODE, "")),
        start=start_ns / 1e9,
        duration_s=(end_ns - start_ns) / 1e9,
        status=span.status.status_code.name.lower(),
        kind=span.kind.name.lower(),
        attributes=dict(span.attributes or {}),
        events=[
            {"name": event.name, "time": event.timestamp / 1e9, "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
        links=[
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
    )


def read_spans(directory: Path) -> list[RecordedSpan]:
    """All spans of all nodes that wrote into this folder; none if there is no such folder.

    Lines that are no spans (torn by a kill, or somebody else's) are passed over.
    """
    paths = [*directory.glob("*.jsonl.1"), *directory.glob("*.jsonl")]
    return [span for path in sorted(paths) for span in _read_file(path)]


def _read_file(path: Path) -> Iterator[RecordedSpan]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield RecordedSpan(**json.loads(line))
                except (ValueError, TypeError):
                    continue
    except FileNotFoundError:
        return  # rotated away since the folder was listed
