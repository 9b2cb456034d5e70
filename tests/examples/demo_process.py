"""`covey demo aiops` as a process of a test: what it says, and what it leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import secrets
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.examples.world import eventually

__all__ = ["ROOT", "DemoProcess", "started"]

ROOT = Path(__file__).resolve().parents[2]
MARK = "COVEY_TEST_RUN"
COLUMNS, LINES = 100, 30


class DemoProcess:
    """A running demo. Everything that it starts inherits a mark in its environment, and its temporary and
    trace folders are the test's own; so what is left of it can be told from everything else."""

    def __init__(
        self, folder: Path, *options: str, tty: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        self.mark = secrets.token_hex(8)
        self.scratch = folder / "tmp"
        self.traces = folder / "traces"
        self.report_path = folder / "report.json"
        self.scratch.mkdir(parents=True)
        self.output = bytearray()
        self.errors_path = folder / "stderr"
        self.tty = tty
        command = [sys.executable, "-m", "covey.cli.main", "demo", "aiops", *options]
        if "--report" not in options:
            command += ["--report", str(self.report_path)]
        self._reading, writing = pty.openpty() if tty else os.pipe()
        if tty:
            fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        with self.errors_path.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=self._environment(environment or {}),
                stdin=writing if tty else subprocess.DEVNULL,
                stdout=writing,
                stderr=errors,
                start_new_session=True,
            )
        os.close(writing)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        colours = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
        inherited = {name: value for name, value in os.environ.items() if name not in colours}
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "PYTHONIOENCODING": "utf-8",
            "TMPDIR": str(self.scratch),
            "COVEY_TRACE_DIR": str(self.traces),
            MARK: self.mark,
            **more,
        }

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._reading, 65_536)
            except OSError:  # a pty's way to say that nobody writes any more
                data = b""
            if not data:
                os.close(self._reading)
                return
            self.output += data

    # -- what it says ------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace")

    @property
    def errors(self) -> str:
        return self.errors_path.read_text(errors="replace")

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.report_path.read_text())
        return report

    @property
    def report_lines(self) -> list[str]:
        """The report for people: what follows the last time-stamped line."""
        lines = self.text.rstrip("\n").split("\n")
        last = max(i for i, line in enumerate(lines) if re.match(r" *\d+\.\d s  ", line))
        return lines[last + 1 :]

    def says(self, words: str, deadline_s: float = 30.0) -> None:
        """Wait until it has said that; fails the test if it does not."""
        said = eventually(lambda: words in self.text or self.process.poll() is not None, deadline_s)
        assert said, f"it did not say {words!r} within {deadline_s:g} s:\n{self.text}\n{self.errors}"
        assert words in self.text, f"it ended without {words!r}:\n{self.text}\n{self.errors}"

    def ends(self, deadline_s: float) -> int:
        """Its exit status once it has ended and all its output was read."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it runs on after {deadline_s:g} s:\n{self.text}\n{self.errors}") from error
        self._reader.join(10)
        return status

    # -- what it started, and what is left ---------------------------------------------------------

    def family(self) -> list[psutil.Process]:
        """All living processes that bear its mark, itself included."""
        return list(self._marked())

    def _marked(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    yield process

    def leaves_nothing(self, deadline_s: float = 5.0) -> None:
        """Fails the test unless all its processes and temporary files are gone within the time."""
        gone = eventually(lambda: not self.family() and not any(self.scratch.iterdir()), deadline_s)
        left = [f"{process.pid} {' '.join(process.cmdline())}" for process in self.family()]
        assert gone, f"left behind: {left}, {list(self.scratch.iterdir())}"

    def signal_group(self, number: int) -> float:
        """As a terminal does it: to the whole process group. Returns the time (monotonic)."""
        os.killpg(self.process.pid, number)
        return time.monotonic()

    def clear_away(self) -> None:
        """End whatever a failed test would leave."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._reader.join(5)


@contextlib.contextmanager
def started(folder: Path, *options: str, **how: Any) -> Iterator[DemoProcess]:
    """A demo that does not outlive its test."""
    demo = DemoProcess(folder, *options, **how)
    try:
        yield demo
    finally:
        demo.clear_away()
