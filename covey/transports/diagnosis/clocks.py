"""How far a server's clock is from ours, by times that it told. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from covey.transports.diagnosis.facts import Clock

__all__ = ["clock_of"]


def clock_of(samples: Iterable[tuple[float, str, float]]) -> Clock | None:
    """The difference by the sample that took the least; None if there is none that can be read.

    Args:
        samples: when it was asked, the server's time as RFC 3339, and when the answer came; ours in seconds
            since 1970.
    """
    clocks = [_clock(*sample) for sample in samples]
    return min((clock for clock in clocks if clock), key=lambda clock: clock.within_s, default=None)


def _clock(asked: float, told: str, answered: float) -> Clock | None:
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return None
    if at.tzinfo is None or answered < asked:  # our own clock was set meanwhile
        return None
    return Clock(at.timestamp() - (asked + answered) / 2, (answered - asked) / 2)
