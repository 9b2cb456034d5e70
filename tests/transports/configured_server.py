"""A real nats-server with a configuration of the test's own (users, permissions, limits)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from covey.transports import find_server_binary


class ConfiguredServer:
    def __init__(self, process: subprocess.Popen[bytes], config_path: Path, preamble: str, port: int) -> None:
        self.process = process
        self.port = port
        self._config_path = config_path
        self._preamble = preamble

    def url(self, userinfo: str = "") -> str:
        return f"nats://{userinfo + '@' if userinfo else ''}127.0.0.1:{self.port}"

    def monitored(self, page: str) -> dict[str, Any]:
        """A page of the monitoring endpoint, of a server with `http_port: -1`."""
        ports = self._config_path.parent / f"nats-server_{self.process.pid}.ports"
        url = json.loads(ports.read_bytes())["monitoring"][0]
        with urllib.request.urlopen(f"{url}/{page}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def reload(self, config: str) -> None:
        """Replace the configuration, as an operator does."""
        self._config_path.write_text(self._preamble + config)
        os.kill(self.process.pid, signal.SIGHUP)


@contextmanager
def configured_server(directory: Path, config: str) -> Iterator[ConfiguredServer]:
    config_path = directory / "server.conf"
    preamble = f'host: 127.0.0.1\nport: -1\nports_file_dir: "{directory}"\nlog_file: "{directory}/log"\n'
    config_path.write_text(preamble + config)
    process = subprocess.Popen([find_server_binary(), "-c", config_path], start_new_session=True)
    try:
        ports = directory / f"nats-server_{process.pid}.ports"
        yield ConfiguredServer(process, config_path, preamble, _port(ports, time.monotonic() + 5.0))
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(5.0)


def _port(ports: Path, deadline: float) -> int:
    while time.monotonic() < deadline:
        try:
            return int(json.loads(ports.read_bytes())["nats"][0].rpartition(":")[2])
        except (FileNotFoundError, ValueError):
            time.sleep(0.005)
    raise AssertionError(f"no nats-server after 5 s: {ports.with_name('log').read_text()}")
