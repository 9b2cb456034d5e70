import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from examples.aiops.world import patient as patient_module
from examples.aiops.world.faults import FaultKind
from examples.aiops.world.patient import Service
from tests.examples.world import eventually, get, processes_of, tell_fault


class Running:
    """A patient process of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [
            sys.executable,
            "-I",
            "-S",
            patient_module.__file__,
            "--name",
            "api",
            "--folder",
            str(folder),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port: int = json.loads(self.process.stdout.readline())["port"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    try:
        yield running
    finally:
        running.close()
    assert eventually(lambda: not processes_of(tmp_path))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and folder limits a tenth of the real ones, reached ten times as often."""
    monkeypatch.setattr(patient_module, "STEP_S", 0.01)
    monkeypatch.setattr(patient_module, "LEAK_BYTES_PER_S", 500_000_000)
    monkeypatch.setattr(patient_module, "LEAK_CAP_BYTES", 40_000_000)
    monkeypatch.setattr(patient_module, "MEMORY_BUDGET_BYTES", 20_000_000)
    monkeypatch.setattr(patient_module, "FILL_BYTES_PER_S", 100_000_000)
    monkeypatch.setattr(patient_module, "FILL_CAP_BYTES", 8_000_000)
    monkeypatch.setattr(patient_module, "FOLDER_QUOTA_BYTES", 5_000_000)


def tell(service: Service, kind: str) -> None:
    status, _, afterwards = service.answer("POST", "/fault", json.dumps({"kind": kind}).encode())
    assert status == 202
    assert afterwards is not None
    afterwards()


def status_of(service: Service) -> int:
    return service.answer("GET", "/", b"")[0]


def test_a_healthy_patient_does_its_work_and_says_that_it_lives(api: Running) -> None:
    status, answer = get(api.port)
    assert (status, answer["name"]) == (200, "api")
    assert get(api.port, "/health")[1]["pid"] == api.process.pid


def test_unknown_requests_and_faults_are_refused_by_name(api: Running) -> None:
    status, answer = get(api.port, "/elsewhere")
    assert status == 404
    assert "/elsewhere" in str(answer["error"])
    assert tell_fault(api.port, "headache") == 400
    assert get(api.port)[0] == 200


def test_bytes_that_are_no_http_do_not_disturb_the_service(api: Running) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=2) as connection:
        connection.sendall(b"\x00\xff nonsense\n\n")
        assert connection.recv(10) == b""
    assert get(api.port)[0] == 200


def test_a_patient_takes_exactly_the_kinds_of_fault_that_there_are(tmp_path: Path) -> None:
    _, answer, _ = Service("api", tmp_path).answer("POST", "/fault", b"{}")
    known = str(answer["error"]).split(" one of ")[1].split(", ")
    assert sorted(known) == sorted(FaultKind)


def test_a_leaking_patient_sheds_requests_above_its_budget_and_stops_at_its_cap(
    tmp_path: Path, quick: None
) -> None:
    service = Service("api", tmp_path)
    tell(service, "leak")
    assert eventually(lambda: status_of(service) == 503)
    assert eventually(lambda: not service._running)
    assert sum(map(len, service._ballast)) == 40_000_000


def test_a_filling_patient_refuses_requests_until_its_spool_is_removed(tmp_path: Path, quick: None) -> None:
    service = Service("api", tmp_path)
    tell(service, "fill")
    assert eventually(lambda: status_of(service) == 507)
    assert eventually(lambda: not service._running)
    service.spool.rename(tmp_path / "away")
    assert status_of(service) == 200


def test_the_writer_of_a_filling_patient_stops_when_its_spool_is_removed(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_module, "FILL_CAP_BYTES", 10**12)
    service = Service("api", tmp_path)
    tell(service, "fill")
    assert eventually(lambda: service.spool.exists() and any(service.spool.iterdir()))
    service.spool.rename(tmp_path / "away")
    assert eventually(lambda: not service._running)
    assert not service.spool.exists()


def test_a_spinning_patient_answers_503_until_its_child_is_killed(api: Running) -> None:
    assert tell_fault(api.port, "spin") == 202
    assert eventually(lambda: get(api.port)[0] == 503)
    (child,) = psutil.Process(api.process.pid).children()
    assert child.nice() == 10
    child.kill()
    assert eventually(lambda: get(api.port)[0] == 200, 1.0)
    assert eventually(lambda: not psutil.Process(api.process.pid).children())


def test_a_runaway_child_dies_with_its_patient(api: Running) -> None:
    assert tell_fault(api.port, "spin") == 202
    assert eventually(lambda: get(api.port)[0] == 503)
    api.process.kill()
    api.process.wait()
    assert eventually(lambda: not processes_of(api.folder), 2.0)


def test_a_slow_patient_answers_correctly_but_late(api: Running) -> None:
    def is_late() -> bool:
        before = time.monotonic()
        assert get(api.port)[0] == 200
        return time.monotonic() - before >= 0.4

    assert tell_fault(api.port, "slow") == 202
    assert eventually(is_late)  # a fault begins once its request has been answered


def test_a_hanging_patient_goes_on_after_sigcont(api: Running) -> None:
    assert tell_fault(api.port, "hang") == 202
    process = psutil.Process(api.process.pid)
    assert eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    with pytest.raises(TimeoutError):
        get(api.port, timeout_s=0.2)
    process.send_signal(signal.SIGCONT)
    assert get(api.port)[0] == 200


def test_a_crashing_patient_exits_with_status_70(api: Running) -> None:
    assert tell_fault(api.port, "crash") == 202
    assert api.process.wait(2) == 70


def test_a_patient_ends_when_its_standard_input_ends(api: Running) -> None:
    assert api.process.stdin is not None
    api.process.stdin.close()
    assert api.process.wait(2) == 0


def test_a_patient_whose_port_is_taken_says_so(api: Running, tmp_path: Path) -> None:
    command = [sys.executable, patient_module.__file__, "--name", "cart", "--folder", str(tmp_path / "cart")]
    second = subprocess.run([*command, "--port", str(api.port)], capture_output=True, text=True, timeout=5)
    assert second.returncode == 1
    assert f"cart cannot listen on 127.0.0.1:{api.port}" in second.stderr
