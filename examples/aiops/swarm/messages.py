"""What the agents of the demo swarm say to each other."""

from __future__ import annotations

from covey import message


@message
class Ping:
    """To a monitor: answer at once. The round trip between nodes is measured with it."""


@message
class Pong:
    node: str


@message
class Reading:
    """To a detector: the newest value of its series."""

    value: float
    at: float
    """Seconds since the epoch."""


@message
class Relearn:
    """To a detector: the patient was restarted; what was normal before need not be now."""


@message
class Crash:
    """To a detector, a monitor, a repairer or the centre: fail. The demo's own injection of a crash."""


@message
class Window:
    """To the forecaster: the last values of a series; the answer is a `Prediction`."""

    series: str
    values: list[float]
    unit: float
    calm: bool
    """Whether the model may learn from it."""


@message
class Prediction:
    """`known` is False while the model is being loaded."""

    known: bool
    mean: float = 0.0
    scale: float = 0.0


@message
class Anomaly:
    """To the decision centre: a series left its band (or, with `over`, is back in it)."""

    patient: str
    metric: str
    direction: str
    decided_by: str
    severity: float
    at: float
    over: bool = False


@message
class Explain:
    """To a detector, from the centre: what is your latest verdict founded on?"""


@message
class Explanation:
    value: float
    expected: float
    lower: float
    upper: float
    decided_by: str


@message
class Repair:
    """To a repairer: carry out a remedy and see whether it helped."""

    patient: str
    remedy: str
    incident: str


@message
class RepairDone:
    ok: bool
    detail: str
    took_s: float


@message
class DeadLetterCount:
    """How many dead letters a node has had for one reason, since its start."""

    reason: str
    count: int


@message
class ReadingCounts:
    """What became of the readings on one node, since its start."""

    sent: int
    """By its monitors, to detectors anywhere."""
    handled: int
    """By its detectors."""
    dead: int
    """Dead letters of that type."""


@message
class Account:
    """To a reporter: tell the desk what you have noted, and answer with your node's figures."""


@message
class NodeNews:
    """To the desk, twice a second: how a node is."""

    node: str
    pid: int
    agents: int
    messages: int
    dead_letters: list[DeadLetterCount]
    readings: ReadingCounts


@message
class VerdictNews:
    """To the desk: verdicts given since the last such message."""

    torch: int
    baseline: int


@message
class TorchNews:
    text: str


@message
class DetectedNews:
    incident: str
    patient: str
    metric: str
    decided_by: str
    at: float


@message
class DecidedNews:
    incident: str
    patient: str
    cause: str
    remedy: str
    attempt: int
    at: float
    trace_id: str


@message
class RepairedNews:
    incident: str
    remedy: str
    took_s: float
    at: float


@message
class VerifiedNews:
    incident: str
    ok: bool
    at: float


@message
class GaveUpNews:
    incident: str
    patient: str
    why: str
    at: float


@message
class CrashNews:
    """To the desk: an agent failed."""

    address: str
    node: str
    error: str
    at: float
    supervisor: str
    """Path of the supervisor that decides."""


@message
class RestartNews:
    """To the desk: its supervisor has it back, `down_s` seconds after the failure."""

    address: str
    node: str
    down_s: float
    at: float
    supervisor: str
    cause: str
    """Why, where it is not its own failure: the failure of a sibling, which it depends on."""
