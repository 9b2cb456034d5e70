"""The demo's node processes, as their owner sees them: started, waited for, ended."""

from __future__ import annotations

import select
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from covey import CoveyError

from ..world.child_python import child_command, child_environment
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
        self.traces = ""
        """Where it writes its traces, as it says; empty when it writes none."""
        self.has_torch = around.torch
        command = [*child_command("swarm.node"), url, swarm, name, str(traces)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**child_environment(), **around.to_environment()},
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
            late = f"{self.name} did not start within {READY_S:g} s"
            ended = self._process.poll() is not None
            raise CoveyError(f"{self.name} {self.epitaph()}" if ended else f"{late}: {self._last_words()}")
        said = line.partition("traces: ")[2].strip()
        self.traces = "" if said == "off" else said

    def epitaph(self) -> str:
        """How it ended, in a few words: by which signal, or with which status and last line of its log."""
        status = self._process.wait(STOP_S)
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with status {status}: {self._last_words()}"

    def _last_words(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            lines = []
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
        self.close()

    def close(self) -> None:
        """Close the pipes to it: its end was seen."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
