"""The vital signs of a patient and of the host: real measurements for monitors inside the swarm.

`/proc` and psutil reads take about 0.2 ms and run inline; only the HTTP probe waits, at most `timeout_s`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from .registry import PatientInfo, Registry

MB = 1_000_000
PROBE_TIMEOUT_S = 0.25
CPU_WINDOW_S = 0.1
"""CPU time is counted in ticks of 10 ms; a shorter window repeats the figure of the one before."""
_REQUEST = b"GET / HTTP/1.1\r\nHost: patient\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Vitals:
    """One measurement of one patient. All figures are floats, so that each can be a series."""

    patient: str
    at: float
    """`time.time()` when the measurement began."""
    up: float
    """1.0 when `GET /` was answered with 200 in time, else 0.0."""
    alive: float
    """1.0 when the process exists (a stopped one does, a zombie does not)."""
    running: float
    """1.0 when the process exists and the kernel lets it run, 0.0 when it is stopped (or gone)."""
    latency_ms: float
    """Time to the status line; the timeout when there was no answer in time or nobody to answer."""
    cpu_percent: float
    """The process and its children since the measurement before; 100 is one core, 0.0 the first time."""
    rss_mb: float
    """Resident memory of the process and its children."""
    folder_mb: float
    children: float
    """Child processes; a healthy patient has none."""


class VitalsProbe:
    """Measures one patient again and again; one per patient, as it remembers CPU times between calls.

    It reads the registry each time, so restarts are followed. Not for several threads or tasks at once.
    """

    def __init__(self, registry: Registry, name: str, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._registry = registry
        self._cpu_s: dict[int, float] = {}
        self._measured_at: float | None = None
        self._last_cpu_percent = 0.0

    async def measure(self) -> Vitals:
        """Measure now, within `timeout_s`, without blocking the loop. Raises RegistryError."""
        patient = self._registry.patient(self.name)
        at = time.time()
        return self._vitals(patient, at, *await probe(patient.port, self.timeout_s))

    def measure_blocking(self) -> Vitals:
        """The same for code with a thread of its own. Raises RegistryError."""
        patient = self._registry.patient(self.name)
        at = time.time()
        return self._vitals(patient, at, *probe_blocking(patient.port, self.timeout_s))

    def _vitals(self, patient: PatientInfo, at: float, status: int | None, latency_s: float) -> Vitals:
        processes = _tree(patient.pid)
        rss_bytes = 0
        cpu_s: dict[int, float] = {}
        for process in processes:
            try:
                rss_bytes += process.memory_info().rss
                times = process.cpu_times()
                cpu_s[process.pid] = times.user + times.system
            except psutil.Error:
                continue  # it ended while being looked at
        return Vitals(
            patient=self.name,
            at=at,
            up=float(status == 200),
            alive=float(bool(processes)),
            running=float(bool(processes) and not _is_stopped(processes[0])),
            latency_ms=latency_s * 1e3,
            cpu_percent=self._cpu_percent(cpu_s),
            rss_mb=rss_bytes / MB,
            folder_mb=folder_bytes(Path(patient.folder)) / MB,
            children=float(max(0, len(processes) - 1)),
        )

    def _cpu_percent(self, cpu_s: dict[int, float]) -> float:
        now = time.monotonic()
        if self._measured_at is None:
            self._cpu_s, self._measured_at = cpu_s, now
        elapsed_s = now - self._measured_at
        if elapsed_s >= CPU_WINDOW_S:
            # A process that was not there before has spent all its CPU time since then.
            spent_s = sum(max(0.0, total - self._cpu_s.get(pid, 0.0)) for pid, total in cpu_s.items())
            self._last_cpu_percent = 100.0 * spent_s / elapsed_s
            self._cpu_s, self._measured_at = cpu_s, now
        return self._last_cpu_percent


async def probe(port: int, timeout_s: float) -> tuple[int | None, float]:
    """GET / on a loopback port: its status, None without an answer in time, and the seconds it took."""
    started = time.monotonic()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_REQUEST)
            status = _status(await reader.readline())
    except OSError:  # TimeoutError is one
        status = None
    finally:
        if writer is not None:
            writer.close()
    return status, timeout_s if status is None else time.monotonic() - started


def probe_blocking(port: int, timeout_s: float) -> tuple[int | None, float]:
    """The same as `probe` for code with a thread of its own."""
    started = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(_REQUEST)
            connection.settimeout(max(0.001, timeout_s - (time.monotonic() - started)))
            status = _status(connection.recv(512))
    except OSError:
        status = None
    return status, timeout_s if status is None else time.monotonic() - started


def _status(answer: bytes) -> int | None:
    words = answer.split(None, 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def folder_bytes(folder: Path) -> int:
    """The size of all files below `folder`; what vanishes meanwhile does not count."""
    total = 0
    try:
        for entry in os.scandir(folder):
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
                total += folder_bytes(Path(entry)) if is_folder else entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    except FileNotFoundError:
        return total
    return total


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return True  # it ended while being looked at


def _tree(pid: int | None) -> list[psutil.Process]:
    """The process and all its descendants; empty when it is gone or only waits to be reaped."""
    if pid is None:
        return []
    try:
        root = psutil.Process(pid)
        if root.status() == psutil.STATUS_ZOMBIE:
            return []
        return [root, *descendants(root)]
    except psutil.NoSuchProcess:
        return []


def descendants(root: psutil.Process) -> list[psutil.Process]:
    """All living descendants. Linux lists children by process, which spares psutil's scan of all of them."""
    if not Path(f"/proc/{root.pid}/task/{root.pid}/children").exists():
        return root.children(recursive=True)
    found: list[psutil.Process] = []
    for pid in _child_pids(root.pid):
        try:
            child = psutil.Process(pid)
            if child.status() != psutil.STATUS_ZOMBIE:
                found += [child, *descendants(child)]
        except psutil.NoSuchProcess:
            continue
    return found


def _child_pids(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, children.read_text().split())
        except OSError:
            continue  # that thread has just ended


@dataclass(frozen=True, slots=True)
class HostVitals:
    """One measurement of the whole machine."""

    at: float
    cpu_percent: float
    """Of all cores together since the measurement before; 100 is all of them busy, 0.0 the first time."""
    memory_percent: float
    load: float
    """Processes that ran or wanted to, on average over the last minute."""


class HostProbe:
    """Measures the machine; remembers CPU times between calls. Never blocks."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def measure(self) -> HostVitals:
        """Measure now."""
        before, self._before = self._before, psutil.cpu_times()
        spent = {name: getattr(self._before, name) - getattr(before, name) for name in before._fields}
        # On Linux guest time is part of user time already.
        total = sum(seconds for name, seconds in spent.items() if not name.startswith("guest"))
        idle = spent["idle"] + spent.get("iowait", 0.0)
        return HostVitals(
            at=time.time(),
            cpu_percent=100.0 * (total - idle) / total if total > 0 else 0.0,
            memory_percent=psutil.virtual_memory().percent,
            load=os.getloadavg()[0],
        )
