"""`Backoff`: how long a supervisor waits before it restarts a child again."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

from covey.framework.errors import ConfigurationError

__all__ = ["Backoff", "delay_s"]


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


def delay_s(backoff: Backoff | None, in_a_row: int, random_share: float | None = None) -> float:
    """Seconds to wait before restart number `in_a_row` (1 for the first after a quiet time)."""
    if backoff is None or in_a_row <= 1:
        return 0.0
    share = random.random() if random_share is None else random_share
    return _grown_s(backoff, in_a_row - 2) * (1 + backoff.jitter * share)


def _grown_s(backoff: Backoff, times: int) -> float:
    try:
        return min(float(backoff.max_s), backoff.initial_s * float(backoff.factor) ** times)
    except OverflowError:  # of the power: by then any `initial_s` but 0 has grown to `max_s`
        return float(backoff.max_s) if backoff.initial_s else 0.0


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
