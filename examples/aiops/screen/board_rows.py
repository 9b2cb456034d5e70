"""The board's rows: a node, an agent's crash, a patient's health."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Crash", "Health", "NodeRow"]


@dataclass(slots=True)
class NodeRow:
    node: str
    pid: int = 0
    agents: int = 0
    messages: int = 0
    down: str = ""
    """Why the node is gone, or empty while it is up."""


@dataclass(slots=True)
class Crash:
    address: str
    node: str
    error: str
    at: float
    supervisor: str = ""
    """Path of the supervisor that brings it back."""
    down_s: float | None = None
    """Seconds until its supervisor had it back, or None while it is down."""
    siblings: int = 0
    """Agents that were restarted with it, because they depend on it."""


@dataclass(slots=True)
class Health:
    """One patient's probes: totals, totals at the first injection, and the run in slices."""

    ok: int = 0
    total: int = 0
    ok_before: int = 0
    total_before: int = 0
    last: float | None = None
    """The share answered in the newest sample."""
    slices: dict[int, tuple[int, int]] = field(default_factory=dict)

    def count(self, ok: int, total: int, slice_index: int) -> None:
        new_ok, new_total = ok - self.ok, total - self.total
        if new_total <= 0:
            return
        was_ok, was_total = self.slices.get(slice_index, (0, 0))
        self.slices[slice_index] = (was_ok + new_ok, was_total + new_total)
        self.ok, self.total, self.last = ok, total, new_ok / new_total
