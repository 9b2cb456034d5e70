"""The verdict on a series: faults are noticed soon, noise never is, an episode is told once."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.aiops.reasoning.band import LEARNING_PATIENCE, SeriesDetector, Verdict, band_around
from examples.aiops.reasoning.baseline import Forecast
from examples.aiops.reasoning.series import (
    HELD_BACK,
    HISTORY,
    MIN_HISTORY,
    PATIENT_TRAITS,
    MetricTraits,
    traits_of,
)
from tests.examples.measured_series import FAULTS, LEVELS, PERIOD_S, noise


def feed(detector: SeriesDetector, values: list[float], forecast: Forecast | None = None) -> list[Verdict]:
    return [detector.observe(value, PERIOD_S * n, forecast) for n, value in enumerate(values)]


def settled(metric: str, samples: int = 40) -> SeriesDetector:
    detector = SeriesDetector(traits_of(metric))
    feed(detector, [LEVELS[metric]] * samples)
    return detector


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("samples", [6, 40])
def test_every_fault_is_noticed_within_five_samples(fault: str, samples: int) -> None:
    metric, direction, shape = FAULTS[fault]
    detector = settled(metric, samples)
    verdicts = feed(detector, [shape(LEVELS[metric], n) for n in range(1, 30)])
    told = [(n, v) for n, v in enumerate(verdicts, start=1) if v.event]
    assert [(v.event, v.direction) for _, v in told] == [("anomaly", direction)]
    assert told[0][0] <= 5
    assert told[0][1].severity > 1.0


@pytest.mark.parametrize("metric", PATIENT_TRAITS)
@pytest.mark.parametrize("seed", range(4))
def test_noise_of_a_busy_machine_is_never_an_anomaly(metric: str, seed: int) -> None:
    detector, values = SeriesDetector(traits_of(metric)), noise(metric, seed)
    events = [v.event for v in feed(detector, [next(values) for _ in range(5000)]) if v.event]
    assert events == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_after_much_noise_is_noticed_as_soon(fault: str) -> None:
    metric, _, shape = FAULTS[fault]
    for seed in range(20):
        detector, values = SeriesDetector(traits_of(metric)), noise(metric, seed)
        healthy = [next(values) for _ in range(200)]
        feed(detector, healthy)
        level = detector.history()[-1]
        verdicts = feed(detector, [shape(level, n) for n in range(1, 7)])
        assert [v.event for v in verdicts].count("anomaly") == 1


@given(
    st.sampled_from(sorted(PATIENT_TRAITS)),
    st.lists(st.floats(-1.0, 1.0), min_size=20, max_size=120),
    st.floats(0.0, 0.45),
)
def test_steady_noise_within_the_traits_never_alarms(metric: str, wobble: list[float], share: float) -> None:
    traits, level = traits_of(metric), 50.0 if metric == "rss_mb" else LEVELS[metric]
    detector = SeriesDetector(traits)
    values = [level + share * traits.minimum_band * w for w in wobble]
    assert [v.event for v in feed(detector, values) if v.event] == []


@settings(max_examples=200)
@given(st.sampled_from(sorted(FAULTS)), st.lists(st.booleans(), min_size=1, max_size=80))
def test_events_alternate_between_anomaly_and_recovered(fault: str, broken: list[bool]) -> None:
    metric, _, shape = FAULTS[fault]
    detector, level = settled(metric), LEVELS[metric]
    values = [shape(level, 20) if b else level for b in broken for _ in range(3)]
    events = [v.event for v in feed(detector, values) if v.event]
    assert events == ["anomaly", "recovered"] * (len(events) // 2) + ["anomaly"] * (len(events) % 2)
    assert detector.in_episode == (len(events) % 2 == 1)


@given(st.lists(st.floats(-1e9, 1e9), max_size=100), st.lists(st.floats(), max_size=100))
def test_any_finite_values_and_any_forecasts_get_a_verdict(values: list[float], means: list[float]) -> None:
    detector = SeriesDetector(traits_of("rss_mb"))
    for n, value in enumerate(values):
        forecast = Forecast(means[n], abs(means[n])) if n < len(means) else None
        verdict = detector.observe(value, n * PERIOD_S, forecast)
        assert (verdict.decided_by is None) == (verdict.band is None)
        assert len(detector.history()) <= HISTORY


def test_an_anomaly_does_not_become_the_new_normal() -> None:
    detector = settled("latency_ms")
    before = detector.history()
    verdicts = feed(detector, [250.0] * 500)
    assert detector.history() == before
    assert verdicts[-1].state == "anomalous"
    assert [v.event for v in verdicts if v.event] == ["anomaly"]


def test_the_onset_of_a_ramp_is_kept_out_of_the_history() -> None:
    detector = settled("folder_mb")
    before = detector.history()
    feed(detector, [1.0 + 4.0 * n for n in range(1, 20)])
    assert detector.history() == before


def test_an_episode_ends_once_when_the_values_are_back() -> None:
    detector = settled("latency_ms")
    feed(detector, [250.0] * 5)
    verdicts = feed(detector, [2.0, 2.0, 250.0, 2.0, 2.0, 2.0, 2.0])
    assert [v.event for v in verdicts] == [None, None, None, None, None, "recovered", None]
    assert detector.is_calm


def test_a_spike_leaves_a_suspicion_and_nothing_more() -> None:
    detector = settled("latency_ms")
    verdicts = feed(detector, [250.0, 250.0, 2.0])
    assert [v.state for v in verdicts] == ["suspect", "suspect", "normal"]
    assert all(v.event is None for v in verdicts)


def test_a_value_on_the_harmless_side_is_the_new_level() -> None:
    detector = settled("rss_mb")
    feed(detector, [60.0] * 60)
    detector.reset()
    feed(detector, [60.0] * 40)
    verdicts = feed(detector, [14.0] * 40)
    assert all(v.event is None for v in verdicts)
    assert feed(detector, [26.0] * 2)[-1].event == "anomaly"


def test_reset_relearns_a_shifted_level_within_a_second() -> None:
    detector = settled("rss_mb")
    feed(detector, [80.0] * 5)
    assert detector.in_episode
    detector.reset()
    verdicts = feed(detector, [30.0] * 5)
    assert [v.event for v in verdicts] == [None, None, None, "recovered", None]
    assert all(v.event is None for v in feed(detector, [30.0] * 40))


def test_reset_after_a_repair_that_failed_does_not_learn_the_fault() -> None:
    for metric, broken in (("up", 0.0), ("alive", 0.0), ("latency_ms", 250.0), ("cpu_percent", 99.0)):
        detector = settled(metric)
        feed(detector, [broken] * 5)
        detector.reset()
        verdicts = feed(detector, [broken] * 50)
        assert {v.state for v in verdicts} == {"anomalous"}
        assert all(v.event is None for v in verdicts)
        assert [v.event for v in feed(detector, [LEVELS[metric]] * 8)].count("recovered") == 1


def test_a_patient_that_is_broken_from_the_start_is_noticed() -> None:
    detector = SeriesDetector(traits_of("up"))
    verdicts = feed(detector, [0.0] * (LEARNING_PATIENCE + 5))
    assert [v.event for v in verdicts].index("anomaly") == LEARNING_PATIENCE - 1
    assert [v.event for v in verdicts].count("anomaly") == 1


def test_the_learned_forecast_decides_once_there_is_enough_history() -> None:
    detector = SeriesDetector(traits_of("latency_ms"))
    verdicts = feed(detector, [2.0] * 60, Forecast(2.0, 0.5))
    first_torch = [v.decided_by for v in verdicts].index("torch")
    assert first_torch <= MIN_HISTORY + HELD_BACK + 1
    assert verdicts[5].decided_by == "baseline"
    assert {v.decided_by for v in verdicts[first_torch:]} == {"torch"}
    assert detector.observe(2.0, 99.0).decided_by == "baseline"


def test_a_forecast_that_is_not_finite_leaves_the_verdict_to_the_baseline() -> None:
    detector = settled("latency_ms")
    assert detector.observe(2.0, 9.0, Forecast(math.nan, 1.0)).decided_by == "baseline"


@given(st.floats(-1e9, 1e9), st.floats(0.0, 1e9))
def test_no_learned_forecast_can_hide_a_fault(mean: float, scale: float) -> None:
    for metric, _, shape in FAULTS.values():
        band = band_around(Forecast(LEVELS[metric], 0.1), Forecast(mean, scale), traits_of(metric))
        worst = shape(LEVELS[metric], 20)
        assert worst > band.upper or worst < band.lower


def test_a_measurement_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        settled("up").observe(math.nan, 1.0)


def test_traits_decide_how_many_samples_make_an_anomaly() -> None:
    detector = SeriesDetector(MetricTraits("queue", 1.0, 5.0, 20.0, patience=7))
    feed(detector, [3.0] * 10)
    assert [v.event for v in feed(detector, [50.0] * 8)].index("anomaly") == 6
