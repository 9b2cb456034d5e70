"""A private nats-server for one program: started in milliseconds, and always stopped."""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from covey.framework.errors import ConfigurationError, TransportError
from covey.transports.server_binary import find_server_binary

__all__ = ["EmbeddedServer"]

_LOG_LINES_IN_ERRORS = 5


class EmbeddedServer:
    """A nats-server on 127.0.0.1 with JetStream in a private temporary directory.

    Guarantee: the server and its directory are gone when this is stopped, when the program ends and when
    it is killed, SIGKILL included (a small watching process sees to it). Ctrl-C in the terminal does not
    reach the server, so that nodes can drain first. Thread-safe; may be started again after `stop`.

    Args:
        port: a fixed port, or None for a free one.
        start_timeout_s: how long the server may take to be ready.
    """

    def __init__(self, *, port: int | None = None, start_timeout_s: float = 5.0) -> None:
        if port is not None and not 1 <= port <= 65535:
            raise ConfigurationError(f"{port} is no TCP port: choose 1 to 65535, or None for a free one")
        self._port = port
        self._start_timeout_s = start_timeout_s
        self._lock = threading.Lock()
        self._watcher: subprocess.Popen[bytes] | None = None
        self._directory = Path()
        self._url = ""
        self._pid = 0

    def start(self) -> EmbeddedServer:
        """Start the server unless it runs, and return when it accepts connections.

        Raises:
            ServerNotFoundError: there is no nats-server to start.
            TransportError: it did not start, with the last lines of its log; a taken port is named.
        """
        with self._lock:
            if self._watcher is None:
                self._start()
        return self

    def stop(self, timeout_s: float = 3.0) -> None:
        """Stop the server and remove its directory. Idempotent; never raises.

        Returns within the time; a server that takes longer is killed 2 s after it was told to stop.
        """
        with self._lock:
            if self._watcher is not None:
                self._stop(self._watcher, timeout_s)
                self._watcher = None

    @property
    def url(self) -> str:
        """`nats://127.0.0.1:<port>`."""
        self._check_started()
        return self._url

    @property
    def pid(self) -> int:
        """Process id of the nats-server."""
        self._check_started()
        return self._pid

    @property
    def log_path(self) -> Path:
        """The server's log; gone after `stop`."""
        self._check_started()
        return self._directory / "server.log"

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_started(self) -> None:
        if self._watcher is None:
            raise TransportError("the embedded nats-server is not running: call start() first")

    def _start(self) -> None:
        binary = find_server_binary()
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="covey-nats-"))
            (self._directory / "server.conf").write_text(self._config())
            watcher = self._spawn(binary)
        except OSError as error:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise TransportError(f"cannot start the nats-server {binary}: {error}") from error
        report = self._await_report(watcher)
        if "url" not in report:
            failure = self._start_error(binary, str(report["error"]))
            self._stop(watcher, timeout_s=3.0)
            raise failure
        self._watcher, self._url, self._pid = watcher, str(report["url"]), int(report["pid"])

    def _config(self) -> str:
        quoted = {name: json.dumps(str(self._directory / name)) for name in ("", "server.log", "jetstream")}
        return (
            f"host: 127.0.0.1\nport: {self._port or -1}\nports_file_dir: {quoted['']}\n"
            f"log_file: {quoted['server.log']}\njetstream {{ store_dir: {quoted['jetstream']} }}\n"
        )

    def _spawn(self, binary: Path) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("server_watch.py")
        arguments = [str(binary), str(self._directory), str(self._start_timeout_s)]
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
        )

    def _await_report(self, watcher: subprocess.Popen[bytes]) -> dict[str, str | int]:
        """What the watcher says of the server, within the time and a second for the watcher itself."""
        assert watcher.stdout is not None
        poll = select.poll()
        poll.register(watcher.stdout, select.POLLIN)
        line = watcher.stdout.readline() if poll.poll((self._start_timeout_s + 1.0) * 1000) else b""
        watcher.stdout.close()
        try:
            report: dict[str, str | int] = json.loads(line)
        except ValueError:
            return {"error": "the process that watches over it ended or hangs"}
        return report

    def _start_error(self, binary: Path, reason: str) -> TransportError:
        try:
            lines = (self._directory / "server.log").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        if self._port is not None and any("address already in use" in line for line in lines):
            return TransportError(
                f"port {self._port} is taken by another process: choose another port, or None for a free one"
            )
        tail = "\n  ".join(lines[-_LOG_LINES_IN_ERRORS:]) or "(empty)"
        return TransportError(
            f"the nats-server {binary} did not start: {reason}; the last lines of its log:\n  {tail}"
        )

    def _stop(self, watcher: subprocess.Popen[bytes], timeout_s: float) -> None:
        assert watcher.stdin is not None
        watcher.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the watcher goes on and ends by itself
            watcher.wait(timeout_s)
            shutil.rmtree(self._directory, ignore_errors=True)  # in case that someone killed the watcher
