"""What may happen to a frame on its way, drawn from a random stream; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

__all__ = ["Fate", "Fault", "Kind", "Odds", "draw"]

Kind = Literal["dropped", "duplicated", "delayed", "reordered", "cut off", "cut", "healed"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the log."""

    kind: Kind
    """`cut off` is a frame that met a cut link; `cut` and `healed` are what the test did to the link."""
    source: str
    target: str
    number: int = 0
    """Of the frame on its link, from 1; 0 for what happened to the link itself."""
    delay_s: float = 0.0
    at_s: float = field(default=0.0, compare=False)
    """When, on the clock of the node that it was sent to."""


@dataclass(frozen=True, slots=True)
class Odds:
    """How probable each fault is, 0 to 1, and how long a delay may be."""

    drop: float
    duplicate: float
    delay: float
    reorder: float
    delay_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one frame."""

    is_dropped: bool
    is_duplicated: bool
    is_reordered: bool
    """Held back while later ones pass."""
    delay_s: float
    """0 for a frame that is neither delayed nor reordered."""


def draw(random: Random, odds: Odds) -> Fate:
    """The fate of the next frame.

    Draws the same count of numbers whatever the odds: what happens to a frame depends on the seed, its
    link and its place on that link alone.
    """
    drop, duplicate, delay, reorder, share = (random.random() for _ in range(5))
    shortest, longest = odds.delay_s
    is_reordered = reorder < odds.reorder
    return Fate(
        drop < odds.drop,
        duplicate < odds.duplicate,
        is_reordered,
        shortest + share * (longest - shortest) if is_reordered or delay < odds.delay else 0.0,
    )
