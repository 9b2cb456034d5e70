"""A bounded window of one measured metric, and what is known about each metric beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = [
    "FORECAST_WINDOW",
    "HELD_BACK",
    "HISTORY",
    "HORIZON",
    "HOST_TRAITS",
    "MIN_HISTORY",
    "PATIENT_TRAITS",
    "Direction",
    "MetricTraits",
    "Series",
    "traits_of",
]

Direction = Literal["high", "low"]

FORECAST_WINDOW = 24
"""How many values one forecast looks at."""

HELD_BACK = 4
"""How many of the newest calm values are kept out of the history, so that the first second of a fault
cannot shape the forecast that judges it."""

HORIZON = HELD_BACK + 1
"""How many samples after the end of the history the judged value lies."""

HISTORY = FORECAST_WINDOW + HORIZON + 3
"""How many values a detector keeps: enough for one forecast and for one past forecast to learn from."""

MIN_HISTORY = 16
"""How many values the learned forecast needs (about 3 s); below that the baseline covers."""


@dataclass(frozen=True, slots=True)
class MetricTraits:
    """What one metric is like; every value is in the metric's own unit.

    A value beyond `floor` or `ceiling` is outside every band and is never learned as normal. `high` and `low`
    say which side of the band is a fault; a value beyond the other side is simply the new level.
    """

    metric: str
    unit: float
    """The noise that nobody would call a change; the forecast normalises with it."""
    minimum_band: float
    """The band's half-width is never below this, whatever the forecast's scale."""
    maximum_band: float
    """... and never above this, so that noise cannot hide a fault."""
    high: bool = True
    low: bool = False
    floor: float | None = None
    ceiling: float | None = None
    patience: int = 3
    """Consecutive samples outside the band that make an anomaly."""
    recovery: int = 3
    """Consecutive samples inside the band that end one."""

    def is_learnable(self, value: float) -> bool:
        """Whether `value` may be part of what is normal."""
        too_low = self.floor is not None and value < self.floor
        too_high = self.ceiling is not None and value > self.ceiling
        return not (too_low or too_high)


_LIVENESS = {"unit": 0.05, "minimum_band": 0.5, "maximum_band": 0.5, "high": False, "low": True, "floor": 0.5}

PATIENT_TRAITS: Mapping[str, MetricTraits] = MappingProxyType(
    {
        "latency_ms": MetricTraits("latency_ms", 3.0, 155.0, 190.0, ceiling=200.0, patience=3),
        "up": MetricTraits("up", **_LIVENESS, patience=2, recovery=2),  # type: ignore[arg-type]
        "alive": MetricTraits("alive", **_LIVENESS, patience=1, recovery=2),  # type: ignore[arg-type]
        "running": MetricTraits("running", **_LIVENESS, patience=2, recovery=2),  # type: ignore[arg-type]
        "cpu_percent": MetricTraits("cpu_percent", 4.0, 40.0, 70.0, ceiling=85.0, patience=2),
        "rss_mb": MetricTraits("rss_mb", 1.0, 10.0, 30.0, floor=1.0, patience=2),
        "folder_mb": MetricTraits("folder_mb", 0.5, 6.0, 15.0, patience=2),
    }
)
"""The series of one patient. Half-widths leave room for the spikes of a busy two-core machine (latency to
150 ms, cpu to 30 %) and stay below the least that a fault does within a second."""

HOST_TRAITS: Mapping[str, MetricTraits] = MappingProxyType(
    {
        "cpu_percent": MetricTraits("cpu_percent", 10.0, 60.0, 80.0, patience=15, recovery=5),
        "memory_percent": MetricTraits("memory_percent", 1.0, 10.0, 20.0, patience=5),
    }
)
"""The series of the host, which the swarm itself loads: only a long change is worth a word."""


def traits_of(metric: str, *, host: bool = False) -> MetricTraits:
    """The traits of a patient's metric, or of the host's.

    Raises: ValueError for a metric that is not measured.
    """
    table = HOST_TRAITS if host else PATIENT_TRAITS
    traits = table.get(metric)
    if traits is None:
        whose = "the host" if host else "a patient"
        raise ValueError(f"no metric {metric!r} of {whose}; the measured ones are {', '.join(table)}")
    return traits


class Series:
    """The last `capacity` values of one metric with their times, oldest first."""

    __slots__ = ("_times", "_values", "capacity")

    def __init__(self, capacity: int = HISTORY) -> None:
        if capacity < 1:
            raise ValueError(f"a series of capacity {capacity} keeps nothing; use 1 or more")
        self.capacity = capacity
        self._values: deque[float] = deque(maxlen=capacity)
        self._times: deque[float] = deque(maxlen=capacity)

    def append(self, value: float, at_s: float) -> None:
        """Adds the newest value; the oldest leaves when the window is full."""
        self._values.append(value)
        self._times.append(at_s)

    def values(self) -> list[float]:
        return list(self._values)

    def times(self) -> list[float]:
        """Seconds, on the clock of whoever measured."""
        return list(self._times)

    def clear(self) -> None:
        self._values.clear()
        self._times.clear()

    def __len__(self) -> int:
        return len(self._values)
