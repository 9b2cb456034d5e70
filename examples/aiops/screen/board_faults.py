"""Faults, the swarm's incidents, and the pure rule that says which incident is about which fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["AFTER_END_S", "BEFORE_START_S", "Fault", "Incident", "Stage", "fault_of"]

BEFORE_START_S = 0.05
"""The injector notes the time after it has acted, so a sharp detector may be this much earlier."""

AFTER_END_S = 0.5
"""A sample taken during the fault may be judged this long after its end."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of an incident: `detected` at 3.2 s, with a word on it (`latency, torch`)."""

    name: str
    at: float | None
    note: str = ""


@dataclass(slots=True)
class Incident:
    """What the swarm knows of one trouble; times are seconds on the demo's clock, None until it happens."""

    incident: str
    patient: str
    detected_at: float
    metric: str = ""
    decided_by: str = ""
    decided_at: float | None = None
    cause: str = ""
    remedy: str = ""
    attempt: int = 0
    repaired_at: float | None = None
    verified_at: float | None = None
    gave_up: str = ""
    trace_id: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether it went from detected to verified."""
        return None not in (self.decided_at, self.repaired_at, self.verified_at)


@dataclass(slots=True)
class Fault:
    """One injected fault and the incidents that the swarm opened on it, oldest first."""

    fault_id: str
    kind: str
    patient: str
    injected_at: float
    ended_at: float | None = None
    lasted_s: float | None = None
    incidents: list[Incident] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    @property
    def incident(self) -> Incident | None:
        """The incident to show: the newest."""
        return self.incidents[-1] if self.incidents else None

    @property
    def detect_s(self) -> float | None:
        """Seconds from injection to the first verdict on it."""
        return max(0.0, self.incidents[0].detected_at - self.injected_at) if self.incidents else None

    @property
    def repair_s(self) -> float | None:
        """Seconds from injection until the witness saw the patient healthy again."""
        return self.lasted_s

    @property
    def decided_by(self) -> str:
        """Who gave the first verdict: `torch`, `baseline`, or empty while undetected."""
        return self.incidents[0].decided_by if self.incidents else ""

    @property
    def gave_up(self) -> str:
        """Why the swarm gave up, or empty."""
        return self.incident.gave_up if self.incident else ""

    def stages(self) -> tuple[Stage, ...]:
        """The five steps from injected to verified, as far as they have come."""
        seen = self.incident or Incident("", self.patient, self.injected_at)
        detected_at = self.incidents[0].detected_at if self.incidents else None
        tries = f" (try {seen.attempt})" if seen.attempt > 1 else ""
        return (
            Stage("injected", self.injected_at, self.kind),
            Stage("detected", detected_at, ", ".join(w for w in (seen.metric, self.decided_by) if w)),
            Stage("decided", seen.decided_at, seen.cause),
            Stage("repaired", seen.repaired_at, seen.remedy + tries),
            Stage("verified", seen.verified_at, "healthy" if seen.verified_at is not None else ""),
        )


def fault_of(incident: Incident, faults: Iterable[Fault]) -> Fault | None:
    """The newest fault of the incident's patient that was active when the incident was detected.

    One that no incident has found yet goes first, so two faults at once are told apart.
    """
    active = [
        fault
        for fault in faults
        if fault.patient == incident.patient
        and fault.injected_at - BEFORE_START_S <= incident.detected_at
        and (fault.ended_at is None or incident.detected_at <= fault.ended_at + AFTER_END_S)
    ]
    return max(active, key=lambda fault: (not fault.incidents, fault.injected_at), default=None)
