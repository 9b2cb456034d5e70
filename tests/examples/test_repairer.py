"""Repairers on real patients; the desk is a recorder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from covey import AgentRef, Swarm
from examples.aiops.swarm.messages import Repair, RepairDone, RepairedNews, VerifiedNews
from examples.aiops.swarm.repairer import Repairer
from examples.aiops.swarm.surroundings import Surroundings
from examples.aiops.world.journal import JournalReader, RepairEnded, RepairStarted
from examples.aiops.world.ward_client import Ward
from tests.examples.swarm_room import Room, surround
from tests.examples.world import eventually, get, tell_fault


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with Ward(patients=["api"], twin_of="api") as ward:
        yield ward


@pytest.fixture
def around(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    ward.restart("api")
    return surround(monkeypatch, tmp_path, ward.registry.path)


@pytest.fixture
def room(around: Surroundings) -> Iterator[Room]:
    with Swarm.local() as swarm:
        room = Room(swarm)
        room.record("desk")
        yield room


def repair(ref: AgentRef, remedy: str, patient: str = "api") -> RepairDone:
    answer = ref.ask(Repair(patient=patient, remedy=remedy, incident="api-1"), timeout=8.0).get()
    assert isinstance(answer, RepairDone)
    return answer


def test_a_crashed_patient_serves_again_after_a_restart_and_everybody_hears_of_it(
    room: Room, ward: Ward, around: Surroundings
) -> None:
    patient = ward.registry.patient("api")
    assert tell_fault(patient.port, "crash") == 202
    assert eventually(lambda: ward.registry.patient("api").pid is None)
    answer = repair(room.swarm.agent(Repairer, "api"), "restart")
    assert answer.ok
    assert get(patient.port)[0] == 200
    assert room.hears("desk", RepairedNews)[0].remedy == "restart"
    assert room.hears("desk", VerifiedNews)[0].ok
    started, ended = JournalReader(around.journal_path).read()
    assert isinstance(started, RepairStarted)
    assert isinstance(ended, RepairEnded)
    assert (started.remedy, ended.incident, ended.ok) == ("restart", "api-1", True)


def test_a_remedy_that_does_not_help_is_said_not_to(room: Room, ward: Ward) -> None:
    assert tell_fault(ward.registry.patient("api").port, "hang") == 202
    answer = repair(room.swarm.agent(Repairer, "api"), "kill_child")
    assert not answer.ok
    assert "no good answer" in answer.detail
    assert not room.hears("desk", VerifiedNews)[0].ok
    assert repair(room.swarm.agent(Repairer, "api"), "resume").ok


def test_the_twin_is_left_alone_whatever_is_ordered(room: Room, ward: Ward) -> None:
    before = ward.registry.patient("twin")
    answer = repair(room.swarm.agent(Repairer, "twin"), "restart", "twin")
    assert not answer.ok
    assert "untreated twin" in answer.detail
    assert ward.registry.patient("twin").pid == before.pid


def test_a_patient_that_is_not_there_is_an_answer_and_no_failure(room: Room) -> None:
    answer = repair(room.swarm.agent(Repairer, "nobody"), "restart", "nobody")
    assert not answer.ok
    assert "no patient 'nobody'" in answer.detail
    assert len(room.swarm.dead_letters()) == 0
