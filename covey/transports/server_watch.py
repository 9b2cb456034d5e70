"""The process between a Python program and its private nats-server: it ends the server, come what may.

Run as a script of its own (the standard library only, so that it starts in milliseconds):

    python -I -S server_watch.py BINARY DIRECTORY READY_TIMEOUT_S

It starts the server, writes one line of JSON to stdout (`{"pid": ..., "url": ...}` or `{"error": ...}`),
and waits until its stdin closes or its parent is gone. Then it stops the server and removes the directory.
A closed pipe tells of a SIGKILLed parent at once; the parent's pid tells of one whose forked children
still hold the pipe. PR_SET_PDEATHSIG alone would not do: it fires when the *thread* that forked ends.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_LOOK_AT_PARENT_EVERY_S = 0.5
_STOP_WITHIN_S = 2.0


def main(binary: str, directory: str, ready_timeout_s: float) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # only the parent decides, by its pipe or its death;
        signal.signal(number, lambda *_: None)  # a handler, because the server would inherit SIG_IGN
    parent = os.getppid()
    try:
        server = _spawn(Path(binary), Path(directory))
        _say(_wait_until_ready(server, Path(directory), ready_timeout_s))
        _wait_for_end(parent)
        _stop(server)
    except OSError as error:
        _say({"error": str(error)})
        _wait_for_end(parent)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _spawn(binary: Path, directory: Path) -> subprocess.Popen[bytes]:
    with open(directory / "server.log", "ab") as log:
        return subprocess.Popen(
            [binary, "-c", directory / "server.conf"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_this_process if sys.platform == "linux" else None,
        )


def _die_with_this_process() -> None:
    """Ask Linux to kill the server if this process is killed; it has one thread, so that is safe here."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _wait_until_ready(
    server: subprocess.Popen[bytes], directory: Path, timeout_s: float
) -> dict[str, str | int]:
    ports = directory / f"nats-server_{server.pid}.ports"
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return {"error": f"it ended at once with status {server.returncode}"}
        try:
            return {"pid": server.pid, "url": json.loads(ports.read_bytes())["nats"][0]}
        except (FileNotFoundError, ValueError):  # not written yet, or half of it
            time.sleep(0.002)
    return {"error": f"it was not ready within {timeout_s:.3g} s"}


def _say(line: dict[str, str | int]) -> None:
    try:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the parent is gone already


def _wait_for_end(parent: int) -> None:
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], _LOOK_AT_PARENT_EVERY_S)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            return


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(_STOP_WITHIN_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
