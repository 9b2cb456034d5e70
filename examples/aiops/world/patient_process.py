"""One patient's process as the ward owns it: started, made ready, reaped, killed with all its children."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
KILL_DEADLINE_S = 0.5


class PatientStartError(RuntimeError):
    """A patient did not come up."""


def _die_with_the_ward() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class PatientProcess:
    """A patient that is started and ended any number of times, always on the port of its first start.

    Each life is its own process group, so that killing it takes its runaway child along. Only for the
    ward's main thread: the kernel kills a patient when the thread that started it ends.
    """

    def __init__(self, name: str, folder: Path, treated: bool) -> None:
        self.name = name
        self.folder = folder
        self.treated = treated
        self.port = 0
        self.starts = 0
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs as far as the ward knows, else None."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; it serves once `await_ready` returns."""
        script = str(Path(__file__).with_name("patient.py"))
        options = ["--name", self.name, "--port", str(self.port), "--folder", str(self.folder)]
        self.starts += 1
        self.started_at = time.time()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            preexec_fn=_die_with_the_ward if sys.platform == "linux" else None,
        )

    def await_ready(self, deadline_s: float) -> None:
        """Wait until the patient serves. Raises PatientStartError (the process is gone then)."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], deadline_s)
        line = process.stdout.readline() if readable else b""
        if not line:
            self.kill()
            raise PatientStartError(
                f"patient {self.name!r} did not come up within {deadline_s:g} s; "
                f"run {Path(__file__).with_name('patient.py')} by hand to see why"
            )
        self.port = json.loads(line)["port"]

    def reap(self) -> bool:
        """Take note of a process that ended by itself, and end what it left; True if it just did."""
        if self._process is None or self._process.poll() is None:
            return False
        self.kill()
        return True

    def kill(self) -> None:
        """End the process with all its children, stopped ones too; nothing if it is down."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # the whole group has ended already; some systems refuse to signal what only waits for us
        process.wait(KILL_DEADLINE_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
