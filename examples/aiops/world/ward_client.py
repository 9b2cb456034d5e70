"""The ward from Python: start it and own it, or give orders to a running one from any process."""

import json
import select
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from .child_python import child_command, child_environment
from .registry import PatientInfo, Registry

NAMES = ("api", "cart", "search", "mail", "auth", "img", "pay", "geo", "chat", "feed", "stock", "audit")
"""The services of the demo, the first one with a twin; `--patients N` takes the first N."""

TWIN = "twin"
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 2.0
ORDER_DEADLINE_S = 4.0


class WardError(RuntimeError):
    """The ward did not start, cannot be reached, or refused an order."""


def order(
    registry: Registry, do: str, name: str | None = None, deadline_s: float = ORDER_DEADLINE_S
) -> dict[str, Any]:
    """Have the ward of this registry do `list`, `restart` or `stop`; returns its answer once it is done.

    A patient that was restarted serves when this returns. Raises WardError, RegistryError.
    """
    ward = registry.ward()
    line = json.dumps({"token": ward.token, "do": do, "name": name}).encode() + b"\n"
    try:
        with socket.create_connection(("127.0.0.1", ward.port), timeout=deadline_s) as connection:
            connection.sendall(line)
            with connection.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline(65536))
    except (OSError, ValueError) as error:
        raise WardError(f"the ward (process {ward.pid}) gave no answer to {do!r}: {error}") from error
    if not answer["ok"]:
        raise WardError(f"the ward refused {do} {name or ''}: {answer['error']}")
    return answer


class Ward:
    """Owns a ward process with `patients` and, with `twin_of`, an untreated twin of one of them.

    A context manager; `start` and `stop` do the same. When this process dies, however it dies, the ward
    sees its standard input end and takes everything with it.
    """

    def __init__(self, patients: Sequence[str] = NAMES[:6], twin_of: str | None = NAMES[0]) -> None:
        if not 1 <= len(patients) <= len(NAMES):
            raise ValueError(f"the ward takes 1 to {len(NAMES)} patients, not {len(patients)}")
        if len(set(patients)) < len(patients) or TWIN in patients:
            raise ValueError(
                f"patients need names of their own, none of them {TWIN!r}: {', '.join(patients)}"
            )
        if twin_of is not None and twin_of not in patients:
            raise ValueError(f"there can be no twin of {twin_of!r}; choose one of: {', '.join(patients)}")
        self._patients = list(patients)
        self._twin_of = twin_of
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self.folder = Path()
        self.registry = Registry(self.folder)

    def start(self) -> Self:
        """Start the ward and wait until every patient serves. Raises WardError."""
        self.folder = Path(tempfile.mkdtemp(prefix="covey-aiops-"))
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it lives until stop
        command = [*child_command("world.ward"), "--folder", str(self.folder)]
        command += ["--patients", ",".join(self._patients)]
        command += ["--twin-of", self._twin_of] if self._twin_of else []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=child_environment(),
            start_new_session=True,
        )
        try:
            self.registry = Registry(json.loads(self._first_line(self._process))["registry"])
        except BaseException:  # a Ctrl-C must not leave a ward behind either
            self.stop()
            raise
        return self

    @property
    def pid(self) -> int | None:
        """The process id of the ward while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs, and before."""
        return None if self._process is None else self._process.poll()

    def patients(self) -> list[PatientInfo]:
        """All patients, the twin last, as the registry has them now."""
        return self.registry.patients()

    def restart(self, name: str) -> None:
        """Restart one patient; it serves again when this returns. Raises WardError."""
        order(self.registry, "restart", name)

    def stop(self) -> None:
        """End the ward, every patient and the folder, within two seconds; nothing if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()  # the kernel then kills the patients
            process.wait(STOP_DEADLINE_S)
        for pipe in (process.stdin, process.stdout, self._complaints):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes:
        """What the ward prints once all its patients serve. Raises WardError with its last words."""
        assert process.stdout is not None
        assert self._complaints is not None
        readable, _, _ = select.select([process.stdout], [], [], START_DEADLINE_S)
        line = process.stdout.readline() if readable else b""
        if not line:
            self._complaints.seek(0)
            words = self._complaints.read(4000).decode(errors="replace").strip() or "it said nothing"
            raise WardError(f"the ward did not start within {START_DEADLINE_S:g} s: {words}")
        return line

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
