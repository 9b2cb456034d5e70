"""The robust statistical forecast, and the window of values it looks at."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.aiops.reasoning.baseline import MIN_BASELINE, Forecast, forecast_baseline
from examples.aiops.reasoning.series import HOST_TRAITS, PATIENT_TRAITS, Series, traits_of


def test_too_few_values_give_no_forecast() -> None:
    assert forecast_baseline([5.0] * (MIN_BASELINE - 1)) is None
    assert forecast_baseline([5.0] * MIN_BASELINE) == Forecast(5.0, 0.0)


def test_spikes_move_neither_centre_nor_scale_far() -> None:
    calm = [10.0, 10.2, 9.8, 10.1, 9.9, 10.0, 10.1, 9.9]
    forecast = forecast_baseline([*calm, 150.0, 150.0, 150.0])
    assert forecast is not None
    assert forecast.mean == pytest.approx(10.0, abs=0.2)
    assert forecast.scale < 0.5


def test_few_values_make_the_scale_wider() -> None:
    few, many = forecast_baseline([9.0, 11.0] * 2), forecast_baseline([9.0, 11.0] * 20)
    assert few is not None
    assert many is not None
    assert few.scale > 1.3 * many.scale


@given(st.lists(st.floats(-1e6, 1e6), min_size=MIN_BASELINE, max_size=40))
def test_the_forecast_lies_within_what_was_seen(values: list[float]) -> None:
    forecast = forecast_baseline(values)
    assert forecast is not None
    assert min(values) <= forecast.mean <= max(values)
    assert forecast.is_usable()


def test_a_forecast_that_is_not_finite_is_not_usable() -> None:
    assert not Forecast(math.nan, 1.0).is_usable()
    assert not Forecast(1.0, math.inf).is_usable()
    assert not Forecast(1.0, -1.0).is_usable()


def test_a_full_series_drops_its_oldest_value() -> None:
    series = Series(capacity=3)
    for number in range(5):
        series.append(float(number), 0.2 * number)
    assert series.values() == [2.0, 3.0, 4.0]
    assert series.times() == pytest.approx([0.4, 0.6, 0.8])
    series.clear()
    assert len(series) == 0


def test_a_series_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="keeps nothing"):
        Series(capacity=0)


def test_the_host_has_traits_of_its_own() -> None:
    assert traits_of("cpu_percent") is PATIENT_TRAITS["cpu_percent"]
    assert traits_of("cpu_percent", host=True) is HOST_TRAITS["cpu_percent"]
    with pytest.raises(ValueError, match="no metric 'rss_mb' of the host"):
        traits_of("rss_mb", host=True)
