import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from examples.aiops.world.vitals import HostProbe, VitalsProbe, folder_bytes
from examples.aiops.world.ward_client import Ward
from tests.examples.world import eventually, processes_of, tell_fault


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with Ward(patients=["api", "cart", "search"], twin_of=None) as ward:
        yield ward
    assert eventually(lambda: not processes_of(ward.folder))


def test_a_healthy_patient_measures_well_from_a_loop_and_from_a_thread(ward: Ward) -> None:
    api = VitalsProbe(ward.registry, "api")
    for vitals in (asyncio.run(api.measure()), api.measure_blocking()):
        assert (vitals.patient, vitals.up, vitals.alive, vitals.children) == ("api", 1.0, 1.0, 0.0)
        assert 0 < vitals.latency_ms < 250
        assert 5 < vitals.rss_mb < 30
        assert vitals.folder_mb == 0


def test_a_hung_patient_does_not_hold_the_loop(ward: Ward) -> None:
    port = ward.registry.patient("cart").port
    assert tell_fault(port, "hang") == 202
    stopped = psutil.Process(ward.registry.patient("cart").pid)
    assert eventually(lambda: stopped.status() == psutil.STATUS_STOPPED)

    async def measure_with_company() -> tuple[float, float, float, int]:
        turns = 0
        measuring = asyncio.create_task(VitalsProbe(ward.registry, "cart", timeout_s=0.2).measure())
        while not measuring.done():
            await asyncio.sleep(0.005)
            turns += 1
        vitals = await measuring
        return vitals.up, vitals.alive, vitals.latency_ms, turns

    up, alive, latency_ms, turns = asyncio.run(measure_with_company())
    assert (up, alive, latency_ms) == (0.0, 1.0, 200.0)
    assert turns >= 10
    ward.restart("cart")


def test_a_crashed_patient_is_not_alive_and_a_restarted_one_is_followed(ward: Ward) -> None:
    cart = VitalsProbe(ward.registry, "cart")
    assert cart.measure_blocking().alive == 1.0
    assert tell_fault(ward.registry.patient("cart").port, "crash") == 202
    assert eventually(lambda: cart.measure_blocking().alive == 0.0)
    gone = cart.measure_blocking()
    assert (gone.up, gone.rss_mb, gone.latency_ms) == (0.0, 0.0, 250.0)
    assert eventually(lambda: cart.measure_blocking().cpu_percent == 0.0)
    ward.restart("cart")
    assert cart.measure_blocking().up == 1.0


def test_a_runaway_child_counts_as_the_patients_own(ward: Ward) -> None:
    search = VitalsProbe(ward.registry, "search")
    alone = search.measure_blocking()
    assert tell_fault(ward.registry.patient("search").port, "spin") == 202
    assert eventually(lambda: search.measure_blocking().children == 1.0)
    assert eventually(lambda: search.measure_blocking().up == 0.0)
    assert eventually(lambda: search.measure_blocking().cpu_percent > 20)
    spinning = search.measure_blocking()
    assert spinning.children == 1.0
    assert spinning.rss_mb > alone.rss_mb + 3
    ward.restart("search")


def test_measurements_within_the_cpu_window_repeat_the_figure_before(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.aiops.world.vitals.CPU_WINDOW_S", 60.0)
    api = VitalsProbe(ward.registry, "api")
    assert {api.measure_blocking().cpu_percent for _ in range(100)} == {0.0}


def test_a_folder_is_measured_to_its_depth_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep").write_bytes(b"x" * 1000)
    (tmp_path / "flat").write_bytes(b"x" * 500)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert folder_bytes(tmp_path) - os.lstat(tmp_path / "loop").st_size == 1500
    assert folder_bytes(tmp_path / "nowhere") == 0


def test_the_host_measures_within_its_bounds() -> None:
    host = HostProbe()
    assert eventually(lambda: host.measure().cpu_percent > 0)
    vitals = host.measure()
    assert 0 <= vitals.cpu_percent <= 100
    assert 0 < vitals.memory_percent < 100
    assert vitals.load >= 0
