"""Correlation: which anomalies belong to one incident, and what may be done about it when. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["DECISIVE", "Attempt", "Incident", "IncidentBook", "IncidentState", "WrongStateError"]

DECISIVE = frozenset({"alive:low", "running:low", "rss_mb:high", "folder_mb:high", "cpu_percent:high"})
"""Symptoms that say enough by themselves, so that nobody waits for others."""


class IncidentState(StrEnum):
    """open -> deciding -> repairing -> verifying -> closed; or back to deciding; or gave_up."""

    OPEN = "open"
    DECIDING = "deciding"
    REPAIRING = "repairing"
    VERIFYING = "verifying"
    CLOSED = "closed"
    GAVE_UP = "gave_up"

    @property
    def is_final(self) -> bool:
        return self in (IncidentState.CLOSED, IncidentState.GAVE_UP)


class WrongStateError(ValueError):
    """Something was asked of an incident that its state does not allow; nothing was changed."""


@dataclass(slots=True)
class Attempt:
    """One repair: the `number`-th of its incident, from 1. `repaired` is None while it is under way."""

    number: int
    remedy: str
    cause: str
    started_at_s: float
    acted_at_s: float | None = None
    ended_at_s: float | None = None
    repaired: bool | None = None


@dataclass(slots=True)
class Incident:
    """One trouble of one patient. Read it anywhere; only its `IncidentBook` changes it.

    `symptoms` maps each to the time it came; `evidence` are those that speak of the cause (a restart makes
    symptoms of its own, so what comes during one is left out). `reason` says how a final incident ended.
    """

    id: str
    patient: str
    opened_at_s: float
    decide_at_s: float
    state: IncidentState = IncidentState.OPEN
    symptoms: dict[str, float] = field(default_factory=dict)
    evidence: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)
    ended_at_s: float | None = None
    reason: str = ""

    @property
    def tried(self) -> list[str]:
        """The remedies that failed so far, in order."""
        return [attempt.remedy for attempt in self.attempts if attempt.repaired is False]

    @property
    def repaired(self) -> bool:
        """Whether a repair ended it (and it did not pass by itself)."""
        return self.state is IncidentState.CLOSED and bool(self.attempts)


class IncidentBook:
    """Groups anomalies into at most one live incident per patient and guards its course.

    Times are arguments, in seconds on any one clock. Guarantees: one repair of a patient at a time; each
    incident reaches exactly one final state; the results of an attempt that is no longer the current one are
    refused. Not thread-safe: one agent owns it.

    collect_s: how long after its first anomaly an incident waits for others, unless a decisive one came.
    quiet_s: how long after its end the patient's anomalies count as echoes; an echo that lasts longer opens
        an incident then (see `tick`).
    max_attempts: repairs before giving up. repair_limit_s: an attempt without a result for longer has failed;
        who repairs must have stopped acting by then.
    tag: part of the incidents' ids, so that those of another book have others.
    """

    def __init__(
        self,
        *,
        collect_s: float = 0.4,
        quiet_s: float = 1.5,
        max_attempts: int = 4,
        repair_limit_s: float = 15.0,
        decisive: Collection[str] = DECISIVE,
        kept: int = 200,
        tag: str = "",
    ) -> None:
        if max_attempts < 1:
            raise ValueError(f"max_attempts={max_attempts} would never repair anything; use 1 or more")
        self.collect_s, self.quiet_s, self.repair_limit_s = collect_s, quiet_s, repair_limit_s
        self.max_attempts = max_attempts
        self.ended: deque[Incident] = deque(maxlen=kept)
        self._decisive = frozenset(decisive)
        self._live: dict[str, Incident] = {}
        self._quiet_until_s: dict[str, float] = {}
        self._echoes: dict[str, set[str]] = {}
        self._opened = 0
        self._tag = f"{tag}-" if tag else ""

    def live(self, patient: str) -> Incident | None:
        """The patient's incident that has not ended, if any."""
        return self._live.get(patient)

    def all_live(self) -> list[Incident]:
        return list(self._live.values())

    def on_anomaly(self, patient: str, symptom: str, at_s: float) -> Incident | None:
        """Takes in an anomaly; returns the incident it opened or joined, None for an echo in quiet time."""
        incident = self._live.get(patient)
        if incident is None:
            if at_s < self._quiet_until_s.get(patient, at_s):
                self._echoes.setdefault(patient, set()).add(symptom)
                return None
            incident = self._open(patient, at_s)
        incident.symptoms.setdefault(symptom, at_s)
        incident.active.add(symptom)
        if not self._is_restarting(incident):
            incident.evidence.add(symptom)
        if incident.state is IncidentState.OPEN and symptom in self._decisive:
            incident.decide_at_s = min(incident.decide_at_s, at_s)
        return incident

    def on_recovered(self, patient: str, symptom: str, at_s: float) -> Incident | None:
        """Takes in a recovery; an incident still open whose symptoms all recovered closes by itself."""
        self._echoes.get(patient, set()).discard(symptom)
        incident = self._live.get(patient)
        if incident is None:
            return None
        incident.active.discard(symptom)
        if incident.state is IncidentState.OPEN and not incident.active:
            self._end(incident, IncidentState.CLOSED, "it passed by itself before a repair", at_s)
        return incident

    def tick(self, now_s: float) -> list[Incident]:
        """What time brings; returns the incidents that turned to `deciding`, or gave up, in this call.

        Incidents that collected long enough are to be decided, attempts past `repair_limit_s` have failed,
        and echoes that outlasted their quiet time open an incident. Call it about every 0.1 s.
        """
        for patient in [p for p, until_s in self._quiet_until_s.items() if until_s <= now_s]:
            del self._quiet_until_s[patient]
            for symptom in sorted(self._echoes.pop(patient, ())):
                self.on_anomaly(patient, symptom, now_s)
        turned = []
        for incident in list(self._live.values()):
            if incident.state is IncidentState.OPEN and incident.decide_at_s <= now_s:
                incident.state = IncidentState.DECIDING
                turned.append(incident)
            elif incident.state in (IncidentState.REPAIRING, IncidentState.VERIFYING):
                attempt = incident.attempts[-1]
                if now_s - attempt.started_at_s > self.repair_limit_s:
                    turned.append(self.on_outcome(incident.patient, attempt.number, False, now_s))
        return turned

    def start_repair(self, patient: str, remedy: str, cause: str, at_s: float) -> Attempt:
        """deciding -> repairing. Raises: WrongStateError from any other state, so never two at once."""
        incident = self._expect(patient, IncidentState.DECIDING)
        attempt = Attempt(len(incident.attempts) + 1, remedy, cause, at_s)
        incident.attempts.append(attempt)
        incident.state = IncidentState.REPAIRING
        return attempt

    def on_acted(self, patient: str, number: int, at_s: float) -> Incident:
        """repairing -> verifying: attempt `number` did its work. Raises: WrongStateError."""
        incident = self._expect(patient, IncidentState.REPAIRING, number=number)
        incident.attempts[-1].acted_at_s = at_s
        incident.state = IncidentState.VERIFYING
        return incident

    def on_outcome(self, patient: str, number: int, repaired: bool, at_s: float) -> Incident:
        """Ends attempt `number`: closed when repaired, else deciding again, or gave_up after `max_attempts`.

        Raises: WrongStateError when that attempt is not under way (a late or repeated result).
        """
        under_way = (IncidentState.REPAIRING, IncidentState.VERIFYING)
        incident = self._expect(patient, *under_way, number=number)
        attempt = incident.attempts[-1]
        attempt.ended_at_s, attempt.repaired = at_s, repaired
        if repaired:
            self._end(incident, IncidentState.CLOSED, f"{attempt.remedy} repaired it", at_s)
        elif len(incident.attempts) >= self.max_attempts:
            self._end(incident, IncidentState.GAVE_UP, f"{len(incident.attempts)} repairs failed", at_s)
        else:
            incident.state = IncidentState.DECIDING
        return incident

    def give_up(self, patient: str, reason: str, at_s: float) -> Incident:
        """deciding -> gave_up: no remedy is left. Raises: WrongStateError from any other state."""
        incident = self._expect(patient, IncidentState.DECIDING)
        self._end(incident, IncidentState.GAVE_UP, reason, at_s)
        return incident

    def _open(self, patient: str, at_s: float) -> Incident:
        self._opened += 1
        incident = Incident(f"{patient}-{self._tag}{self._opened}", patient, at_s, at_s + self.collect_s)
        self._live[patient] = incident
        return incident

    def _end(self, incident: Incident, state: IncidentState, reason: str, at_s: float) -> None:
        incident.state, incident.reason, incident.ended_at_s = state, reason, at_s
        del self._live[incident.patient]
        self.ended.append(incident)
        if incident.attempts:
            self._quiet_until_s[incident.patient] = at_s + self.quiet_s

    def _expect(self, patient: str, *states: IncidentState, number: int | None = None) -> Incident:
        incident = self._live.get(patient)
        if incident is None:
            raise WrongStateError(f"{patient} has no live incident; open one with an anomaly first")
        current = len(incident.attempts)
        if incident.state not in states or number not in (None, current):
            wanted = " or ".join(states) + (f", attempt {number}" if number is not None else "")
            raise WrongStateError(
                f"incident {incident.id} is {incident.state}, attempt {current}; not {wanted}"
            )
        return incident

    @staticmethod
    def _is_restarting(incident: Incident) -> bool:
        under_way = (IncidentState.REPAIRING, IncidentState.VERIFYING)
        return incident.state in under_way and incident.attempts[-1].remedy == "restart"
