"""The restart rule: pure functions of a history, the time and the limits."""

from __future__ import annotations

import random
from dataclasses import dataclass

from covey.framework.errors import ConfigurationError

__all__ = ["Backoff", "add_restart", "delay_s"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a supervisor waits before it restarts a child again.

    The first restart after a quiet time is immediate. From the second in a row the wait is `initial_s`,
    then times `factor` each, at most `max_s`, and up to `jitter` (a share of it) is added at random, so
    that children which failed together do not return together. A child that ran for `reset_s` without a
    failure is quiet again.
    """

    initial_s: float = 0.05
    factor: float = 2.0
    max_s: float = 10.0
    jitter: float = 0.2
    reset_s: float = 30.0

    def __post_init__(self) -> None:
        if not (
            0 <= self.initial_s <= self.max_s
            and self.factor >= 1
            and 0 <= self.jitter <= 1
            and self.reset_s > 0
        ):
            raise ConfigurationError(
                f"{self}: needs 0 <= initial_s <= max_s, factor >= 1, 0 <= jitter <= 1 and reset_s > 0"
            )


def add_restart(
    history: tuple[float, ...], now: float, intensity: int, period_s: float
) -> tuple[float, ...] | None:
    """The history with a restart at `now`, or None if that is one more than the intensity allows.

    At most `intensity` restarts within any `period_s` seconds, as in Erlang/OTP's supervisor
    (stdlib, supervisor, "Maximum restart intensity"). `intensity = 0` allows none.
    """
    recent = (*(t for t in history if now - t < period_s), now)
    return recent if len(recent) <= intensity else None


def delay_s(backoff: Backoff | None, in_a_row: int, random_share: float | None = None) -> float:
    """Seconds to wait before restart number `in_a_row` (1 for the first after a quiet time)."""
    if backoff is None or in_a_row <= 1:
        return 0.0
    # The exponent is capped: factor ** 2000 would overflow long after max_s was reached.
    wait = min(backoff.max_s, backoff.initial_s * backoff.factor ** min(in_a_row - 2, 64))
    share = random.random() if random_share is None else random_share
    return wait * (1 + backoff.jitter * share)
