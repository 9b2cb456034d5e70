"""Which agents are made to crash, and when: a pure, seeded plan."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from ..reasoning.series import PATIENT_TRAITS
from .monitor import series_key

__all__ = ["PlannedCrash", "plan_crashes"]

FIRST_SHARE, LAST_SHARE = 0.2, 0.7
"""The part of the run in which agents crash: there is something to lose by then, and time to make it good."""

KINDS = ("detector", "decision_centre", "repairer", "monitor", "detector")
"""Whose turn it is, one after the other; there are more detectors than others."""


@dataclass(frozen=True, slots=True)
class PlannedCrash:
    """The agent at `kind/key` is told to fail `at_s` seconds after the start of the run."""

    at_s: float
    kind: str
    key: str


def plan_crashes(seed: int, seconds: float, patients: Sequence[str], count: int) -> list[PlannedCrash]:
    """`count` crashes in time order, evenly spread; the same arguments give the same plan.

    All kinds have their turns, and so have the patients.
    """
    rng = random.Random(seed)
    step_s = (LAST_SHARE - FIRST_SHARE) * seconds / max(1, count)
    whose = cycle(rng.sample(list(patients), len(patients)))
    crashes = []
    for number, kind in enumerate(islice(cycle(KINDS), count)):
        at_s = FIRST_SHARE * seconds + (number + 0.5) * step_s
        crashes.append(PlannedCrash(at_s, kind, _key(kind, whose, rng)))
    return crashes


def _key(kind: str, whose: Iterator[str], rng: random.Random) -> str:
    if kind == "decision_centre":
        return "main"
    patient = next(whose)
    return series_key(patient, rng.choice(list(PATIENT_TRAITS))) if kind == "detector" else patient
