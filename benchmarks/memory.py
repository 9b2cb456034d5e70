"""The most memory that this process has ever had."""

from __future__ import annotations

import resource
import sys

__all__ = ["peak_mib"]


def peak_mib() -> float:
    """The peak of its resident memory so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # bytes there, KiB elsewhere
