"""The pure rules of benchmarks.statistics."""

from __future__ import annotations

import itertools
import statistics as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import Interval, median, median_interval, quantile

samples = st.lists(st.floats(min_value=-1e9, max_value=1e9), min_size=1, max_size=40)


@given(samples)
def test_the_median_is_that_of_the_standard_library(values: list[float]) -> None:
    assert median(values) == pytest.approx(standard.median(values))


@given(samples, st.floats(min_value=0.5, max_value=0.999))
def test_the_interval_holds_the_median_and_ends_at_samples(values: list[float], confidence: float) -> None:
    interval = median_interval(values, confidence)
    assert interval.low <= median(values) <= interval.high
    assert interval.low in values
    assert interval.high in values


@given(st.permutations(list(range(9))))
def test_the_order_of_the_samples_does_not_matter(values: list[int]) -> None:
    assert median_interval(values) == median_interval(range(9))


@given(samples, st.floats(min_value=0.5, max_value=0.99), st.floats(min_value=0.5, max_value=0.99))
def test_more_confidence_never_gives_a_narrower_interval(
    values: list[float], one: float, other: float
) -> None:
    wide, narrow = median_interval(values, max(one, other)), median_interval(values, min(one, other))
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


@given(samples, st.floats(min_value=0, max_value=1))
def test_a_quantile_is_a_sample_that_enough_others_do_not_exceed(
    values: list[float], fraction: float
) -> None:
    found = quantile(values, fraction)
    assert found in values
    assert sum(value <= found for value in values) >= fraction * len(values)


@pytest.mark.parametrize(("count", "confidence"), [(6, 0.9), (7, 0.6), (8, 0.95), (9, 0.8), (10, 0.95)])
def test_the_coverage_is_what_counting_all_outcomes_gives(count: int, confidence: float) -> None:
    # Each sample falls below or above the true median with probability one half; walk through all cases.
    interval = median_interval([float(value) for value in range(1, count + 1)], confidence)
    outcomes = [sum(signs) for signs in itertools.product((0, 1), repeat=count)]
    covered = sum(interval.low <= below <= interval.high - 1 for below in outcomes)
    assert interval.coverage == covered / len(outcomes) >= confidence


def test_too_few_samples_give_their_range_and_say_what_it_is_worth() -> None:
    assert median_interval([3.0]) == Interval(3.0, 3.0, 0.0)
    assert median_interval([3.0, 1.0, 2.0]) == Interval(1.0, 3.0, 0.75)
    assert median_interval([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]) == Interval(1.0, 6.0, 0.96875)


@pytest.mark.parametrize("rule", [median, median_interval, lambda values: quantile(values, 0.5)])
def test_no_samples_are_refused(rule: object) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        rule([])  # type: ignore[operator]


def test_a_fraction_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile([1.0], 50)
