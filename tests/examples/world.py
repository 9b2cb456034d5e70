"""What the tests of the demo's outside world share: waiting for a condition, looking for what was left."""

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def eventually(condition: Callable[[], object], deadline_s: float = 5.0) -> bool:
    """Whether the condition comes true within the deadline."""
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def processes_of(folder: Path) -> list[psutil.Process]:
    """All living processes that were started with this folder: ward, patients, runaway children."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and any(str(folder) in word for word in process.info["cmdline"] or [])
    ]


def get(port: int, path: str = "/", timeout_s: float = 2.0) -> tuple[int, dict[str, object]]:
    """Status and JSON of a GET."""
    return _request(port, "GET", path, None, timeout_s)


def tell_fault(port: int, kind: str) -> int:
    """POST a fault to a patient; its status."""
    return _request(port, "POST", "/fault", json.dumps({"kind": kind}), 2.0)[0]


def _request(
    port: int, method: str, path: str, body: str | None, timeout_s: float
) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
