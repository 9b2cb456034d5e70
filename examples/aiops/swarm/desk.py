"""The desk: the agent in the demo's own process that turns the swarm's news into what the board shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from covey import Agent, handles
from covey.framework.dead_letters import DeadLetters

from ..screen import board_events as events
from .messages import (
    CrashNews,
    DecidedNews,
    DetectedNews,
    GaveUpNews,
    NodeNews,
    ReadingCounts,
    RepairedNews,
    RestartNews,
    TorchNews,
    VerdictNews,
    VerifiedNews,
)

__all__ = ["Desk"]


class Desk(Agent):
    """Shows events; `started_at` is the epoch time at which the demo's clock began.

    `letters_here` gives the dead letters of the demo's own node, which count as well.
    """

    trace = "off"

    def __init__(
        self, show: Callable[[events.Event], None], started_at: float, letters_here: Callable[[], DeadLetters]
    ) -> None:
        super().__init__()
        self._show = show
        self._started_at = started_at
        self._letters_here = letters_here
        self._torch = self._baseline = 0
        self._dead_letters: dict[str, dict[str, int]] = {}
        self._readings: dict[str, ReadingCounts] = {}

    def _at(self, epoch_s: float) -> float:
        return epoch_s - self._started_at

    @handles
    def node(self, news: NodeNews) -> None:
        if news.node not in self._dead_letters:
            self._show(events.NodeUp(news.node, news.pid))
        self._show(events.NodeStats(news.node, news.agents, news.messages))
        self._dead_letters[news.node] = {each.reason: each.count for each in news.dead_letters}
        total: Counter[str] = Counter(self._letters_here().counts)
        for counts in self._dead_letters.values():
            total.update(counts)
        self._show(events.DeadLetters(total.total(), dict(total.most_common())))
        self._readings[news.node] = news.readings
        counts_of_all = self._readings.values()
        self._show(
            events.Readings(
                sum(each.sent for each in counts_of_all),
                sum(each.handled for each in counts_of_all),
                sum(each.dead for each in counts_of_all),
            )
        )

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
        self._show(
            events.AgentCrashed(news.address, news.node, news.error, self._at(news.at), news.supervisor)
        )

    @handles
    def restarted(self, news: RestartNews) -> None:
        at = self._at(news.at)
        self._show(
            events.AgentRestarted(news.address, news.node, news.down_s, at, news.supervisor, news.cause)
        )
