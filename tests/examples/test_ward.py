import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from examples.aiops.world.registry import RegistryError
from examples.aiops.world.ward_client import NAMES, Ward, WardError, order
from tests.examples.world import eventually, get, processes_of, tell_fault


@pytest.fixture
def ward() -> Iterator[Ward]:
    ward = Ward(patients=["api", "cart"], twin_of="api")
    with ward:
        yield ward
    assert eventually(lambda: not processes_of(ward.folder))
    assert not ward.folder.exists()


def test_every_patient_and_the_twin_serve_once_the_ward_has_started(ward: Ward) -> None:
    patients = ward.patients()
    assert [(each.name, each.treated) for each in patients] == [
        ("api", True),
        ("cart", True),
        ("twin", False),
    ]
    for each in patients:
        assert get(each.port)[1]["name"] == each.name
        assert each.url == f"http://127.0.0.1:{each.port}"
        assert each.starts == 1


def test_a_restarted_patient_has_a_new_process_on_its_old_port(ward: Ward) -> None:
    before = ward.registry.patient("cart")
    ward.restart("cart")
    after = ward.registry.patient("cart")
    assert get(after.port, "/health")[1]["pid"] == after.pid != before.pid
    assert (after.port, after.starts) == (before.port, 2)


def test_a_crashed_patient_is_reaped_but_not_restarted(ward: Ward) -> None:
    crashed = ward.registry.patient("api")
    assert tell_fault(crashed.port, "crash") == 202
    assert eventually(lambda: ward.registry.patient("api").pid is None)
    assert not psutil.pid_exists(crashed.pid or 0)
    with pytest.raises(ConnectionRefusedError):
        get(crashed.port)
    ward.restart("api")
    assert get(crashed.port)[0] == 200


def test_a_hung_and_a_spinning_patient_can_be_restarted(ward: Ward) -> None:
    for name, kind in (("api", "hang"), ("cart", "spin")):
        port = ward.registry.patient(name).port
        assert tell_fault(port, kind) == 202
        ward.restart(name)
        assert get(port)[0] == 200
    assert eventually(lambda: len(processes_of(ward.folder)) == 4)


def test_orders_that_make_no_sense_are_refused_and_the_ward_goes_on(ward: Ward) -> None:
    with pytest.raises(WardError, match="no patient 'nobody'; there are: api, cart, twin"):
        ward.restart("nobody")
    with pytest.raises(WardError, match="unknown order 'dance'"):
        order(ward.registry, "dance")
    with socket.create_connection(("127.0.0.1", ward.registry.ward().port), timeout=2) as connection:
        connection.sendall(b"[1, 2\n")
        assert connection.recv(10) == b""
    with socket.create_connection(("127.0.0.1", ward.registry.ward().port), timeout=2) as connection:
        connection.sendall(b'{"token": "guessed", "do": "stop"}\n')
        assert b"token" in connection.recv(1000)
    assert [each["name"] for each in order(ward.registry, "list")["patients"]] == ["api", "cart", "twin"]


def test_sigint_ends_neither_the_ward_nor_its_patients(ward: Ward) -> None:
    pids = [ward.pid, *(each.pid for each in ward.patients())]
    for pid in pids:
        os.kill(pid or 0, signal.SIGINT)
    ward.restart("cart")
    assert [get(each.port)[0] for each in ward.patients()] == [200, 200, 200]
    assert ward.registry.patient("api").pid in pids


@pytest.mark.parametrize("how", ["terminate", "stop", "kill"])
def test_nothing_is_left_when_the_ward_ends(how: str) -> None:
    with Ward(patients=["api", "cart"], twin_of=None) as ward:
        for name, kind in (("api", "hang"), ("cart", "spin")):
            assert tell_fault(ward.registry.patient(name).port, kind) == 202
        assert eventually(lambda: len(processes_of(ward.folder)) == 4)
        process = psutil.Process(ward.pid)
        if how == "stop":
            order(ward.registry, "stop")
        else:
            getattr(process, how)()
        assert eventually(lambda: not processes_of(ward.folder), 2.0)
        if how != "kill":
            assert eventually(lambda: not ward.folder.exists())
    assert not ward.folder.exists()


def test_everything_dies_with_the_process_that_started_the_ward() -> None:
    script = """
        import os, signal
        from examples.aiops.world.ward_client import Ward
        ward = Ward(patients=["api"], twin_of="api").start()
        print(ward.folder, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=20)
    assert run.returncode == -signal.SIGKILL
    folder = Path(run.stdout.decode().strip())
    assert folder.is_absolute()
    assert eventually(lambda: not processes_of(folder), 3.0)
    assert eventually(lambda: not folder.exists())


def test_patients_that_cannot_be_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="1 to 12 patients, not 0"):
        Ward(patients=[])
    with pytest.raises(ValueError, match="names of their own"):
        Ward(patients=["api", "api"])
    with pytest.raises(ValueError, match="no twin of 'cart'; choose one of: api"):
        Ward(patients=["api"], twin_of="cart")
    assert len(set(NAMES)) == 12


def test_a_ward_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    ward = Ward(patients=["api"])
    with pytest.raises(WardError, match="the ward did not start"):
        ward.start()
    assert not ward.folder.exists()


def test_the_registry_names_what_it_does_not_know(ward: Ward) -> None:
    with pytest.raises(RegistryError, match="no patient 'nobody'"):
        ward.registry.patient("nobody")
    ward.stop()
    with pytest.raises(RegistryError, match="is the ward running"):
        ward.registry.patients()
    with pytest.raises((WardError, RegistryError)):
        order(ward.registry, "list")


def test_the_registry_holds_one_json_object_for_anybody_to_read(ward: Ward) -> None:
    content = json.loads(ward.registry.path.read_text())
    assert content["ward"]["pid"] == ward.pid
    assert [each["name"] for each in content["patients"]] == ["api", "cart", "twin"]
