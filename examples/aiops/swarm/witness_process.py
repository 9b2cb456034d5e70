"""The witness as the demo's process sees it: a child whose JSON lines become events of the board."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..screen import board_events as events
from ..world.child_python import child_command, child_environment

__all__ = ["WitnessProcess"]

STOP_S = 2.0


class WitnessProcess:
    """Runs the witness and shows what it says; `stop` reads it to its last word."""

    def __init__(
        self, registry: Path, journal: Path, show: Callable[[events.Event], None], started_at: float
    ) -> None:
        self._show = show
        self._started_at = started_at
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it lives until stop
        command = [*child_command("world.witness"), "--registry", str(registry), "--journal", str(journal)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=child_environment(),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="witness reader", daemon=True)
        self._reader.start()

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def epitaph(self) -> str:
        """How it ended, in a few words, with the last line of its complaints."""
        self._complaints.seek(0)
        lines = self._complaints.read(4000).decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        return f"ended with status {self._process.wait(STOP_S)} ({last[:300]})"

    def stop(self) -> None:
        """End the witness and read all that it has to say."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        self._reader.join(STOP_S)
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # torn: it was killed inside it
            event = self._event(json.loads(line))
            if event is not None:
                self._show(event)

    def _event(self, said: dict[str, Any]) -> events.Event | None:
        if said["type"] == "availability":
            counts = said["patients"]
            return events.Availability(
                {name: count["ok"] for name, count in counts.items()},
                {name: count["total"] for name, count in counts.items()},
            )
        if said["type"] == "fault_ended":
            at = said["at"] - self._started_at
            return events.FaultEnded(said["fault_id"], said["kind"], said["patient"], at, said["lasted_s"])
        if said["type"] == "false_alarm":
            return events.FalseAlarm(said["patient"], said["remedy"], said["at"] - self._started_at)
        return None
