"""The median of what is known."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

__all__ = ["median_of"]


def median_of(values: Iterable[float | None]) -> float | None:
    """The median of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
