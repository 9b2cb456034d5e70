"""The decision centre, with repairers, detectors and the desk as recorders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from covey import AgentDeadError, AgentRef, Swarm
from covey.observability import group_traces, read_spans
from examples.aiops.reasoning.incident import IncidentBook
from examples.aiops.reasoning.series import PATIENT_TRAITS
from examples.aiops.swarm.decision_centre import NO_REPAIR, DecisionCentre
from examples.aiops.swarm.messages import (
    Anomaly,
    Crash,
    DecidedNews,
    DetectedNews,
    GaveUpNews,
    Relearn,
    Repair,
    RepairDone,
)
from examples.aiops.swarm.monitor import series_key
from tests.examples.swarm_room import Room, surround
from tests.examples.world import eventually

Answer = Callable[[Any], Any]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    surround(monkeypatch, tmp_path)
    with Swarm.local(trace_ratio=1.0, trace_directory=tmp_path) as swarm:
        room = Room(swarm)
        room.record("desk")
        room.record("detector", [series_key("api", metric) for metric in PATIENT_TRAITS])
        yield room


def centre(room: Room, answer: Answer | None = None) -> AgentRef:
    room.record("repairer", ["api", "cart"], answer or done(True))
    return room.swarm.agent(DecisionCentre, "main")


def done(*oks: bool) -> Answer:
    """A repairer's answers, the last of them for ever."""
    left = list(oks)
    return lambda _order: RepairDone(ok=left.pop(0) if len(left) > 1 else left[0], detail="", took_s=0.01)


def anomaly(metric: str, direction: str = "high", *, patient: str = "api", over: bool = False) -> Anomaly:
    return Anomaly(
        patient=patient,
        metric=metric,
        direction="" if over else direction,
        decided_by="torch",
        severity=3.0,
        at=time.time(),
        over=over,
    )


def test_a_decisive_anomaly_is_repaired_with_the_remedy_of_its_cause(room: Room) -> None:
    centre(room).tell(anomaly("folder_mb"))
    (order,) = room.hears("repairer", Repair)
    assert (order.patient, order.remedy) == ("api", "free_folder")
    (detected,) = room.hears("desk", DetectedNews)
    (decided,) = room.hears("desk", DecidedNews)
    assert (detected.incident, detected.metric, detected.decided_by) == (order.incident, "folder_mb", "torch")
    assert (decided.incident, decided.cause, decided.attempt) == (order.incident, "fill", 1)
    assert room.heard("detector", Relearn) == []


def test_the_anomalies_of_one_patient_are_one_incident_and_one_repair(room: Room) -> None:
    ref = centre(room)
    for metric, direction in (("latency_ms", "high"), ("up", "low"), ("latency_ms", "high")):
        ref.tell(anomaly(metric, direction))
    (order,) = room.hears("repairer", Repair)
    assert order.remedy == "restart"
    assert {news.incident for news in room.hears("desk", DetectedNews, 2)} == {order.incident}
    assert [news.metric for news in room.heard("desk", DetectedNews)] == ["latency_ms", "up"]
    assert len(room.heard("repairer", Repair)) == 1


def test_after_a_restart_the_patients_detectors_learn_anew(room: Room) -> None:
    centre(room).tell(anomaly("alive", "low"))
    room.hears("detector", Relearn, len(PATIENT_TRAITS))
    keys = [series_key("api", metric) for metric in PATIENT_TRAITS]
    assert [len(room.heard("detector", Relearn, key)) for key in keys] == [1] * len(keys)


def test_patients_are_repaired_at_the_same_time_but_one_patient_never_twice(room: Room) -> None:
    ref = centre(room)
    for patient in ("api", "cart"):
        for metric in ("rss_mb", "folder_mb", "rss_mb"):
            ref.tell(anomaly(metric, patient=patient))
    room.hears("repairer", Repair, 2)
    assert sorted(order.patient for order in room.heard("repairer", Repair)) == ["api", "cart"]


def test_a_remedy_that_does_not_help_is_followed_by_the_next(room: Room) -> None:
    centre(room, done(False, True)).tell(anomaly("folder_mb"))
    first, second = room.hears("repairer", Repair, 2)
    assert (first.remedy, second.remedy) == ("free_folder", "restart")
    assert first.incident == second.incident
    assert [news.attempt for news in room.hears("desk", DecidedNews, 2)] == [1, 2]
    assert room.heard("desk", GaveUpNews) == []


def test_it_gives_up_loudly_when_nothing_helps(room: Room) -> None:
    centre(room, done(False)).tell(anomaly("folder_mb"))
    (given_up,) = room.hears("desk", GaveUpNews)
    tried = [order.remedy for order in room.heard("repairer", Repair)]
    assert given_up.patient == "api"
    assert given_up.why
    assert len(set(tried)) > 1
    assert given_up.incident == room.heard("desk", DetectedNews)[0].incident


