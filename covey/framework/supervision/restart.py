"""The restart rule: pure functions of a history, the time and the limits."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from covey.framework.errors import ConfigurationError

__all__ = [
    "Backoff",
    "Limits",
    "Restart",
    "RestartType",
    "Streak",
    "add_restart",
    "decide_restart",
    "delay_s",
    "recent_restarts",
    "wants_restart",
]

RestartType = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a supervisor waits before it restarts a child again.

    The first restart after a quiet time is immediate. From the second in a row the wait is `initial_s`,
    then times `factor` each, at most `max_s`, and up to `jitter` (a share of it) is added at random, so
    that children which failed together do not return together. A child that was restarted `reset_s` ago or
    longer is quiet again.
    """

    initial_s: float = 0.05
    factor: float = 2.0
    max_s: float = 10.0
    jitter: float = 0.2
    reset_s: float = 30.0

    def __post_init__(self) -> None:
        fields = (self.initial_s, self.factor, self.max_s, self.jitter, self.reset_s)
        if not all(_is_number(value) for value in fields) or not (
            0 <= self.initial_s <= self.max_s
            and self.factor >= 1
            and 0 <= self.jitter <= 1
            and self.reset_s > 0
        ):
            raise ConfigurationError(
                f"{self}: needs finite numbers with 0 <= initial_s <= max_s, factor >= 1, 0 <= jitter <= 1 "
                "and reset_s > 0"
            )


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


def delay_s(backoff: Backoff | None, in_a_row: int, random_share: float | None = None) -> float:
    """Seconds to wait before restart number `in_a_row` (1 for the first after a quiet time)."""
    if backoff is None or in_a_row <= 1:
        return 0.0
    # The exponent is capped: factor ** 2000 would overflow long after max_s was reached.
    wait = min(backoff.max_s, backoff.initial_s * backoff.factor ** min(in_a_row - 2, 64))
    share = random.random() if random_share is None else random_share
    return wait * (1 + backoff.jitter * share)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
