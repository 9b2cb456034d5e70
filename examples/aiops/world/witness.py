"""The witness: a process outside the swarm that alone decides what was available, repaired, a false alarm.

Run with `python -m ... --registry FILE --journal FILE`. It shares only the registry and the journal with the
rest: it probes with its own sockets (10 times a second and patient, 0.3 s each) and looks at processes and
folders with its own code (4 times a second). It prints JSON lines, times being `time.time()`:

- `availability`, every 0.5 s: per patient the probes answered with 200 in time, of all, since the start;
- `fault_ended`: an injected fault is over, by the rule of `witness_case`;
- `false_alarm`: a repair started while no fault was active on that patient, nor had been 1 s before;
- `summary`, last: every fault (with `ended_at` null if it is not over), availability, false alarms.

It ends with its summary at SIGTERM, when its standard input ends and when its parent dies. SIGINT is ignored.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

from .journal import FaultInjected, JournalReader, RepairStarted
from .registry import PatientInfo, Registry, RegistryError
from .witness_case import PROBE_TIMEOUT_S, Examination, Probe, WitnessCase

PROBE_PERIOD_S = 0.1
EXAMINE_PERIOD_S = 0.25
MB = 1_000_000
_REQUEST = b"GET / HTTP/1.1\r\nHost: witness\r\n\r\n"


class Witness:
    """Watches all patients of a registry until `stop` is set; everything runs in one event loop."""

    def __init__(self, registry: Registry, journal: JournalReader) -> None:
        self._registry = registry
        self._journal = journal
        self._cases = {each.name: WitnessCase(each.name, each.treated) for each in registry.patients()}
        self._false_alarms = 0
        self._parent = os.getppid()
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Watch until told to stop, then print the summary."""
        async with asyncio.TaskGroup() as watching:
            for number, patient in enumerate(self._registry.patients()):
                # Out of step with each other, so that probes do not queue for the CPU all at once.
                offset_s = PROBE_PERIOD_S * number / len(self._cases)
                watching.create_task(self._probe_forever(patient, offset_s, watching))
            rounds = 0
            while not await self._stopped_within(EXAMINE_PERIOD_S):
                self._examine()
                rounds += 1
                if rounds % 2 == 0:
                    self._print("availability", patients=self._availability())
        self._examine()
        self._summarise()

    async def _probe_forever(self, patient: PatientInfo, offset_s: float, tasks: asyncio.TaskGroup) -> None:
        """Start a probe each period, whether the one before has its answer or not: an outage weighs as much
        as health. At most four are under way, as each has its timeout."""
        case = self._cases[patient.name]
        due = time.monotonic() + offset_s
        while not await self._stopped_within(max(0.0, due - time.monotonic())):
            tasks.create_task(self._probe(case, patient.port))
            due = max(due + PROBE_PERIOD_S, time.monotonic())

    async def _probe(self, case: WitnessCase, port: int) -> None:
        at = time.time()
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await loop.sock_connect(connection, ("127.0.0.1", port))
                    await loop.sock_sendall(connection, _REQUEST)
                    answer = await loop.sock_recv(connection, 64)
            except OSError:  # TimeoutError is one
                answer = b""
        case.probed(Probe(at, time.time(), answer.startswith(b"HTTP/1.1 200")))

    def _examine(self) -> None:
        """Look at every process and folder, read the journal, and draw the conclusions."""
        if os.getppid() != self._parent:
            self.stop.set()
        try:
            patients = self._registry.patients()
        except RegistryError:  # the ward has ended, and with it there is nothing left to watch
            self.stop.set()
            return
        children = _children()
        for patient in patients:
            self._cases[patient.name].examined(_examination(patient, children))
        for entry in self._journal.read():
            case = self._cases.get(entry.patient)
            if case is None:
                continue
            if isinstance(entry, FaultInjected):
                case.injected(entry.fault_id, entry.kind, entry.at)
            elif isinstance(entry, RepairStarted) and case.is_false_alarm(entry.at):
                self._false_alarms += 1
                self._print("false_alarm", patient=entry.patient, remedy=entry.remedy, at=entry.at)
        for case in self._cases.values():
            for fault in case.ended(time.time()):
                self._print(
                    "fault_ended",
                    fault_id=fault.fault_id,
                    kind=fault.kind,
                    patient=fault.patient,
                    at=fault.ended_at,
                    lasted_s=fault.lasted_s,
                )

    def _summarise(self) -> None:
        faults = [
            {
                "fault_id": fault.fault_id,
                "kind": fault.kind,
                "patient": fault.patient,
                "treated": case.treated,
                "at": fault.at,
                "ended_at": fault.ended_at,
                "lasted_s": fault.lasted_s,
            }
            for case in self._cases.values()
            for fault in case.faults
        ]
        faults.sort(key=lambda fault: str(fault["fault_id"]))
        self._print(
            "summary", faults=faults, availability=self._availability(), false_alarms=self._false_alarms
        )

    def _availability(self) -> dict[str, dict[str, int]]:
        return {name: {"ok": case.ok, "total": case.total} for name, case in self._cases.items()}

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return False
        return True

    def _print(self, event: str, /, **fields: Any) -> None:
        try:
            print(json.dumps({"type": event, **fields}), flush=True)
        except BrokenPipeError:
            # Nobody reads any more; without this the interpreter would complain again when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.stop.set()


def _children() -> dict[int, list[psutil.Process]]:
    """All processes of the machine by parent, in one pass."""
    children: dict[int, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter(["ppid", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE:
            children[process.info["ppid"]].append(process)
    return children


def _examination(patient: PatientInfo, children: dict[int, list[psutil.Process]]) -> Examination:
    at = time.time()
    alive, rss_mb = _resident_mb(patient.pid)
    offspring = [_resident_mb(child.pid) for child in children[patient.pid]] if patient.pid and alive else []
    return Examination(
        at=at,
        alive=alive,
        starts=patient.starts,
        rss_mb=rss_mb + sum(child_mb for _, child_mb in offspring),
        children=sum(child_alive for child_alive, _ in offspring),
        folder_mb=_folder_mb(patient.folder),
    )


def _resident_mb(pid: int | None) -> tuple[bool, float]:
    """Whether the process lives, and its memory."""
    try:
        process = None if pid is None else psutil.Process(pid)
        if process is None or process.status() == psutil.STATUS_ZOMBIE:
            return False, 0.0
        return True, process.memory_info().rss / MB
    except psutil.NoSuchProcess:
        return False, 0.0


def _folder_mb(folder: str) -> float:
    size_bytes = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                size_bytes += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue  # removed meanwhile
    return size_bytes / MB


async def watch(registry: Registry, journal: JournalReader) -> None:
    """Run a witness until SIGTERM or the end of standard input."""
    witness = Witness(registry, journal)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, witness.stop.set)

    def read_to_the_end() -> None:
        while os.read(0, 1024):
            continue
        try:
            loop.call_soon_threadsafe(witness.stop.set)
        except RuntimeError:
            return  # the loop has ended for another reason

    threading.Thread(target=read_to_the_end, name="stdin", daemon=True).start()
    await witness.run()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Watches the patients of the aiops demo; ends when stdin ends."
    )
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True, help="need not exist yet")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(watch(Registry(options.registry), JournalReader(options.journal)))


if __name__ == "__main__":
    main()
