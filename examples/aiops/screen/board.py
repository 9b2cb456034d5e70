"""The board: everything the demo shows, as pure state that events change.

It reads no clock, does no I/O and starts nothing. It is not thread-safe: the view that owns it takes a
lock around `apply` and around drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import singledispatchmethod

from . import board_events as events
from .board_faults import Fault, Incident, fault_of
from .board_rows import Crash, Health, NodeRow

__all__ = ["BUCKETS", "Board"]

BUCKETS = 120
"""A patient's health over the run is kept in at most about this many slices."""

MAX_CRASHES = 100
"""Agent crashes kept by name; all of them are counted."""


class Board:
    """What is known of one run. `now` is the newest time that anything has told it, in seconds."""

    def __init__(
        self,
        patients: Sequence[str],
        *,
        twin: str = "twin",
        twin_of: str | None = None,
        seconds: float = 35.0,
        faults: bool = True,
        repair: bool = True,
    ) -> None:
        """`patients` are the treated ones; `twin_of` (the first of them, unless said) has the twin."""
        self.patients = tuple(patients)
        self.twin = twin
        self.twin_of = twin_of or (self.patients[0] if self.patients else "")
        self.seconds = seconds
        self.wants_faults = faults
        self.may_repair = repair
        self.now = 0.0
        self.phase = ""
        self.torch = ""
        self.nodes: dict[str, NodeRow] = {}
        self.health: dict[str, Health] = {name: Health() for name in (*self.patients, twin)}
        self.faults: dict[tuple[str, str], Fault] = {}
        self.incidents: dict[str, Incident] = {}
        self.crashes: list[Crash] = []
        self.crash_count = self.restart_count = self.sibling_count = self.repair_count = 0
        self.slowest_restart_s: float | None = None
        self.dead_letters = events.DeadLetters(0)
        self.false_alarms: list[events.FalseAlarm] = []
        self.verdicts = events.Verdicts(torch=0, baseline=0)
        self.ask: events.AskLatency | None = None
        self.readings = events.Readings(0, 0, 0)
        self._loose: dict[str, Incident] = {}
        self._early_siblings: Counter[str] = Counter()
        """By the address of the agent that failed: told by another node before the failure was."""

    def apply(self, event: events.Event, now: float | None = None) -> None:
        """Take note of `event`, which reached the board at `now` seconds (its own `at`, unless said)."""
        at = now if now is not None else getattr(event, "at", self.now)
        self.now = max(self.now, at)
        self._apply(event)

    @property
    def treated(self) -> list[Fault]:
        """The injected faults that the swarm is answerable for, in order of injection."""
        mine = (fault for fault in self.faults.values() if fault.patient != self.twin)
        return sorted(mine, key=lambda fault: fault.injected_at)

    @property
    def unexplained(self) -> list[Incident]:
        """Incidents that no injected fault accounts for."""
        return list(self._loose.values())

    @property
    def current(self) -> Fault | None:
        """The fault to watch: the newest that is open and not given up, else the newest."""
        faults = self.treated
        live = [fault for fault in faults if fault.is_open and not fault.gave_up]
        return (live or faults)[-1] if faults else None

    @property
    def messages(self) -> int:
        return sum(row.messages for row in self.nodes.values())

    def availability(self, *patients: str) -> float | None:
        """The share of probes answered since the first injection, over `patients`; None before any."""
        rows = [self.health[name] for name in patients if name in self.health]
        total = sum(row.total - row.total_before for row in rows)
        return sum(row.ok - row.ok_before for row in rows) / total if total > 0 else None

    @property
    def availability_treated(self) -> float | None:
        """Of the treated patient that has a twin: like for like."""
        return self.availability(self.twin_of)

    @property
    def availability_all(self) -> float | None:
        """Of all treated patients together."""
        return self.availability(*self.patients)

    @property
    def availability_twin(self) -> float | None:
        return self.availability(self.twin)

    def fault_on(self, patient: str) -> Fault | None:
        """The newest fault that is active on `patient`."""
        active = [fault for fault in self.faults.values() if fault.patient == patient and fault.is_open]
        return active[-1] if active else None

    def by_kind(self) -> dict[str, list[Fault]]:
        """The treated faults by kind: the six known kinds first, whether or not they came."""
        rows: dict[str, list[Fault]] = {kind: [] for kind in events.FAULT_KINDS}
        for fault in self.treated:
            rows.setdefault(fault.kind, []).append(fault)
        return rows

    def deciders(self, faults: Sequence[Fault]) -> Counter[str]:
        """How many of `faults` were first noticed by whom."""
        return Counter(fault.decided_by for fault in faults if fault.decided_by)

    @singledispatchmethod
    def _apply(self, event: object) -> None:
        raise TypeError(f"{type(event).__name__} is no event of the board: see board_events.Event")

    @_apply.register
    def _(self, event: events.Phase) -> None:
        self.phase = events.one_line(event.text)

    @_apply.register
    def _(self, event: events.NodeUp) -> None:
        self.nodes[event.node] = NodeRow(event.node, event.pid)

    @_apply.register
    def _(self, event: events.NodeDown) -> None:
        self._node(event.node).down = events.one_line(event.reason) or "gone"

    @_apply.register
    def _(self, event: events.NodeStats) -> None:
        row = self._node(event.node)
        row.agents, row.messages = event.agents, event.messages

    @_apply.register
    def _(self, event: events.Injected) -> None:
        if not self.faults:
            for row in self.health.values():
                row.ok_before, row.total_before = row.ok, row.total
        fault = Fault(event.fault_id, event.kind, event.patient, event.at)
        self.faults[event.fault_id, event.patient] = fault  # the twin's copy may bear the same id
        self._link()

    @_apply.register
    def _(self, event: events.FaultEnded) -> None:
        fault = self.faults.get((event.fault_id, event.patient))
        if fault is None:  # the witness was quicker to tell than the injector
            injected_at = event.at - event.lasted_s
            self._apply(events.Injected(event.fault_id, event.kind, event.patient, injected_at))
            fault = self.faults[event.fault_id, event.patient]
        fault.ended_at, fault.lasted_s = event.at, event.lasted_s

    @_apply.register
    def _(self, event: events.Detected) -> None:
        seen = self.incidents.get(event.incident)
        if seen is None:
            seen = Incident(event.incident, event.patient, event.at, event.metric, event.decided_by)
            self.incidents[event.incident] = self._loose[event.incident] = seen
        elif not seen.decided_by:  # the decision overtook the verdict that it rests on
            seen.metric, seen.decided_by = event.metric, event.decided_by
            seen.detected_at = min(seen.detected_at, event.at)
        self._link()

    @_apply.register
    def _(self, event: events.Decided) -> None:
        seen = self._incident(event.incident, event.patient, event.at)
        seen.cause, seen.remedy, seen.attempt = event.cause, event.remedy, event.attempt
        seen.decided_at, seen.trace_id = event.at, event.trace_id or seen.trace_id
        seen.repaired_at = seen.verified_at = None

    @_apply.register
    def _(self, event: events.Repaired) -> None:
        self.repair_count += 1
        seen = self.incidents.get(event.incident)
        if seen is not None:
            seen.repaired_at, seen.remedy = event.at, event.remedy

    @_apply.register
    def _(self, event: events.Verified) -> None:
        seen = self.incidents.get(event.incident)
        if seen is not None and event.ok:
            seen.verified_at = event.at

    @_apply.register
    def _(self, event: events.GaveUp) -> None:
        seen = self._incident(event.incident, event.patient, event.at)
        seen.gave_up = events.one_line(event.why) or "no remedy is left"

    @_apply.register
    def _(self, event: events.FalseAlarm) -> None:
        self.false_alarms.append(event)

    @_apply.register
    def _(self, event: events.AgentCrashed) -> None:
        self.crash_count += 1
        error = events.one_line(event.error)
        crash = Crash(event.address, event.node, error, event.at, event.supervisor)
        crash.siblings = self._early_siblings.pop(event.address, 0)
        self.crashes.append(crash)
        del self.crashes[:-MAX_CRASHES]

    @_apply.register
    def _(self, event: events.AgentRestarted) -> None:
        if event.cause:
            self._restarted_with(event.cause.removesuffix(" failed"))
            return
        self.restart_count += 1
        self.slowest_restart_s = max(event.down_s, self.slowest_restart_s or 0.0)
        for crash in self.crashes:
            if crash.address == event.address and crash.down_s is None:
                crash.down_s = event.down_s
                return

    @_apply.register
    def _(self, event: events.Availability) -> None:
        slice_index = int(self.now / max(0.5, self.seconds / BUCKETS))
        for patient, total in event.total.items():
            row = self.health.setdefault(patient, Health())
            row.count(event.ok.get(patient, 0), total, slice_index)

    @_apply.register
    def _(self, event: events.Verdicts) -> None:
        self.verdicts = event

    @_apply.register
    def _(self, event: events.AskLatency) -> None:
        self.ask = event

    @_apply.register
    def _(self, event: events.DeadLetters) -> None:
        self.dead_letters = event

    @_apply.register
    def _(self, event: events.Readings) -> None:
        self.readings = event

    @_apply.register
    def _(self, event: events.TorchState) -> None:
        self.torch = events.one_line(event.text)

    def _restarted_with(self, failed: str) -> None:
        """A sibling of the agent that failed was restarted with it."""
        self.sibling_count += 1
        for crash in reversed(self.crashes):
            if crash.address == failed:
                crash.siblings += 1
                return
        self._early_siblings[failed] += 1

    def _node(self, node: str) -> NodeRow:
        return self.nodes.setdefault(node, NodeRow(node))

    def _incident(self, incident: str, patient: str, at: float) -> Incident:
        if incident not in self.incidents:
            self._apply(events.Detected(incident, patient, "", "", at))
        return self.incidents[incident]

    def _link(self) -> None:
        for seen in list(self._loose.values()):
            fault = fault_of(seen, self.faults.values())
            if fault is not None:
                fault.incidents.append(seen)
                del self._loose[seen.incident]
