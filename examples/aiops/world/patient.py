"""One patient: a small HTTP service that does a little real work and misbehaves when told to.

Run with `python patient.py --name api --port 0 --folder DIR`. It prints one JSON line with its port once it
answers, and ends when its standard input ends. It is started by file path and imports only the standard
library, so it is up in about 50 ms and an idle one takes about 14 MB.

`GET /` does the work that users want, `GET /health` only says that the process lives, `POST /fault` with
`{"kind": ...}` breaks it. How each kind hurts `GET /`, without any pretence by the probing side:

- `leak`: memory grows by 25 MB/s up to 150 MB; above 100 MB over its start the service sheds every request
  with 503, as one behind a memory limit does.
- `spin`: a runaway child burns a core and holds the lock that the work needs; a request gives up after
  0.2 s with 503. When the child is killed the kernel frees the lock and the service is well at once.
- `slow`: every request is answered 0.4 to 0.8 s late.
- `hang`: the process stops itself (SIGSTOP); nothing answers until SIGCONT.
- `crash`: the process exits with status 70.
- `fill`: writes `spool/` full, 20 MB/s up to 80 MB; above a quota of 50 MB every request is refused with
  507. The writer stops at 80 MB or once its spool was removed.

Each fault of a kind runs at most once at a time; a restart ends any of them.
"""

import argparse
import fcntl
import json
import os
import random
import resource
import signal
import socket
import socketserver
import sys
import threading
import time
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path

MB = 1_000_000
LEAK_BYTES_PER_S, LEAK_CAP_BYTES, MEMORY_BUDGET_BYTES = 25 * MB, 150 * MB, 100 * MB
FILL_BYTES_PER_S, FILL_CAP_BYTES, FOLDER_QUOTA_BYTES = 20 * MB, 80 * MB, 50 * MB
SLOW_S = (0.4, 0.8)
STEP_S = 0.1
LOCK_WAIT_S = 0.2
MAX_THREADS = 64
BIND_DEADLINE_S = 1.0
STATUS = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 503: "Busy", 507: "Full"}

Answer = tuple[int, dict[str, object], Callable[[], None] | None]


