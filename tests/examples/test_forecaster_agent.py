"""The forecaster agent, with torch where it is installed and once without; the desk is a recorder."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from covey import AgentRef, Child, Supervisor, Swarm
from examples.aiops.swarm.forecaster_agent import Forecaster
from examples.aiops.swarm.messages import Prediction, TorchNews, Window
from tests.examples.swarm_room import Room, surround
from tests.examples.world import eventually

MODEL = "examples.aiops.reasoning.forecaster"

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    surround(monkeypatch, tmp_path)
    with Swarm.local() as swarm:
        room = Room(swarm)
        room.record("desk")
        yield room


def window(series: str, level: float) -> Window:
    return Window(series=series, values=[level + 0.1 * (n % 3) for n in range(32)], unit=1.0, calm=True)


def loaded(room: Room) -> AgentRef:
    room.swarm.supervise(Supervisor([Child(Forecaster, "main")]))  # it starts by itself, and loads
    forecaster = room.swarm.agent(Forecaster, "main")
    assert eventually(lambda: TorchNews(text="ready") in room.heard("desk"), 60.0)
    return forecaster


@pytest.mark.torch
@needs_torch
def test_many_windows_at_once_get_the_forecasts_of_one_batch(room: Room) -> None:
    from examples.aiops.reasoning.forecaster import SeriesWindow, TorchForecaster

    asked = [window(f"api.{number}", 20.0 + number) for number in range(12)]
    own = TorchForecaster().forecast([SeriesWindow(w.series, w.values, w.unit, w.calm) for w in asked])
    forecaster = loaded(room)
    replies = [forecaster.ask(each, timeout=5.0) for each in asked]
    answers = [reply.get() for reply in replies]
    assert all(answer.known for answer in answers)
    for answer, each in zip(answers, own, strict=True):
        assert each is not None
        assert answer.mean == pytest.approx(each.mean, abs=0.2)


@pytest.mark.torch
@needs_torch
def test_a_window_that_is_too_short_is_answered_as_unknown(room: Room) -> None:
    short = Window(series="api.up", values=[1.0, 1.0], unit=1.0, calm=True)
    assert loaded(room).ask(short, timeout=5.0).get() == Prediction(known=False)


@pytest.mark.torch
@needs_torch
def test_the_desk_hears_of_the_loading_before_it_is_ready(room: Room) -> None:
    loaded(room)
    assert [news.text for news in room.heard("desk", TorchNews)] == ["loading", "ready"]


def test_where_torch_cannot_be_imported_it_says_why_and_knows_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, MODEL, raising=False)
    forecaster = room.swarm.agent(Forecaster, "main")
    assert forecaster.ask(window("api.up", 1.0), timeout=5.0).get() == Prediction(known=False)
    loading, failed = room.hears("desk", TorchNews, 2)
    assert loading.text == "loading"
    assert failed.text.startswith("failed: ModuleNotFoundError")
    assert forecaster.ask(window("api.up", 1.0), timeout=5.0).get() == Prediction(known=False)
