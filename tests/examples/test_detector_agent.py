"""Detectors, with the forecaster, the decision centre and the desk as recorders."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from covey import AgentRef, Swarm
from covey.observability import group_traces, read_spans
from examples.aiops.swarm import detector
from examples.aiops.swarm.detector import Detector
from examples.aiops.swarm.messages import (
    Anomaly,
    Crash,
    Explain,
    Prediction,
    Reading,
    Relearn,
    VerdictNews,
    Window,
)
from examples.aiops.swarm.tally import READINGS
from tests.examples.swarm_room import Room, surround
from tests.examples.world import eventually

PERIOD_S = 0.2


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    surround(monkeypatch, tmp_path)
    with Swarm.local(trace_ratio=1.0, trace_directory=tmp_path) as swarm:
        room = Room(swarm)
        room.record("decision_centre")
        room.record("desk")
        yield room


class Series:
    """Feeds one detector, 0.2 s between values by their own time stamps."""

    def __init__(self, room: Room, key: str = "api.rss_mb") -> None:
        self.detector: AgentRef = room.swarm.agent(Detector, key)
        self._times = (1_000.0 + PERIOD_S * number for number in count())

    def tell(self, value: float, times: int = 1) -> None:
        for _ in range(times):
            self.detector.tell(Reading(value=value, at=next(self._times)))


def good_model(window: Any) -> Prediction:
    return Prediction(known=True, mean=window.values[-1], scale=window.unit)


def test_a_jump_is_told_to_the_centre_once_with_its_direction_and_the_model_that_decided(room: Room) -> None:
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.tell(60.0, 5)
    (anomaly,) = room.hears("decision_centre", Anomaly)
    assert (anomaly.patient, anomaly.metric, anomaly.direction) == ("api", "rss_mb", "high")
    assert (anomaly.decided_by, anomaly.over) == ("torch", False)
    assert anomaly.severity > 1.0
    window = room.heard("forecaster", Window)[0]
    assert (window.series, set(window.values), window.calm) == ("api.rss_mb", {20.0}, True)


def test_the_baseline_decides_while_the_model_is_loaded(room: Room) -> None:
    room.record("forecaster", answer=lambda _window: Prediction(known=False))
    series = Series(room)
    series.tell(20.0, 30)
    series.tell(60.0, 5)
    assert room.hears("decision_centre", Anomaly)[0].decided_by == "baseline"


def test_a_model_that_does_not_answer_is_left_alone_and_the_baseline_decides(room: Room) -> None:
    def fails(_window: Any) -> None:
        raise RuntimeError("no answer")

    room.record("forecaster", answer=fails)
    series = Series(room)
    series.tell(20.0, 40)
    series.tell(60.0, 5)
    assert room.hears("decision_centre", Anomaly)[0].decided_by == "baseline"
    assert len(room.heard("forecaster", Window)) <= 2


def test_where_no_node_runs_the_model_nobody_asks_for_it(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surround(monkeypatch, tmp_path, forecaster=False)
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.tell(60.0, 5)
    assert room.hears("decision_centre", Anomaly)[0].decided_by == "baseline"
    assert room.heard("forecaster") == []
    assert len(room.swarm.dead_letters()) == 0


def test_the_centre_is_reminded_while_it_lasts_and_told_when_it_is_over(room: Room) -> None:
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.tell(60.0, 2 + int(4.5 / PERIOD_S))
    series.tell(20.0, 5)
    told = room.hears("decision_centre", Anomaly, 4)
    assert [anomaly.over for anomaly in told] == [False, False, False, True]


def test_after_relearn_a_new_level_is_normal(room: Room) -> None:
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.detector.tell(Relearn())
    series.tell(60.0, 30)
    series.tell(20.0, 2)
    series.tell(95.0, 3)
    (anomaly,) = room.hears("decision_centre", Anomaly)
    assert anomaly.severity < 5.0, "judged by the old level"


def test_an_injected_crash_is_one_dead_letter_and_what_was_learned_survives_it(room: Room) -> None:
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.detector.tell(Crash())
    series.tell(60.0, 5)
    assert room.hears("decision_centre", Anomaly)[0].decided_by == "torch"
    assert room.swarm.dead_letters().counts == {"failed": 1}


def test_a_detector_that_crashes_while_it_lasts_reminds_the_centre_on(room: Room) -> None:
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.tell(60.0, 2 + int(2.5 / PERIOD_S))
    series.detector.tell(Crash())
    series.tell(60.0, int(2.0 / PERIOD_S))
    series.tell(20.0, 5)
    told = room.hears("decision_centre", Anomaly, 4)
    assert [anomaly.over for anomaly in told] == [False, False, False, True]


def test_every_reading_is_counted_as_handled_or_as_a_dead_letter(room: Room) -> None:
    room.record("forecaster", answer=good_model)
    before = READINGS.counts()
    room.swarm.dead_letters().subscribe(READINGS.note)
    series = Series(room)
    series.tell(20.0, 30)
    series.detector.tell(Crash())
    series.tell(20.0, 30)
    series.detector.stop()
    series.tell(20.0, 7)
    room.swarm.stop()
    after = READINGS.counts()
    handled, dead = after.handled - before.handled, after.dead - before.dead
    assert handled + dead == 67
    assert dead == sum(letter.message_type.endswith(".Reading") for letter in room.swarm.dead_letters())


def test_the_host_is_judged_and_counted_but_nobody_is_told_to_repair_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "COUNT_S", 0.0)
    room.record("forecaster", answer=good_model)
    series = Series(room, "host.memory_percent")
    series.tell(20.0, 30)
    series.tell(90.0, 20)
    assert eventually(lambda: sum(news.torch for news in room.heard("desk", VerdictNews)) > 20)
    assert room.heard("decision_centre") == []


def test_the_desk_learns_how_many_verdicts_each_gave(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "COUNT_S", 0.0)
    room.record("forecaster", answer=good_model)
    Series(room).tell(20.0, 30)

    def counted() -> tuple[int, int]:
        news = room.heard("desk", VerdictNews)
        return sum(each.torch for each in news), sum(each.baseline for each in news)

    # 4 values are learned before the first verdict; the model is asked once the history has 16 values,
    # from which the newest 4 are held back.
    assert eventually(lambda: sum(counted()) == 26)
    assert counted() == (10, 16)


def test_a_detector_begins_no_trace_and_explains_itself_in_the_trace_of_who_asks(
    room: Room, tmp_path: Path
) -> None:
    room.record("forecaster", answer=good_model)
    series = Series(room)
    series.tell(20.0, 30)
    series.tell(60.0, 5)
    room.hears("decision_centre", Anomaly)
    why = room.swarm.agent(Detector, "api.rss_mb").ask(Explain(), timeout=2).get()
    assert (why.value, why.decided_by) == (60.0, "torch")
    assert why.lower < why.expected < why.upper < why.value
    room.swarm.stop()
    spans = {span.span_id: span for span in read_spans(tmp_path)}
    (evidence,) = [span for span in spans.values() if span.name == "evidence rss_mb"]
    assert spans[evidence.parent_id].name == "process detector"
    assert {trace.root.name for trace in group_traces(spans.values())} == {"send detector"}
