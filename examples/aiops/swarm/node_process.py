"""The demo's node processes, as their owner sees them: started, waited for, ended."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from covey import CoveyError

from .surroundings import Surroundings

__all__ = ["NodeProcess"]

READY_S = 20.0
STOP_S = 1.8
"""SIGTERM gives a node this long for its agents and spans; then SIGKILL."""


class NodeProcess:
    """One node process. It dies with its owner: its stdin is a pipe that only the owner holds open."""

    def __init__(
        self, name: str, url: str, swarm: str, around: Surroundings, folder: Path, traces: Path
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.traces = "traces: off"
        command = [sys.executable, "-m", f"{__package__}.node", url, swarm, name, str(traces)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **around.to_environment()},
                start_new_session=True,  # Ctrl-C in the terminal is the owner's to handle
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, deadline: float) -> None:
        """Wait until the node serves.

        Raises:
            CoveyError: it ended or said nothing before the deadline (monotonic); with its last words.
        """
        stdout: IO[bytes] | None = self._process.stdout
        assert stdout is not None
        readable, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
        line = stdout.readline().decode() if readable else ""
        if not line.startswith("ready"):
            raise CoveyError(f"{self.name} did not start within {READY_S:g} s: {self.last_words()}")
        self.traces = line.partition("; ")[2].strip() or self.traces

    def last_words(self) -> str:
        """The last line that it logged."""
        lines = self.log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end; returns at once."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait_ended(self, deadline: float) -> None:
        """Wait for its end until the deadline (monotonic), then kill it."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
