"""The decision centre: anomalies become incidents, incidents become repairs, outcomes become knowledge."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from covey import CoveyError, DecisionAgent, handles

from ..reasoning.incident import Incident, IncidentBook, IncidentState
from ..reasoning.knowledge import KnowledgeGraph, Outcome
from ..reasoning.series import PATIENT_TRAITS
from .detector import Detector
from .messages import Anomaly, DecidedNews, DetectedNews, GaveUpNews, Relearn, Repair, RepairDone
from .repairer import REPAIR_LIMIT_S, Repairer
from .surroundings import DESK, surroundings

__all__ = ["DecisionCentre"]

TICK_S = 0.05


@dataclass(slots=True)
class Plan:
    """What was decided for one incident."""

    incident: Incident
    cause: str
    remedy: str
    number: int
    evidence: frozenset[str]


class DecisionCentre(DecisionAgent):
    """Correlates the anomalies of one patient into one incident and sees it through.

    The anomaly that opens an incident drives its cycles, observe to update, until it is closed or given
    up; so one trace tells the whole story. Others only join it. Several patients are looked after at once,
    never one patient twice (`IncidentBook` refuses).
    """

    concurrency = 64

    def __init__(self) -> None:
        super().__init__()
        self._book = IncidentBook(repair_limit_s=REPAIR_LIMIT_S + 2)
        self._graph = KnowledgeGraph()
        self._repair = surroundings().repair

    @handles
    async def anomaly(self, anomaly: Anomaly) -> None:
        symptom = f"{anomaly.metric}:{anomaly.direction}"
        if anomaly.over:
            for direction in ("high", "low"):
                self._book.on_recovered(anomaly.patient, f"{anomaly.metric}:{direction}", time.time())
            return
        known = self._book.live(anomaly.patient)
        incident = self._book.on_anomaly(anomaly.patient, symptom, time.time())
        if incident is None:
            return
        self.agent(*DESK).tell(
            DetectedNews(
                incident=incident.id,
                patient=incident.patient,
                metric=anomaly.metric,
                decided_by=anomaly.decided_by,
                at=anomaly.at,
            )
        )
        if known is None:
            while not incident.state.is_final:
                await self.run_cycle(incident)

    async def observe(self, stimulus: Incident) -> Incident | None:
        """Wait until the incident has collected its symptoms; None when it passed by itself."""
        while stimulus.state is IncidentState.OPEN:
            await asyncio.sleep(TICK_S)
            self._book.tick(time.time())
        return stimulus if stimulus.state is IncidentState.DECIDING else None

    def decide(self, observation: Incident) -> Plan | None:
        incident = observation
        ranking = self._graph.diagnose(incident.evidence, failed=incident.tried)
        choice = self._graph.choose_remedy(ranking, incident.tried)
        if not self._repair:
            self._give_up(incident, "repairs are switched off")
            return None
        if choice is None:
            self._give_up(incident, f"no remedy is left for {', '.join(sorted(incident.evidence))}")
            return None
        attempt = self._book.start_repair(incident.patient, choice.remedy, choice.cause, time.time())
        with self.span("decided", cause=choice.cause, remedy=choice.remedy, attempt=attempt.number) as span:
            news = DecidedNews(
                incident=incident.id,
                patient=incident.patient,
                cause=choice.cause,
                remedy=choice.remedy,
                attempt=attempt.number,
                at=time.time(),
                trace_id=span.trace_id,
            )
        self.agent(*DESK).tell(news)
        return Plan(incident, choice.cause, choice.remedy, attempt.number, frozenset(incident.evidence))

    async def act(self, decision: Plan) -> bool:
        order = Repair(
            patient=decision.incident.patient, remedy=decision.remedy, incident=decision.incident.id
        )
        try:
            done = await self.agent(Repairer, order.patient).ask(order, timeout=REPAIR_LIMIT_S)
        except CoveyError:
            return False  # its node died, or it took too long: the next remedy is tried
        return isinstance(done, RepairDone) and done.ok

    def update(self, decision: Plan, outcome: bool) -> None:
        incident = decision.incident
        if incident.state in (IncidentState.REPAIRING, IncidentState.VERIFYING):
            self._book.on_outcome(incident.patient, decision.number, outcome, time.time())
        self._graph.record(Outcome(decision.evidence, decision.cause, decision.remedy, outcome))
        if decision.remedy == "restart":
            for metric in PATIENT_TRAITS:
                self.agent(Detector, f"{incident.patient}.{metric}").tell(Relearn())
        if incident.state is IncidentState.GAVE_UP:
            self._tell_given_up(incident)

    def _give_up(self, incident: Incident, why: str) -> None:
        self._book.give_up(incident.patient, why, time.time())
        self._tell_given_up(incident)

    def _tell_given_up(self, incident: Incident) -> None:
        news = GaveUpNews(incident=incident.id, patient=incident.patient, why=incident.reason, at=time.time())
        self.agent(*DESK).tell(news)

    def on_failure(self, *_error: Any) -> None:
        """A fresh centre knows nothing of open incidents: the detectors' reminders open them again."""
