"""A forecast, and the robust statistical one that needs no learning: the median, and the MAD around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["MIN_BASELINE", "Forecast", "forecast_baseline"]

MIN_BASELINE = 4
"""How many values the baseline needs (under a second)."""

_MAD_TO_SIGMA = 1.4826  # of a normal distribution; Rousseeuw and Croux 1993, section 1


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the next value should be: centre and scale (like a standard deviation), in the metric's unit."""

    mean: float
    scale: float

    def is_usable(self) -> bool:
        """Whether both are finite and the scale is not negative."""
        return math.isfinite(self.mean) and math.isfinite(self.scale) and self.scale >= 0.0


def forecast_baseline(values: Sequence[float]) -> Forecast | None:
    """The median of `values` with their MAD as the scale; None below `MIN_BASELINE` values.

    Half of the values may be arbitrarily wrong before the median leaves the range of the rest. The scale is
    wider by 2/n, since the MAD of few values is often too small.
    """
    count = len(values)
    if count < MIN_BASELINE:
        return None
    centre = median(values)
    deviation = median([abs(value - centre) for value in values])
    return Forecast(mean=centre, scale=_MAD_TO_SIGMA * deviation * (1.0 + 2.0 / count))
