"""What the witness makes of one patient: its availability, when a fault is over, what was a false alarm.

Pure: it is told what was seen, with the time of it, and never looks at a clock, a process or a file.
"""

from collections import deque
from dataclasses import dataclass, field

PROBE_TIMEOUT_S = 0.3
HEALTHY_S = 0.5
"""A patient must be healthy for this long before a fault counts as over."""
GRACE_S = 1.0
"""A repair that starts up to this long after the end of a fault is no false alarm: the repairer acted on
what it saw while the fault lasted (a retry because its own check had not come back yet, for example)."""
UNSEEN_S = 3.0
"""A fault of which nothing was ever seen counts as over after this long."""
RSS_MARGIN_MB, RSS_GROWTH_MB = 30.0, 3.0
FOLDER_LIMIT_MB, FOLDER_GROWTH_MB = 10.0, 1.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to a patient: answered well and in time, or not."""

    at: float
    ended_at: float
    ok: bool


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen of a patient's process and folder at one moment."""

    at: float
    alive: bool
    starts: int
    rss_mb: float
    children: int
    folder_mb: float


@dataclass(slots=True)
class WitnessedFault:
    """One fault that a patient got; `ended_at` is None while it lasts."""

    fault_id: str
    kind: str
    patient: str
    at: float
    starts: int
    seen: bool = False
    ended_at: float | None = None

    @property
    def lasted_s(self) -> float | None:
        """From the injection to the first moment of lasting health."""
        return None if self.ended_at is None else self.ended_at - self.at


@dataclass(slots=True)
class WitnessCase:
    """Everything that was seen of one patient."""

    name: str
    treated: bool
    ok: int = 0
    total: int = 0
    faults: list[WitnessedFault] = field(default_factory=list)
    _probes: deque[Probe] = field(default_factory=lambda: deque(maxlen=100))
    _last: Examination | None = None
    _first_rss_mb: float | None = None
    _normal_since: float | None = None

    def probed(self, probe: Probe) -> None:
        """A probe has its answer, or will not get one in time; probes may come in any order."""
        self.ok += probe.ok
        self.total += 1
        self._probes.append(probe)
        if not probe.ok:
            self._see(probe.at)

    def examined(self, now: Examination) -> None:
        """Process and folder were looked at; in time order."""
        last, self._last = self._last, now
        if self._first_rss_mb is None and now.alive:
            self._first_rss_mb = now.rss_mb
        if self._is_normal(now, last):
            self._normal_since = now.at if self._normal_since is None else self._normal_since
        else:
            self._normal_since = None
            self._see(now.at)
        for fault in self.faults:
            fault.seen = fault.seen or now.starts > fault.starts

    def injected(self, fault_id: str, kind: str, at: float) -> None:
        """The patient was told to misbehave; harm that was seen before this was known counts."""
        starts = 0 if self._last is None else self._last.starts
        seen = any(not probe.ok and probe.at >= at for probe in self._probes)
        self.faults.append(WitnessedFault(fault_id, kind, self.name, at, starts, seen))

    def is_false_alarm(self, repair_at: float) -> bool:
        """Whether a repair that started at `repair_at` had no fault to repair.

        It had one if a fault was active then or had ended at most `GRACE_S` before. Any repair of an
        untreated patient is a false alarm.
        """
        return not self.treated or not any(
            fault.at <= repair_at and (fault.ended_at is None or repair_at <= fault.ended_at + GRACE_S)
            for fault in self.faults
        )

    def ended(self, now: float) -> list[WitnessedFault]:
        """The faults that turned out to be over since the last call.

        A fault is over once something was seen of it (a bad probe, an abnormal process or folder, a new
        process), or nothing was for `UNSEEN_S`; and since then all probes were well and process and folder
        normal for `HEALTHY_S`. Its end is the beginning of that time: the first good answer, or the first
        normal look at process and folder, whichever is later.
        """
        healthy_since = self._healthy_since(now)
        if healthy_since is None:
            return []
        over = []
        for fault in self.faults:
            ripe = fault.seen or now - fault.at > UNSEEN_S
            if fault.ended_at is None and ripe and now - PROBE_TIMEOUT_S - fault.at >= HEALTHY_S:
                fault.ended_at = max(fault.at, healthy_since)
                over.append(fault)
        return over

    def _healthy_since(self, now: float) -> float | None:
        """Since when all is well, or None if that is not yet `HEALTHY_S`."""
        until = now - PROBE_TIMEOUT_S  # later probes may still be without their answer
        last_bad = max((probe.at for probe in self._probes if not probe.ok), default=0.0)
        good = [probe for probe in self._probes if last_bad < probe.at <= until]
        if not good or self._normal_since is None:
            return None
        since = max(min(good, key=lambda probe: probe.at).ended_at, self._normal_since)
        return since if until - since >= HEALTHY_S else None

    def _is_normal(self, now: Examination, last: Examination | None) -> bool:
        before = now if last is None or last.starts != now.starts else last
        return (
            now.alive
            and now.children == 0
            and now.rss_mb <= (self._first_rss_mb or now.rss_mb) + RSS_MARGIN_MB
            and now.rss_mb - before.rss_mb <= RSS_GROWTH_MB
            and now.folder_mb <= FOLDER_LIMIT_MB
            and now.folder_mb - before.folder_mb <= FOLDER_GROWTH_MB
        )

    def _see(self, at: float) -> None:
        for fault in self.faults:
            fault.seen = fault.seen or at >= fault.at
