"""Properties of the restart rule, the backoff and the timers' ticks."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from covey import Backoff
from covey.framework.supervision.backoff import delay_s
from covey.framework.supervision.restart import add_restart
from covey.framework.timers import next_tick

times = st.lists(st.floats(0, 1000, allow_nan=False), max_size=60).map(sorted)


@given(times, st.integers(0, 6), st.floats(0.01, 100))
def test_no_window_of_a_period_holds_more_restarts_than_the_intensity(
    moments: list[float], intensity: int, period_s: float
) -> None:
    history: tuple[float, ...] = ()
    allowed: list[float] = []
    for now in moments:
        grown = add_restart(history, now, intensity, period_s)
        recent = [t for t in allowed if now - t < period_s]
        assert (grown is None) == (len(recent) >= intensity)
        if grown is not None:
            history = grown
            allowed.append(now)
    for start in allowed:
        assert sum(0 <= t - start < period_s for t in allowed) <= intensity


@given(
    st.floats(0, 10),
    st.floats(1, 10) | st.floats(1, sys.float_info.max) | st.integers(1, 10**300),
    st.floats(0, 100),
    st.floats(0, 1),
    st.integers(1, 5000),
    st.floats(0, 1),
)
def test_a_backoff_grows_to_its_limit_and_no_further(
    initial_s: float, factor: float | int, more_s: float, jitter: float, in_a_row: int, share: float
) -> None:
    backoff = Backoff(initial_s=initial_s, factor=factor, max_s=initial_s + more_s, jitter=jitter)
    wait = delay_s(backoff, in_a_row, share)
    assert 0 <= wait <= backoff.max_s * (1 + jitter)
    assert (in_a_row > 1) or wait == 0
    assert delay_s(backoff, in_a_row + 1, share) >= wait
    if in_a_row == 2:
        assert wait >= initial_s
    assert delay_s(None, in_a_row) == 0


def test_a_backoff_that_grows_slowly_reaches_its_limit_too() -> None:
    assert delay_s(Backoff(initial_s=1.0, factor=1.01, max_s=10.0), 1_000, 0.0) == 10.0


@given(st.floats(0, 1e6), st.floats(0.001, 1e4), st.floats(0, 1e6))
def test_the_next_tick_lies_ahead_at_most_a_period_and_on_the_grid(
    first: float, period_s: float, late_s: float
) -> None:
    now = first + late_s
    tick = next_tick(first, period_s, now)
    assert now < tick <= now + period_s * (1 + 1e-6) + 1e-6
    periods = (tick - first) / period_s
    assert abs(periods - round(periods)) < 1e-3
