"""One line of what `covey doctor` has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Verdict"]


class Verdict(StrEnum):
    """What a finding means for a swarm."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should, or not for long."""
    FAILURE = "failure"
    """A node does not start, or does not do its work."""
    SKIPPED = "skipped"
    """It could not be found out; `seen` says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen in one check, and what to do about it."""

    check: str
    verdict: Verdict
    seen: str
    fix: str = ""
    """Empty when there is nothing to do."""
