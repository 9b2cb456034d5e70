"""The verdict on one value: inside the forecast's band or not, and when that becomes an anomaly."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from .baseline import MIN_BASELINE, Forecast, forecast_baseline
from .series import HELD_BACK, HISTORY, MIN_HISTORY, Direction, MetricTraits, Series

__all__ = ["LEARNING_PATIENCE", "Band", "DecidedBy", "SeriesDetector", "Verdict", "band_around", "judge"]

DecidedBy = Literal["torch", "baseline"]

LEARNING_PATIENCE = 10
"""Consecutive values that can never be normal before a series that has learned nothing yet is anomalous."""

_WIDTH = 6.0  # scales; only matters where a series is noisier than its traits' minimum band
_TRUST = 0.25  # of the minimum band: how far a learned forecast may move the centre away from the median


@dataclass(frozen=True, slots=True)
class Band:
    """Where the next value should lie, in the metric's unit, and who says so."""

    expected: float
    lower: float
    upper: float
    decided_by: DecidedBy


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one value means. `event` is set once when an episode begins and once when it ends.

    `decided_by` is None while the series is learning. `severity` is the distance from the expected value in
    half-widths of the band: above 1 is outside. `streak` counts consecutive values outside (in an episode,
    those back inside).
    """

    state: Literal["learning", "normal", "suspect", "anomalous"]
    event: Literal["anomaly", "recovered"] | None
    value: float
    at_s: float
    band: Band | None
    direction: Direction | None = None
    severity: float = 0.0
    streak: int = 0

    @property
    def decided_by(self) -> DecidedBy | None:
        return None if self.band is None else self.band.decided_by


def band_around(baseline: Forecast, learned: Forecast | None, traits: MetricTraits) -> Band:
    """The band around the learned forecast, or around the baseline where that is None or not usable.

    A learned mean is held within a quarter of the minimum band around the baseline's: a network that drifted
    can sharpen a verdict, never blind it.
    """
    forecast = baseline
    decided_by: DecidedBy = "baseline"
    if learned is not None and learned.is_usable():
        leash = _TRUST * traits.minimum_band
        mean = min(max(learned.mean, baseline.mean - leash), baseline.mean + leash)
        forecast, decided_by = Forecast(mean, learned.scale), "torch"
    half = min(max(_WIDTH * forecast.scale, traits.minimum_band), traits.maximum_band)
    lower, upper = forecast.mean - half, forecast.mean + half
    if traits.floor is not None:
        lower = max(lower, traits.floor)
    if traits.ceiling is not None:
        upper = min(upper, traits.ceiling)
    return Band(forecast.mean, lower, upper, decided_by)


def judge(value: float, band: Band, traits: MetricTraits) -> Direction | None:
    """On which side `value` is a fault: "high", "low", or None when it is not one."""
    if value > band.upper and (traits.high or not traits.is_learnable(value)):
        return "high"
    if value < band.lower and (traits.low or not traits.is_learnable(value)):
        return "low"
    return None


class SeriesDetector:
    """The state machine of one series: learning, normal, suspect, anomalous. No clock and no I/O.

    Guarantees: one "anomaly" for each episode and one "recovered" at its end; what was seen in the last
    `HELD_BACK` samples, out of the band or in an episode never becomes history (a lone value out of the band
    does, cut to the band's edge). Not thread-safe: one agent owns it.
    """

    __slots__ = ("_band", "_direction", "_held", "_history", "_streak", "in_episode", "traits")

    def __init__(self, traits: MetricTraits) -> None:
        self.traits = traits
        self.in_episode = False
        self._history = Series(HISTORY)
        self._held: deque[tuple[float, float]] = deque()
        self._band: Band | None = None
        self._direction: Direction | None = None
        self._streak = 0

    def history(self) -> list[float]:
        """The calm values, oldest first: the window to forecast from. It stands still during an episode."""
        return self._history.values()

    @property
    def wants_forecast(self) -> bool:
        """Whether a learned forecast from `history()` would be used for the next value."""
        return len(self._history) >= MIN_HISTORY and not self.in_episode

    @property
    def is_calm(self) -> bool:
        """Whether nothing is out of the band now: only then may a forecaster adapt on `history()`."""
        return not self.in_episode and self._streak == 0

    def reset(self) -> None:
        """Forgets the levels, after a repair that moved them (a restart); an open episode stays open until
        enough normal values came."""
        self._history.clear()
        self._held.clear()
        self._band = None
        self._streak = 0

    def observe(self, value: float, at_s: float, forecast: Forecast | None = None) -> Verdict:
        """Judges the value measured at `at_s`, with the learned forecast if it came in time.

        Raises: ValueError for a value that is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"{self.traits.metric} measured as {value}; a monitor sends finite numbers only")
        baseline = forecast_baseline(self._history.values())
        if baseline is None:
            return self._learn(value, at_s)
        if self.in_episode:
            return self._follow_episode(value, at_s, baseline)
        learned = forecast if len(self._history) >= MIN_HISTORY else None
        band = band_around(baseline, learned, self.traits)
        direction = judge(value, band, self.traits)
        if direction is None:
            self._streak = 0
            self._hold(value, at_s)
            return self._verdict("normal", None, value, at_s, band)
        self._streak = self._streak + 1 if direction == self._direction else 1
        self._direction = direction
        if self._streak >= self.traits.patience:
            return self._begin_episode(value, at_s, band, direction)
        self._held.append((min(max(value, band.lower), band.upper), at_s))
        return self._verdict("suspect", None, value, at_s, band, direction)

    def _begin_episode(self, value: float, at_s: float, band: Band | None, direction: Direction) -> Verdict:
        self.in_episode = True
        self._band, self._direction = band, direction
        self._held.clear()
        verdict = self._verdict("anomalous", "anomaly", value, at_s, band, direction)
        self._streak = 0
        return verdict

    def _follow_episode(self, value: float, at_s: float, baseline: Forecast) -> Verdict:
        band = self._band or band_around(baseline, None, self.traits)
        direction = judge(value, band, self.traits)
        self._streak = self._streak + 1 if direction is None else 0
        if self._streak < self.traits.recovery:
            return self._verdict("anomalous", None, value, at_s, band, direction)
        return self._end_episode(value, at_s, band)

    def _end_episode(self, value: float, at_s: float, band: Band | None) -> Verdict:
        self.in_episode, self._band, self._direction = False, None, None
        verdict = self._verdict("normal", "recovered", value, at_s, band)
        self._streak = 0
        return verdict

    def _learn(self, value: float, at_s: float) -> Verdict:
        if self.traits.is_learnable(value):
            self._streak = 0
            self._history.append(value, at_s)
            if self.in_episode and len(self._history) >= MIN_BASELINE:
                return self._end_episode(value, at_s, None)
            return self._verdict("anomalous" if self.in_episode else "learning", None, value, at_s, None)
        below = self.traits.floor is not None and value < self.traits.floor
        self._streak += 1
        if not self.in_episode and self._streak >= LEARNING_PATIENCE:
            return self._begin_episode(value, at_s, None, "low" if below else "high")
        return self._verdict("anomalous" if self.in_episode else "learning", None, value, at_s, None)

    def _hold(self, value: float, at_s: float) -> None:
        self._held.append((value, at_s))
        while len(self._held) > HELD_BACK:
            self._history.append(*self._held.popleft())

    def _verdict(
        self,
        state: Literal["learning", "normal", "suspect", "anomalous"],
        event: Literal["anomaly", "recovered"] | None,
        value: float,
        at_s: float,
        band: Band | None,
        direction: Direction | None = None,
    ) -> Verdict:
        severity = 0.0
        if band is not None:
            edge = band.upper if value >= band.expected else band.lower
            severity = abs(value - band.expected) / max(abs(edge - band.expected), 1e-9)
        return Verdict(state, event, value, at_s, band, direction, severity, self._streak)
