"""The decision centre: anomalies become incidents, incidents become repairs, outcomes become knowledge."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass

from covey import AgentDeadError, CoveyError, DecisionAgent, NoHostError, handles

from ..reasoning.incident import Incident, IncidentBook, IncidentState
from ..reasoning.knowledge import KnowledgeGraph, Outcome
from ..reasoning.series import PATIENT_TRAITS
from .crashing import Crashing
from .detector import Detector
from .messages import Anomaly, DecidedNews, DetectedNews, Explain, GaveUpNews, Relearn, Repair, RepairDone
from .monitor import series_key
from .repairer import REPAIR_LIMIT_S, Repairer
from .surroundings import DESK, surroundings

__all__ = ["DecisionCentre"]

TICK_S = 0.05
RETRY_S = 0.2
EXPLAIN_S = 0.2
NO_REPAIR = "repairs are switched off"


@dataclass(slots=True)
class Plan:
    """What was decided for one incident."""

    incident: Incident
    cause: str
    remedy: str
    number: int
    evidence: frozenset[str]


class DecisionCentre(Crashing, DecisionAgent):
    """Correlates the anomalies of one patient into one incident and sees it through.

    The anomaly that opens an incident drives its cycles, observe to update, until it is closed or given
    up. One trace tells the whole story, from the reading that showed it: it begins here, because only here
    is it known which anomalies belong together. Several patients are looked after at once, never one
    patient twice (`IncidentBook` refuses).

    A centre that starts afresh, after a crash or on another node, knows of no incident: the detectors
    remind it of those that last. Its incidents bear a tag of their own, for it counts from 1 again.
    """

    concurrency = 64

    def __init__(self) -> None:
        super().__init__()
        self._book = IncidentBook(repair_limit_s=REPAIR_LIMIT_S + 2, tag=secrets.token_hex(2))
        self._graph = KnowledgeGraph()
        self._driven: set[str] = set()
        self._may_repair = surroundings().repair

    @handles
    async def anomaly(self, anomaly: Anomaly) -> None:
        if anomaly.over:
            self._recovered(anomaly)
            return
        symptom = f"{anomaly.metric}:{anomaly.direction}"
        live = self._book.live(anomaly.patient)
        known = live is not None and symptom in live.symptoms and live.id in self._driven
        incident = self._book.on_anomaly(anomaly.patient, symptom, time.time())
        if incident is None:
            return  # an echo of the repair: the detector tells it again if it lasts
        if not known and symptom in incident.evidence:
            self._tell_detected(incident, anomaly)
        if incident.id not in self._driven:
            # It begins with the reading that showed it, which lies in the past.
            with self.span(
                f"incident {anomaly.metric}",
                new_trace=True,
                start_time_s=anomaly.at,
                incident=incident.id,
                patient=incident.patient,
                severity=round(anomaly.severity, 2),
                decided_by=anomaly.decided_by,
            ):
                await self._see_through(incident)

    def _recovered(self, anomaly: Anomaly) -> None:
        for direction in ("high", "low"):
            self._book.on_recovered(anomaly.patient, f"{anomaly.metric}:{direction}", time.time())
        live = self._book.live(anomaly.patient)
        if live is not None and self._is_left_alone(live) and not live.active:
            self._book.give_up(anomaly.patient, NO_REPAIR, time.time())
            self._driven.discard(live.id)

    async def _see_through(self, incident: Incident) -> None:
        self._driven.add(incident.id)
        while not incident.state.is_final:
            await self.run_cycle(incident)
            if self._is_left_alone(incident):
                return
        self._driven.discard(incident.id)

    def _is_left_alone(self, incident: Incident) -> bool:
        """Where nobody may repair, an incident stays open, given up once, until its symptoms pass."""
        return not self._may_repair and incident.state is IncidentState.DECIDING

    async def observe(self, stimulus: Incident) -> Incident | None:
        """Wait until the incident has collected its symptoms; None when it passed by itself."""
        while stimulus.state is IncidentState.OPEN:
            await asyncio.sleep(TICK_S)
            self._book.tick(time.time())
        if stimulus.state is not IncidentState.DECIDING:
            return None
        await self._hear_evidence(stimulus)
        return stimulus

    async def _hear_evidence(self, incident: Incident) -> None:
        """Let each detector say what its verdict is founded on: it belongs into the incident's trace."""
        metrics = sorted({symptom.partition(":")[0] for symptom in incident.evidence})
        replies = [
            self.agent(Detector, series_key(incident.patient, metric)).ask(Explain(), timeout=EXPLAIN_S)
            for metric in metrics
        ]
        for reply in replies:
            try:
                await reply
            except CoveyError:
                continue  # a detector that is gone explains nothing; its anomaly still counts

    def decide(self, observation: Incident) -> Plan | None:
        incident = observation
        if not self._may_repair:
            self._tell_given_up(incident, NO_REPAIR)
            return None
        evidence = frozenset(incident.evidence)
        with self.span("diagnose", patient=incident.patient, symptoms=", ".join(sorted(evidence))) as span:
            ranking = self._graph.diagnose(evidence, failed=incident.tried)
            choice = self._graph.choose_remedy(ranking, incident.tried)
            span.set(why=ranking[0].explanation)
            if choice is None:
                self._give_up(incident, f"no remedy is left for {', '.join(sorted(evidence))}")
                return None
            attempt = self._book.start_repair(incident.patient, choice.remedy, choice.cause, time.time())
            span.set(cause=choice.cause, remedy=choice.remedy, attempt=attempt.number)
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
        return Plan(incident, choice.cause, choice.remedy, attempt.number, evidence)

    async def act(self, decision: Plan) -> bool:
        """Have it repaired; whether that helped. What a dying node took along is ordered anew elsewhere."""
        patient = decision.incident.patient
        order = Repair(patient=patient, remedy=decision.remedy, incident=decision.incident.id)
        until = time.monotonic() + REPAIR_LIMIT_S
        while (left_s := until - time.monotonic()) > 0:
            try:
                done = await self.agent(Repairer, patient).ask(order, timeout=left_s)
            except (AgentDeadError, NoHostError):
                await asyncio.sleep(RETRY_S)
            except CoveyError:
                return False  # it took too long, or the repairer failed: the next remedy is tried
            else:
                return isinstance(done, RepairDone) and done.ok
        return False

    def update(self, decision: Plan, outcome: bool) -> None:
        incident = decision.incident
        if incident.state in (IncidentState.REPAIRING, IncidentState.VERIFYING):
            self._book.on_outcome(incident.patient, decision.number, outcome, time.time())
        self._graph.record(Outcome(decision.evidence, decision.cause, decision.remedy, outcome))
        if decision.remedy == "restart":
            for metric in PATIENT_TRAITS:
                self.agent(Detector, series_key(incident.patient, metric)).tell(Relearn())
        if incident.state is IncidentState.GAVE_UP:
            self._tell_given_up(incident, incident.reason)

    def _give_up(self, incident: Incident, why: str) -> None:
        self._book.give_up(incident.patient, why, time.time())
        self._tell_given_up(incident, why)

    def _tell_detected(self, incident: Incident, anomaly: Anomaly) -> None:
        news = DetectedNews(
            incident=incident.id,
            patient=incident.patient,
            metric=anomaly.metric,
            decided_by=anomaly.decided_by,
            at=anomaly.at,
        )
        self.agent(*DESK).tell(news)

    def _tell_given_up(self, incident: Incident, why: str) -> None:
        news = GaveUpNews(incident=incident.id, patient=incident.patient, why=why, at=time.time())
        self.agent(*DESK).tell(news)
