"""Monitors on real patients; the detectors are recorders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from covey import Agent, AgentRef, Child, Supervisor, Swarm
from examples.aiops.reasoning.series import HOST_TRAITS, PATIENT_TRAITS
from examples.aiops.swarm.ask_probe import AskProbe
from examples.aiops.swarm.messages import Crash, Ping, Pong, Reading
from examples.aiops.swarm.monitor import HOST, HostMonitor, Monitor, series_key
from examples.aiops.swarm.tally import READINGS
from examples.aiops.world.ward_client import Ward
from tests.examples.swarm_room import Room, surround
from tests.examples.world import eventually, tell_fault


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with Ward(patients=["api"], twin_of=None) as ward:
        yield ward


@pytest.fixture
def room(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    ward.restart("api")
    surround(monkeypatch, tmp_path, ward.registry.path)
    with Swarm.local() as swarm:
        room = Room(swarm)
        room.record("detector", [series_key("api", metric) for metric in PATIENT_TRAITS])
        yield room


def supervised(room: Room, cls: type[Agent], key: str) -> AgentRef:
    """One under a supervisor: it starts by itself."""
    room.swarm.supervise(Supervisor([Child(cls, key)]))
    return room.swarm.agent(cls, key)


def test_a_monitor_tells_every_metric_of_its_patient_to_that_series_detector(room: Room) -> None:
    supervised(room, Monitor, "api")
    room.hears("detector", Reading, 3 * len(PATIENT_TRAITS))
    for metric in PATIENT_TRAITS:
        assert len(room.heard("detector", Reading, series_key("api", metric))) >= 2, metric
    (up, *_), (memory, *_) = (
        room.heard("detector", Reading, series_key("api", metric)) for metric in ("up", "rss_mb")
    )
    assert up.value == 1.0
    assert 1.0 < memory.value < 80.0


def test_a_patient_that_hangs_is_measured_on_and_pings_are_answered_meanwhile(room: Room, ward: Ward) -> None:
    monitor = supervised(room, Monitor, "api")
    room.hears("detector", Reading, len(PATIENT_TRAITS))
    assert tell_fault(ward.registry.patient("api").port, "hang") == 202
    key = series_key("api", "up")
    assert eventually(lambda: room.heard("detector", Reading, key)[-1].value == 0.0)
    seen = len(room.heard("detector", Reading, key))
    for _ in range(10):
        assert monitor.ask(Ping(), timeout=1.0).get() == Pong(node="monitor/api")
    assert eventually(lambda: len(room.heard("detector", Reading, key)) >= seen + 3)
    times = [reading.at for reading in room.heard("detector", Reading, key)]
    assert times == sorted(set(times)), "two measurements were under way at once"


def test_every_reading_told_is_counted_also_by_a_monitor_that_crashed(room: Room) -> None:
    before = READINGS.sent
    monitor = supervised(room, Monitor, "api")
    room.hears("detector", Reading, len(PATIENT_TRAITS))
    monitor.tell(Crash())
    room.hears("detector", Reading, 5 * len(PATIENT_TRAITS))
    room.swarm.stop()
    assert READINGS.sent - before == len(room.heard("detector", Reading))
    assert room.swarm.dead_letters().counts == {"failed": 1}


def test_the_hosts_monitor_tells_its_metrics(room: Room) -> None:
    room.record("detector", [series_key(HOST, metric) for metric in HOST_TRAITS])
    supervised(room, HostMonitor, HOST)
    assert eventually(
        lambda: all(room.heard("detector", Reading, series_key(HOST, metric)) for metric in HOST_TRAITS)
    )
    memory = room.heard("detector", Reading, series_key(HOST, "memory_percent"))[0]
    assert 0.0 < memory.value < 100.0


def test_the_ask_probe_shows_its_figures_after_every_tenth_answer(room: Room) -> None:
    shown: list[tuple[int, float, float]] = []
    room.record("monitor", ["cart", "mail"], answer=lambda _ping: Pong(node="there"))
    room.swarm.spawn(
        AskProbe, "main", ["cart", "mail"], lambda it: shown.append((it.count, it.p50_ms, it.p99_ms))
    )
    assert eventually(lambda: len(shown) >= 2)
    assert [count for count, _, _ in shown[:2]] == [10, 20]
    assert all(0.0 < p50 <= p99 < 1_000.0 for _, p50, p99 in shown)
    asked = {key for key in ("cart", "mail") if room.heard("monitor", Ping, key)}
    assert asked == {"cart", "mail"}
