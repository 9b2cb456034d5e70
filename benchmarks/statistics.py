"""What a handful of noisy samples says: medians, quantiles and an interval for the median. Pure.

The interval is that of order statistics: it assumes nothing about the distribution but independent samples,
and needs no random numbers. (H. A. David, H. N. Nagaraja: Order Statistics, 3rd edition, section 7.1.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Interval", "median", "median_interval", "quantile"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Two of the samples, and how surely the true median lies between them."""

    low: float
    high: float
    coverage: float
    """Probability from 0 to 1. Few samples cannot give much: one 0, three 0.75, six 0.97."""


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones.

    Raises:
        ValueError: there are no values.
    """
    ordered = _ordered(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return ordered[half - 1] + (ordered[half] - ordered[half - 1]) / 2


def quantile(values: Sequence[float], fraction: float) -> float:
    """The smallest value that at least `fraction` of all values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or the fraction is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"a quantile's fraction lies between 0 and 1, not at {fraction}")
    ordered = _ordered(values)
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The narrowest symmetric pair of samples that covers the median with at least this confidence.

    With too few samples for the confidence it is the whole range, and `coverage` says what that is worth.

    Raises:
        ValueError: there are no values.
    """
    ordered = _ordered(values)
    count = len(ordered)
    rank = 1
    while rank + 1 <= count - rank and _coverage(count, rank + 1) >= confidence:
        rank += 1
    return Interval(ordered[rank - 1], ordered[count - rank], _coverage(count, rank))


def _coverage(count: int, rank: int) -> float:
    """Probability that the median lies between the rank-th smallest and the rank-th largest sample."""
    outside = sum(math.comb(count, below) for below in range(rank))
    return 1 - 2 * outside / (1 << count)


def _ordered(values: Sequence[float]) -> list[float]:
    if not values:
        raise ValueError("a median or a quantile needs at least one value")
    return sorted(values)
