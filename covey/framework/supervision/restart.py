"""The restart rule: pure functions of a history, the time and the limits."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Literal, NamedTuple, Protocol

from covey.framework.supervision.backoff import Backoff, delay_s

__all__ = [
    "Limits",
    "Restart",
    "RestartType",
    "Streak",
    "add_restart",
    "decide_restart",
    "recent_restarts",
    "wants_restart",
]

RestartType = Literal["permanent", "transient", "temporary"]


class Limits(Protocol):
    """What a supervisor's spec says of restarts."""

    @property
    def intensity(self) -> int: ...
    @property
    def period_s(self) -> float: ...
    @property
    def backoff(self) -> Backoff | None: ...


class Streak(NamedTuple):
    """The restarts of one child, or of a group that restarts together, since its last quiet time."""

    in_a_row: int = 0
    last: float = -math.inf
    """When the last one was decided."""

    def next(self, now: float, backoff: Backoff | None) -> Streak:
        """With the restart that is decided now."""
        is_quiet = backoff is not None and now - self.last >= backoff.reset_s
        return Streak(1 if is_quiet else self.in_a_row + 1, now)


class Restart(NamedTuple):
    """A restart that is allowed: when, and the history with it."""

    wait_s: float
    history: tuple[float, ...]
    streak: Streak


def wants_restart(restart: RestartType, *, failed: bool) -> bool:
    """Whether a child that went down is to come back, as Erlang/OTP's restart types say."""
    return restart == "permanent" or (restart == "transient" and failed)


def decide_restart(
    history: tuple[float, ...], streak: Streak, now: float, limits: Limits, share: float
) -> Restart | None:
    """The restart that is due at `now`, or None where the supervisor has to give up.

    Args:
        history: the supervisor's restarts so far, as the last decision returned it.
        streak: the child's, or the group's that restarts together.
        share: where in the range of the jitter the wait lies, 0 to 1.
    """
    grown = add_restart(history, now, limits.intensity, limits.period_s)
    if grown is None:
        return None
    longer = streak.next(now, limits.backoff)
    return Restart(delay_s(limits.backoff, longer.in_a_row, share), grown, longer)


def add_restart(
    history: tuple[float, ...], now: float, intensity: int, period_s: float
) -> tuple[float, ...] | None:
    """The history with a restart at `now`, or None if that is one more than the intensity allows.

    At most `intensity` restarts within any `period_s` seconds, as in Erlang/OTP's supervisor
    (stdlib, supervisor, "Maximum restart intensity"). `intensity = 0` allows none.
    """
    # By bisection, and with one copy: with an intensity of thousands it counts in a crash storm.
    first = bisect_left(history, True, key=lambda at: now - at < period_s)
    if len(history) - first >= intensity:
        return None
    return history[first:] + (now,)  # noqa: RUF005 - (*x, now) copies a second time


def recent_restarts(history: tuple[float, ...], now: float, period_s: float) -> int:
    """How many restarts of a history count towards the intensity at `now`."""
    return sum(now - at < period_s for at in history)
