from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from covey.observability import OtelSink, RecordedSpan, read_spans, setup


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "COVEY_TRACE")):
            monkeypatch.delenv(name)


class Recording:
    """A sink that writes into a folder, and what it wrote."""

    def __init__(self, directory: Path, ratio: float = 1.0, **options: object) -> None:
        self.directory = directory
        sink = setup("shop", "n1", ratio=ratio, directory=directory, local_ports={}, **options)
        assert sink is not None
        self.sink: OtelSink = sink

    def spans(self) -> list[RecordedSpan]:
        """Everything that the sink recorded; closes it."""
        self.sink.close(5.0)
        return read_spans(self.directory)

    def span(self, name: str) -> RecordedSpan:
        (found,) = [span for span in self.spans() if span.name == name]
        return found


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    found = Recording(tmp_path)
    yield found
    found.sink.close(1.0)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Makes a recording with options of its own."""
    made: list[Recording] = []

    def make(**options: object) -> Recording:
        made.append(Recording(tmp_path, **options))
        return made[-1]

    yield make
    for found in made:
        found.sink.close(1.0)