def resident_bytes() -> int:
    """This process's resident memory; where there is no /proc, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


class Service:
    """The work of the service and the faults it was told to have. Methods may run in any thread."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.spool = folder / "spool"
        self.lock_path = folder / "work.lock"
        self.lock_path.touch()
        self._started = time.monotonic()
        self._start_bytes = resident_bytes()
        self._ballast: list[bytes] = []
        self._slow = False
        self._guard = threading.Lock()
        self._running: set[str] = set()

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer one request; the third item, if any, is to be called once the answer is on its way."""
        if (method, path) == ("GET", "/"):
            return self._work()
        if (method, path) == ("GET", "/health"):
            uptime_s = round(time.monotonic() - self._started, 3)
            return 200, {"name": self.name, "pid": os.getpid(), "uptime_s": uptime_s}, None
        if (method, path) == ("POST", "/fault"):
            return self._break(body)
        return 404, {"error": f"{method} {path} is not known; use GET /, GET /health or POST /fault"}, None

    def _work(self) -> Answer:
        if self._slow:
            time.sleep(random.uniform(*SLOW_S))
        if resident_bytes() - self._start_bytes > MEMORY_BUDGET_BYTES:
            return 503, {"error": f"{self.name} is over its memory budget"}, None
        if self._spooled_bytes() > FOLDER_QUOTA_BYTES:
            return 507, {"error": f"{self.name} is over its folder quota"}, None
        with self.lock_path.open() as lock:
            if not _shared_lock(lock.fileno(), LOCK_WAIT_S):
                return 503, {"error": f"{self.name} could not get its work lock in {LOCK_WAIT_S} s"}, None
            checksum = 0
            for item in range(200):
                checksum = zlib.crc32(str(item).encode(), checksum)
        return 200, {"name": self.name, "checksum": checksum}, None

    def _spooled_bytes(self) -> int:
        total = 0
        try:
            for entry in os.scandir(self.spool):
                total += entry.stat().st_size
        except FileNotFoundError:
            return 0
        return total

    def _break(self, body: bytes) -> Answer:
        faults: dict[str, Callable[[], None]] = {
            "leak": lambda: self._in_background("leak", self._leak),
            "spin": lambda: self._in_background("spin", self._spin),
            "fill": lambda: self._in_background("fill", self._fill),
            "slow": lambda: setattr(self, "_slow", True),
            "hang": lambda: os.kill(os.getpid(), signal.SIGSTOP),
            "crash": lambda: os._exit(70),
        }
        try:
            kind = json.loads(body)["kind"]
            fault = faults[kind]
        except (ValueError, KeyError, TypeError):
            return 400, {"error": f'send {{"kind": K}} with K one of {", ".join(sorted(faults))}'}, None
        return 202, {"fault": kind}, fault

    def _in_background(self, kind: str, run: Callable[[], None]) -> None:
        def once() -> None:
            try:
                run()
            finally:
                with self._guard:
                    self._running.discard(kind)

        with self._guard:
            if kind in self._running:
                return
            self._running.add(kind)
        threading.Thread(target=once, name=kind, daemon=True).start()

    def _leak(self) -> None:
        step = int(LEAK_BYTES_PER_S * STEP_S)
        while len(self._ballast) * step < LEAK_CAP_BYTES:
            self._ballast.append(b"x" * step)
            time.sleep(STEP_S)

    def _spin(self) -> None:
        script = str(Path(__file__).with_name("runaway.py"))
        command = [sys.executable, "-I", "-S", script, str(self.folder), str(os.getpid())]
        child = os.posix_spawn(sys.executable, command, os.environ)
        os.waitpid(child, 0)

    def _fill(self) -> None:
        self.spool.mkdir(exist_ok=True)
        chunk = os.urandom(int(FILL_BYTES_PER_S * STEP_S))
        for number in range(FILL_CAP_BYTES // len(chunk)):
            try:
                (self.spool / f"{number:03}.log").write_bytes(chunk)
            except FileNotFoundError:
                return
            time.sleep(STEP_S)


def _shared_lock(descriptor: int, wait_s: float) -> bool:
    """Take a shared lock within `wait_s`; requests share it, a runaway child holds it alone."""
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)


def read_request(stream: BufferedIOBase) -> tuple[str, str, bytes]:
    """Method, path and body of one request. Raises ValueError for what is no HTTP request."""
    method, path, _version = stream.readline(2048).decode("latin-1").split()
    length = 0
    for _ in range(64):
        name, _, value = stream.readline(2048).decode("latin-1").strip().partition(":")
        if not name:
            return method, path, stream.read(length)
        if name.lower() == "content-length":
            length = min(max(int(value), 0), 4096)
    raise ValueError("a request with more than 64 headers")


class Handler(socketserver.StreamRequestHandler):
    """One request per connection; a caller that goes silent is dropped after two seconds."""

    timeout = 2.0
    server: "Server"

    def handle(self) -> None:
        try:
            status, answer, afterwards = self.server.service.answer(*read_request(self.rfile))
            body = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} {STATUS[status]}\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            self.wfile.write(head.encode() + body)
            if afterwards is not None:
                self.request.shutdown(socket.SHUT_WR)
                afterwards()
        except (OSError, ValueError):
            return  # the caller hung up or spoke no HTTP; there is nobody to answer


class Server(socketserver.ThreadingTCPServer):
    """Serves each connection in its own daemon thread, at most `MAX_THREADS` of them."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), Handler)

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        return threading.active_count() < MAX_THREADS


def bind(service: Service, port: int) -> Server:
    """Listen on `port`, trying for a second: after a restart the old process may just be going."""
    until = time.monotonic() + BIND_DEADLINE_S
    while True:
        try:
            return Server(service, port)
        except OSError as error:
            if time.monotonic() > until:
                raise SystemExit(f"{service.name} cannot listen on 127.0.0.1:{port}: {error}") from error
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description="One patient of the aiops demo; ends when stdin ends.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free port")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    server = bind(Service(options.name, options.folder), options.port)
    threading.Thread(target=server.serve_forever, name="serve", daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    while os.read(0, 1024):
        continue


if __name__ == "__main__":
    main()
