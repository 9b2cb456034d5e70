"""The desk: what the swarm's news becomes on the board."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from covey import Swarm
from examples.aiops.screen import board_events as events
from examples.aiops.swarm import messages as news
from examples.aiops.swarm.desk import Desk
from tests.examples.world import eventually

STARTED_AT = 1_000.0


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local() as swarm:
        yield swarm


def shown(swarm: Swarm, *told: Any, expected: int) -> list[events.Event]:
    """What a desk shows when it is told all that."""
    seen: list[events.Event] = []
    desk = swarm.spawn(Desk, "main", seen.append, STARTED_AT, swarm.dead_letters)
    for each in told:
        desk.tell(each)
    assert eventually(lambda: len(seen) >= expected), seen
    return seen


def node_news(
    node: str, *dead_letters: tuple[str, int], readings: tuple[int, int, int] = (0, 0, 0)
) -> news.NodeNews:
    counts = [news.DeadLetterCount(reason=reason, count=count) for reason, count in dead_letters]
    sent, handled, dead = readings
    of_readings = news.ReadingCounts(sent=sent, handled=handled, dead=dead)
    return news.NodeNews(node=node, pid=7, agents=3, messages=40, dead_letters=counts, readings=of_readings)


def test_an_incidents_news_become_events_on_the_demos_clock(swarm: Swarm) -> None:
    about = {"incident": "api-1", "patient": "api"}
    seen = shown(
        swarm,
        news.DetectedNews(**about, metric="up", decided_by="torch", at=1_009.0),
        news.DecidedNews(**about, cause="hang", remedy="resume", attempt=1, at=1_009.5, trace_id="ab"),
        news.RepairedNews(incident="api-1", remedy="resume", took_s=0.1, at=1_010.0),
        news.VerifiedNews(incident="api-1", ok=True, at=1_011.0),
        news.GaveUpNews(**about, why="nothing helps", at=1_012.0),
        expected=5,
    )
    assert seen == [
        events.Detected("api-1", "api", "up", "torch", 9.0),
        events.Decided("api-1", "api", "hang", "resume", 1, 9.5, "ab"),
        events.Repaired("api-1", "resume", 0.1, 10.0),
        events.Verified("api-1", True, 11.0),
        events.GaveUp("api-1", "api", 12.0, "nothing helps"),
    ]


def test_a_node_comes_up_once_and_dead_letters_are_summed_over_all_nodes_and_the_demos_own(
    swarm: Swarm,
) -> None:
    swarm.agent("nobody", "here").tell("lost")
    seen = shown(
        swarm,
        node_news("node-1", ("failed", 1)),
        node_news("node-2", ("failed", 1), ("expired", 2)),
        node_news("node-1", ("failed", 2)),
        expected=11,
    )
    assert [each for each in seen if isinstance(each, events.NodeUp)] == [
        events.NodeUp("node-1", 7),
        events.NodeUp("node-2", 7),
    ]
    assert events.DeadLetters(6, {"failed": 3, "expired": 2, "no host": 1}) in seen


def test_readings_are_summed_over_the_newest_counts_of_all_nodes(swarm: Swarm) -> None:
    seen = shown(
        swarm,
        node_news("node-1", readings=(100, 20, 0)),
        node_news("node-2", readings=(0, 70, 1)),
        node_news("node-1", readings=(110, 30, 2)),
        expected=11,
    )
    assert seen[-1] == events.Readings(sent=110, handled=100, dead=3)


def test_verdicts_are_summed_over_all_detectors(swarm: Swarm) -> None:
    seen = shown(
        swarm,
        news.VerdictNews(torch=3, baseline=1),
        news.VerdictNews(torch=2, baseline=0),
        news.TorchNews(text="ready"),
        expected=3,
    )
    assert seen == [events.Verdicts(3, 1), events.Verdicts(5, 1), events.TorchState("ready")]


def test_a_crash_and_its_restart_are_told_apart(swarm: Swarm) -> None:
    seen = shown(
        swarm,
        news.CrashNews(
            address="detector/a", node="node-1", error="RuntimeError: x", at=1_005.0, supervisor="demo/a"
        ),
        news.RestartNews(
            address="detector/a", node="node-1", down_s=0.02, at=1_005.02, supervisor="demo/a", cause=""
        ),
        expected=2,
    )
    assert seen[0] == events.AgentCrashed("detector/a", "node-1", "RuntimeError: x", 5.0, "demo/a")
    assert isinstance(seen[1], events.AgentRestarted)
    assert (seen[1].down_s, seen[1].at) == (0.02, pytest.approx(5.02))