def test_an_order_that_died_with_its_node_is_given_again(room: Room) -> None:
    answers: list[Answer] = [dead, dead, done(True)]
    centre(room, lambda order: answers.pop(0)(order)).tell(anomaly("folder_mb"))
    orders = room.hears("repairer", Repair, 3)
    assert [order.remedy for order in orders] == ["free_folder"] * 3
    assert len(room.hears("desk", DecidedNews)) == 1
    assert eventually(lambda: not answers)


def dead(_order: Any) -> None:
    raise AgentDeadError("repairer/api", "its node left")


def test_a_centre_that_crashed_with_an_incident_open_sees_it_through_once_it_is_reminded(room: Room) -> None:
    answers: list[Answer] = [slowly, done(True)]
    ref = centre(room, lambda order: answers.pop(0)(order))
    ref.tell(anomaly("folder_mb"))
    room.hears("repairer", Repair)
    ref.tell(Crash())
    ref.tell(anomaly("folder_mb"))  # the detector's reminder
    first, second = room.hears("repairer", Repair, 2)
    assert (first.patient, first.remedy) == (second.patient, second.remedy)
    assert first.incident != second.incident, "the new centre counts from 1 again"
    assert [news.incident for news in room.hears("desk", DecidedNews, 2)] == [first.incident, second.incident]
    assert room.heard("desk", GaveUpNews) == []


async def slowly(_order: Any) -> RepairDone:
    await asyncio.sleep(0.5)  # the centre crashes meanwhile
    return RepairDone(ok=True, detail="", took_s=0.3)


def test_what_passes_by_itself_is_not_repaired(room: Room) -> None:
    ref = centre(room)
    ref.tell(anomaly("latency_ms"))
    ref.tell(anomaly("latency_ms", over=True))
    ref.tell(anomaly("folder_mb"))
    (order,) = room.hears("repairer", Repair)
    assert order.remedy == "free_folder", "the incident that passed was repaired"
    assert len(room.hears("desk", DetectedNews, 2)) == 2


def test_what_lasts_after_a_repair_that_seemed_to_help_is_repaired_again(room: Room) -> None:
    ref = centre(room)
    ref.tell(anomaly("rss_mb"))
    room.hears("detector", Relearn, len(PATIENT_TRAITS))  # the last step: the incident is closed
    closed_at = time.monotonic()
    ref.tell(anomaly("rss_mb"))  # an echo
    assert eventually(lambda: time.monotonic() - closed_at > IncidentBook().quiet_s)
    ref.tell(anomaly("folder_mb", patient="cart"))  # its cycle finds that the quiet time is over
    assert eventually(lambda: any(order.patient == "cart" for order in room.heard("repairer", Repair)))
    ref.tell(anomaly("rss_mb"))  # the detector's reminder
    assert eventually(lambda: len([each for each in room.heard("repairer") if each.patient == "api"]) == 2)
    assert len({news.incident for news in room.heard("desk", DetectedNews) if news.patient == "api"}) == 2


def test_where_nobody_may_repair_an_incident_is_given_up_once_until_it_passes(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surround(monkeypatch, tmp_path, repair=False)
    ref = centre(room)
    for _ in range(3):
        ref.tell(anomaly("folder_mb"))
    assert room.hears("desk", GaveUpNews)[0].why == NO_REPAIR
    ref.tell(anomaly("folder_mb"))
    ref.tell(anomaly("folder_mb", over=True))
    ref.tell(anomaly("rss_mb"))
    first, second = room.hears("desk", GaveUpNews, 2)
    assert first.incident != second.incident
    assert [news.metric for news in room.heard("desk", DetectedNews)] == ["folder_mb", "rss_mb"]
    assert room.heard("repairer") == []


def test_an_incident_is_one_trace_with_the_phases_of_its_decision(room: Room, tmp_path: Path) -> None:
    centre(room, done(False, True)).tell(anomaly("folder_mb"))
    decided = room.hears("desk", DecidedNews, 2)
    room.swarm.stop()
    (trace,) = [
        trace for trace in group_traces(read_spans(tmp_path)) if trace.trace_id == decided[0].trace_id
    ]
    assert decided[1].trace_id == trace.trace_id
    phases = [span.name for span in trace.spans if span.service == "decision_centre"]
    cycle = ["observe", "decide", "diagnose", "act", "update"]
    assert phases == ["incident folder_mb", "process decision_centre", *cycle, *cycle]
    diagnosed = [span.attributes for span in trace.spans if span.name == "diagnose"]
    assert [(each["patient"], each["remedy"]) for each in diagnosed] == [
        ("api", "free_folder"),
        ("api", "restart"),
    ]
