"""The desk: the agent in the demo's own process that turns the swarm's news into what the board shows."""

from __future__ import annotations

from collections.abc import Callable

from covey import Agent, handles

from ..screen import board_events as events
from .messages import (
    CrashNews,
    DecidedNews,
    DetectedNews,
    GaveUpNews,
    NodeNews,
    RepairedNews,
    TorchNews,
    VerdictNews,
    VerifiedNews,
)

__all__ = ["Desk"]


class Desk(Agent):
    """Shows events; `started_at` is the epoch time at which the demo's clock began."""

    trace = "off"

    def __init__(self, show: Callable[[events.Event], None], started_at: float) -> None:
        super().__init__()
        self._show = show
        self._started_at = started_at
        self._torch = self._baseline = 0
        self._dead_letters: dict[str, int] = {}
        self._nodes: set[str] = set()

    def _at(self, epoch_s: float) -> float:
        return epoch_s - self._started_at

    @handles
    def node(self, news: NodeNews) -> None:
        if news.node not in self._nodes:
            self._nodes.add(news.node)
            self._show(events.NodeUp(news.node, news.pid))
        self._show(events.NodeStats(news.node, news.agents, news.messages))
        self._dead_letters[news.node] = news.dead_letters
        self._show(events.DeadLetters(sum(self._dead_letters.values())))

    @handles
    def verdicts(self, news: VerdictNews) -> None:
        self._torch += news.torch
        self._baseline += news.baseline
        self._show(events.Verdicts(self._torch, self._baseline))

    @handles
    def torch(self, news: TorchNews) -> None:
        self._show(events.TorchState(news.text))

    @handles
    def detected(self, news: DetectedNews) -> None:
        self._show(
            events.Detected(news.incident, news.patient, news.metric, news.decided_by, self._at(news.at))
        )

    @handles
    def decided(self, news: DecidedNews) -> None:
        self._show(
            events.Decided(
                news.incident,
                news.patient,
                news.cause,
                news.remedy,
                news.attempt,
                self._at(news.at),
                news.trace_id,
            )
        )

    @handles
    def repaired(self, news: RepairedNews) -> None:
        self._show(events.Repaired(news.incident, news.remedy, news.took_s, self._at(news.at)))

    @handles
    def verified(self, news: VerifiedNews) -> None:
        self._show(events.Verified(news.incident, news.ok, self._at(news.at)))

    @handles
    def gave_up(self, news: GaveUpNews) -> None:
        self._show(events.GaveUp(news.incident, news.patient, self._at(news.at), news.why))

    @handles
    def crash(self, news: CrashNews) -> None:
        at = self._at(news.at)
        if news.down_s < 0:
            self._show(events.AgentCrashed(news.address, news.node, news.error, at))
        else:
            self._show(events.AgentRestarted(news.address, news.node, news.down_s, at))
