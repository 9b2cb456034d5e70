"""The ward: one process that owns all patients, as an init system owns services.

It starts the patients, keeps the registry, restarts a patient when told to, and reaps what died; it never
restarts a crashed patient by itself, since that is the agents' work. It takes orders over loopback TCP: one
JSON line `{"token": T, "do": "list" | "restart" | "stop", "name": N}` for one line of answer, a
connection each.

It ends everything (patients, their runaway children, its folder) within a second when it gets SIGTERM or
`stop`, when its standard input ends, and when its parent dies. If the ward itself is killed, the kernel
kills the patients. It ignores SIGINT, as do the patients: the process that a Ctrl-C is for ends the ward.

Everything happens in the main thread: on Linux a patient is tied to the *thread* that started it, and would
die with it.
"""

import argparse
import json
import os
import secrets
import select
import shutil
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from .patient_process import PatientProcess, PatientStartError
from .registry import PatientInfo, Registry, WardInfo

REGISTRY_FILE = "registry.json"
TURN_S = 0.1
ORDER_DEADLINE_S = 0.5
START_DEADLINE_S = 5.0
RESTART_DEADLINE_S = 2.0


class Ward:
    """Owns the patients of `names`, plus an untreated twin of `twin_of` if that is given."""

    def __init__(self, folder: Path, names: list[str], twin_of: str | None) -> None:
        self.folder = folder
        self.registry = Registry(folder / REGISTRY_FILE)
        treated = dict.fromkeys(names, True)
        if twin_of is not None:
            treated["twin"] = False
        self._processes = {name: PatientProcess(name, folder / name, treated[name]) for name in treated}
        self._orders = socket.create_server(("127.0.0.1", 0))
        self._info = WardInfo(os.getpid(), self._orders.getsockname()[1], secrets.token_hex(16))
        self._parent = os.getppid()

    def open(self) -> None:
        """Start every patient and write the registry. Raises PatientStartError."""
        for process in self._processes.values():
            process.start()
        for process in self._processes.values():
            process.await_ready(START_DEADLINE_S)
        self._record()

    def run(self) -> None:
        """Serve orders until told to stop, until standard input ends or until the parent is gone."""
        while os.getppid() == self._parent:
            ready, _, _ = select.select([self._orders, sys.stdin], [], [], TURN_S)
            if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1024):
                return
            if [process for process in self._processes.values() if process.reap()]:
                self._record()
            if self._orders in ready and not self._serve_one():
                return

    def close(self) -> None:
        """Kill every patient with its children and remove the folder."""
        self._orders.close()
        for process in self._processes.values():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _serve_one(self) -> bool:
        """Carry out one order; False when it was to stop. A caller that misbehaves is dropped."""
        connection, _ = self._orders.accept()
        with connection:
            connection.settimeout(ORDER_DEADLINE_S)
            try:
                with connection.makefile("rb") as stream:
                    order = json.loads(stream.readline(4096))
                answer = self._carry_out(order)
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except (OSError, ValueError, AttributeError) as error:
                print(f"ward: dropped an order: {error}", file=sys.stderr, flush=True)
                return True
        return bool(answer.get("going_on", True))

    def _carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        if order.get("token") != self._info.token:
            return {"ok": False, "error": "the token is not the one in the registry; read it there"}
        name = order.get("name")
        match order.get("do"):
            case "list":
                return {"ok": True, "patients": [asdict(_info(each)) for each in self._processes.values()]}
            case "stop":
                return {"ok": True, "going_on": False}
            case "restart" if name in self._processes:
                return self._restart(self._processes[name])
            case "restart":
                return {"ok": False, "error": f"no patient {name!r}; there are: {', '.join(self._processes)}"}
            case other:
                return {"ok": False, "error": f"unknown order {other!r}; use list, restart or stop"}

    def _restart(self, process: PatientProcess) -> dict[str, Any]:
        process.kill()
        try:
            process.start()
            process.await_ready(RESTART_DEADLINE_S)
        except PatientStartError as error:
            return {"ok": False, "error": str(error)}
        finally:
            self._record()
        return {"ok": True}

    def _record(self) -> None:
        self.registry.write(self._info, [_info(process) for process in self._processes.values()])


def _info(process: PatientProcess) -> PatientInfo:
    return PatientInfo(
        name=process.name,
        pid=process.pid,
        port=process.port,
        url=f"http://127.0.0.1:{process.port}",
        folder=str(process.folder),
        treated=process.treated,
        starts=process.starts,
        started_at=process.started_at,
    )


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Owns the patients of the aiops demo; ends when stdin ends.")
    parser.add_argument("--folder", type=Path, required=True, help="made if need be; removed at the end")
    parser.add_argument("--patients", required=True, help="names, separated by commas")
    parser.add_argument("--twin-of", default=None, help="the patient that gets an untreated twin")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    options.folder.mkdir(parents=True, exist_ok=True)
    ward = Ward(options.folder, options.patients.split(","), options.twin_of)
    try:
        ward.open()
        print(json.dumps({"registry": str(ward.registry.path)}), flush=True)
        ward.run()
    except PatientStartError as error:
        raise SystemExit(f"ward: {error}") from error
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ward.close()


if __name__ == "__main__":
    main()
