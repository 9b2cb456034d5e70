"""The learned forecast: better than knowing nothing, reproducible, adapting, and never a false alarm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from examples.aiops.reasoning.band import SeriesDetector  # noqa: E402
from examples.aiops.reasoning.forecaster import (  # noqa: E402
    WEIGHTS,
    ForecastNetwork,
    SeriesWindow,
    TorchForecaster,
    normalise,
)
from examples.aiops.reasoning.series import FORECAST_WINDOW, HISTORY, MIN_HISTORY, PATIENT_TRAITS, traits_of  # noqa: E402
from examples.aiops.reasoning.train_forecaster import evaluate, main, train  # noqa: E402
from tests.examples.measured_series import FAULTS, LEVELS, PERIOD_S, noise  # noqa: E402

pytestmark = pytest.mark.torch


def observe_all(
    detectors: dict[str, SeriesDetector], values: dict[str, float], model: TorchForecaster
) -> int:
    """One round of every series as the agents do it; returns how many events there were."""
    asked = [name for name, d in detectors.items() if d.wants_forecast]
    windows = [
        SeriesWindow(n, detectors[n].history(), detectors[n].traits.unit, detectors[n].is_calm) for n in asked
    ]
    forecasts = dict(zip(asked, model.forecast(windows), strict=True))
    return sum(
        detector.observe(values[name], PERIOD_S, forecasts.get(name)).event is not None
        for name, detector in detectors.items()
    )


def test_the_shipped_weights_beat_the_last_value_and_no_information() -> None:
    network = ForecastNetwork()
    metadata = network.load_json(WEIGHTS.read_text(encoding="utf-8"))
    scores = evaluate(network, seed=424242)
    assert scores.network < 0.9 * scores.last_value
    assert scores.network < 0.6 * scores.no_information
    assert scores.loss == pytest.approx(metadata["loss"], abs=0.1)
    assert {"seed", "steps", "torch", "loss"} <= metadata.keys()
    assert WEIGHTS.stat().st_size < 100_000


def test_training_is_deterministic_and_learns() -> None:
    first, losses = train(seed=3, steps=120)
    second, again = train(seed=3, steps=120)
    assert first.to_json({}) == second.to_json({})
    assert losses == again
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    other, _ = train(seed=4, steps=5)
    assert other.to_json({}) != first.to_json({})


def test_the_training_command_writes_weights_that_load(tmp_path: Path) -> None:
    main(["--output", str(tmp_path / "weights.json"), "--seed", "5", "--steps", "3"])
    assert TorchForecaster(tmp_path / "weights.json").metadata["seed"] == 5


def test_a_window_too_short_gets_no_forecast_and_the_others_keep_their_order() -> None:
    model = TorchForecaster()
    windows = [
        SeriesWindow("a", [100.0] * FORECAST_WINDOW, 1.0),
        SeriesWindow("b", [7.0] * (MIN_HISTORY - 1), 1.0),
        SeriesWindow("c", [3.0] * MIN_HISTORY, 1.0),
    ]
    forecasts = model.forecast(windows)
    assert forecasts[1] is None
    assert forecasts[0] is not None
    assert forecasts[2] is not None
    assert forecasts[0].mean == pytest.approx(100.0, abs=0.5)
    assert forecasts[2].mean == pytest.approx(3.0, abs=0.5)
    assert model.forecast([]) == []


def test_a_forecast_is_the_same_alone_as_in_a_batch() -> None:
    model = TorchForecaster(adapt=False)
    windows = [SeriesWindow(str(n), [n + 0.1 * (k % 5) for k in range(HISTORY)], 1.0) for n in range(10)]
    together = model.forecast(windows)
    for window, expected in zip(windows, together, strict=True):
        (alone,) = model.forecast([window])
        assert alone is not None
        assert expected is not None
        assert (alone.mean, alone.scale) == pytest.approx((expected.mean, expected.scale), rel=1e-4)


def test_forecasts_do_not_depend_on_the_metrics_level_or_unit() -> None:
    model = TorchForecaster(adapt=False)
    shape = [0.3 * ((k * 7) % 5) for k in range(FORECAST_WINDOW)]
    (plain,) = model.forecast([SeriesWindow("a", shape, 0.1)])
    (moved,) = model.forecast([SeriesWindow("b", [1000.0 + 20.0 * v for v in shape], 2.0)])
    assert plain is not None
    assert moved is not None
    assert moved.mean == pytest.approx(1000.0 + 20.0 * plain.mean, abs=0.05)
    assert moved.scale == pytest.approx(20.0 * plain.scale, rel=1e-2)


def test_the_forecaster_adapts_to_what_its_series_do() -> None:
    adapting, still = TorchForecaster(), TorchForecaster(adapt=False)
    cycle = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0]
    series = [cycle[n % 7] for n in range(600)]
    errors = {id(adapting): 0.0, id(still): 0.0}
    for end in range(HISTORY, len(series) - 5):
        for model in (adapting, still):
            (forecast,) = model.forecast([SeriesWindow("cron", series[end - HISTORY : end], 1.0)])
            assert forecast is not None
            if end > 300:
                errors[id(model)] += abs(forecast.mean - series[end + 4])
    assert adapting.gradient_steps > 400
    assert still.gradient_steps == 0
    assert errors[id(adapting)] < errors[id(still)]


def test_a_bias_of_one_series_is_learned_for_that_series_alone() -> None:
    model = TorchForecaster()
    before = model.forecast([SeriesWindow("other", [5.0] * HISTORY, 1.0)])[0]
    for start in range(300):
        model.forecast([SeriesWindow("rising", [1.5 * (start + n) for n in range(HISTORY)], 1.0)])
    after = model.forecast([SeriesWindow("other", [5.0] * HISTORY, 1.0, calm=False)])[0]
    rising = model.forecast([SeriesWindow("rising", [1.5 * n for n in range(HISTORY)], 1.0)])[0]
    fresh = model.forecast([SeriesWindow("unseen", [1.5 * n for n in range(HISTORY)], 1.0)])[0]
    assert before is not None
    assert after is not None
    assert rising is not None
    assert fresh is not None
    assert after.mean == pytest.approx(before.mean, abs=0.5)
    assert rising != fresh


def test_nothing_is_learned_from_a_window_that_is_not_calm() -> None:
    model = TorchForecaster()
    for n in range(200):
        model.forecast([SeriesWindow("a", [float(n % 13)] * HISTORY, 1.0, calm=False)])
    assert (model.pairs_seen, model.gradient_steps) == (0, 0)


def test_the_same_calls_give_the_same_forecasts() -> None:
    first, second = TorchForecaster(), TorchForecaster()
    for start in range(150):
        window = SeriesWindow("a", [float((start + n) * 7 % 11) for n in range(HISTORY)], 1.0)
        assert first.forecast([window]) == second.forecast([window])


def test_wild_values_keep_the_forecasts_usable() -> None:
    model = TorchForecaster()
    for n in range(300):
        values = [(-1.0) ** k * 10.0 ** ((n + k) % 12) for k in range(HISTORY)]
        (forecast,) = model.forecast([SeriesWindow("wild", values, 1.0)])
        assert forecast is not None
        assert forecast.is_usable()


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_never_an_anomaly_while_torch_decides_and_faults_are_noticed_after(seed: int) -> None:
    model = TorchForecaster()
    detectors = {metric: SeriesDetector(traits_of(metric)) for metric in PATIENT_TRAITS}
    streams = {metric: noise(metric, seed) for metric in PATIENT_TRAITS}
    events = sum(observe_all(detectors, {m: next(s) for m, s in streams.items()}, model) for _ in range(5000))
    assert events == 0
    assert model.gradient_steps > 4000
    for metric, direction, shape in FAULTS.values():
        detector, level = detectors[metric], LEVELS[metric]
        if metric in ("rss_mb", "folder_mb"):
            level = detector.history()[-1]
        unit = detector.traits.unit
        for n in range(1, 6):
            (forecast,) = model.forecast([SeriesWindow(metric, detector.history(), unit, detector.is_calm)])
            verdict = detector.observe(shape(level, n), n * PERIOD_S, forecast)
            if verdict.event:
                break
        assert (verdict.event, verdict.direction, verdict.decided_by) == ("anomaly", direction, "torch")
        detector.reset()
        while detector.in_episode or not detector.wants_forecast:
            detector.observe(LEVELS[metric], 0.0)


def test_normalised_windows_are_bounded() -> None:
    windows = torch.tensor([[0.0] * 23 + [1e6], [5.0] * 24])
    inputs, levels, scales = normalise(windows, torch.ones(2, 1))
    assert inputs.abs().max() <= 8.0
    assert levels.flatten().tolist() == [0.0, 5.0]
    assert scales.flatten().tolist() == [1.0, 1.0]


def test_weights_of_something_else_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    for text in (
        "not json",
        "{}",
        json.dumps({"metadata": {}, "tensors": []}),
        '{"metadata": {}, "tensors": 3}',
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="train them again"):
            TorchForecaster(path)


def test_the_modules_beside_the_forecaster_do_not_import_torch() -> None:
    modules = "series, baseline, band, knowledge, incident"
    code = f"import sys; from examples.aiops.reasoning import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
