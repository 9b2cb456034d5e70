"""`Row`: one reported figure, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.statistics import median, median_interval

__all__ = ["Row", "row_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """The median of a figure over all rounds, and the interval of that median."""

    system: str
    metric: str
    value: float | None
    """None if it was not measured: `note` says why."""
    unit: str
    better: str
    low: float | None
    high: float | None
    coverage: float
    pairs: int
    note: str = ""

    def as_json(self) -> dict[str, str | float | None]:
        return asdict(self)


def row_of(system: str, metric: str, unit: str, better: str, values: Sequence[float], note: str = "") -> Row:
    """The row of these values, one for each round; without values, a row that only says why."""
    if not values:
        return Row(system, metric, None, unit, better, None, None, 0.0, 0, note)
    interval = median_interval(values)
    return Row(
        system=system,
        metric=metric,
        value=median(values),
        unit=unit,
        better=better,
        low=interval.low,
        high=interval.high,
        coverage=interval.coverage,
        pairs=len(values),
        note=note,
    )
