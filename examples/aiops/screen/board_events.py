"""What the demo's parts tell the board: frozen records of things that have happened.

Every `at` is seconds on the demo's clock, counted since `covey demo` started. Counts (`Availability`,
`NodeStats`, `Verdicts`, `AskLatency`, `DeadLetters`, `Readings`) are totals since the start, so a lost event
costs nothing: the next one says it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "FAULT_KINDS",
    "TORCH_ABSENT",
    "AgentCrashed",
    "AgentRestarted",
    "AskLatency",
    "Availability",
    "DeadLetters",
    "Decided",
    "Detected",
    "Event",
    "FalseAlarm",
    "FaultEnded",
    "GaveUp",
    "Injected",
    "NodeDown",
    "NodeStats",
    "NodeUp",
    "Phase",
    "Readings",
    "Repaired",
    "TorchState",
    "Verdicts",
    "Verified",
    "one_line",
]

FAULT_KINDS = ("leak", "spin", "slow", "hang", "crash", "fill")
"""The six ways in which a patient can misbehave."""

TORCH_ABSENT = "absent"
"""`TorchState.text` where torch is not installed; any other text means that it is."""


def one_line(text: str) -> str:
    """`text` as one line without control characters: what may go to a terminal or a log."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


@dataclass(frozen=True, slots=True)
class Phase:
    """What the demo as a whole is doing now: `starting 3 nodes`."""

    text: str


@dataclass(frozen=True, slots=True)
class NodeUp:
    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class NodeDown:
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeStats:
    """How many agents live on a node, and how many messages it has handled since its start."""

    node: str
    agents: int
    messages: int


@dataclass(frozen=True, slots=True)
class Injected:
    """The injector made a patient (or the twin) misbehave."""

    fault_id: str
    kind: str
    patient: str
    at: float


@dataclass(frozen=True, slots=True)
class FaultEnded:
    """The witness saw the patient healthy again: the only word on what counts as repaired."""

    fault_id: str
    kind: str
    patient: str
    at: float
    lasted_s: float


@dataclass(frozen=True, slots=True)
class Detected:
    """A detector's verdict opened an incident, or joined one that is open."""

    incident: str
    patient: str
    metric: str
    decided_by: str
    """`torch` or `baseline`."""
    at: float


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision centre chose a remedy."""

    incident: str
    patient: str
    cause: str
    remedy: str
    attempt: int
    """1 for the first remedy tried."""
    at: float
    trace_id: str
    """32 hex digits, or empty when nothing is traced."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """The executor has done the remedy; whether it helped is not known yet."""

    incident: str
    remedy: str
    took_s: float
    at: float


@dataclass(frozen=True, slots=True)
class Verified:
    """The executor looked whether health is back."""

    incident: str
    ok: bool
    at: float


@dataclass(frozen=True, slots=True)
class GaveUp:
    """No remedy is left to try."""

    incident: str
    patient: str
    at: float
    why: str


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """The witness saw a repair of a patient while no fault was active."""

    patient: str
    remedy: str
    at: float


@dataclass(frozen=True, slots=True)
class AgentCrashed:
    address: str
    node: str
    error: str
    at: float
    supervisor: str = ""
    """Path of the supervisor that decides, as `demo/api`."""


@dataclass(frozen=True, slots=True)
class AgentRestarted:
    """A supervisor put a fresh instance behind the address, `down_s` seconds after the failure."""

    address: str
    node: str
    down_s: float
    at: float
    supervisor: str = ""
    cause: str = ""
    """Empty where it had failed itself; else why it was restarted: `detector/api.cpu_percent failed`."""


@dataclass(frozen=True, slots=True)
class Availability:
    """The witness's probes by patient, since the start: how many were answered in time, of how many."""

    ok: Mapping[str, int]
    total: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How many verdicts the torch model and the baseline gave, in the whole swarm, since the start."""

    torch: int
    baseline: int


@dataclass(frozen=True, slots=True)
class AskLatency:
    """Round trips of asks between nodes."""

    p50_ms: float
    p99_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class DeadLetters:
    count: int
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Readings:
    """What became of the monitors' readings: sent to detectors, handled by them, dead letters."""

    sent: int
    handled: int
    dead: int

    @property
    def lost(self) -> int:
        """Those of which nobody knows: 0 unless a node was killed, which takes its newest counts along."""
        return self.sent - self.handled - self.dead


@dataclass(frozen=True, slots=True)
class TorchState:
    """Where the torch model stands: `TORCH_ABSENT`, or free text (`loading`, `ready 2.13.0`)."""

    text: str


Event = (
    Phase
    | NodeUp
    | NodeDown
    | NodeStats
    | Injected
    | FaultEnded
    | Detected
    | Decided
    | Repaired
    | Verified
    | GaveUp
    | FalseAlarm
    | AgentCrashed
    | AgentRestarted
    | Availability
    | Verdicts
    | AskLatency
    | DeadLetters
    | Readings
    | TorchState
)
