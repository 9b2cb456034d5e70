"""Detectors: one for each series; an anomaly is when reality leaves the forecast's band."""

from __future__ import annotations

import time
from dataclasses import asdict

from covey import handles

from ..reasoning.band import SeriesDetector, Verdict
from ..reasoning.baseline import Forecast
from ..reasoning.series import traits_of
from .crashing import Crashing
from .messages import Anomaly, Explain, Explanation, Prediction, Reading, Relearn, VerdictNews, Window
from .surroundings import DESK, FORECASTER, surroundings
from .tally import READINGS

__all__ = ["Detector"]

FORECAST_TIMEOUT_S = 0.3
SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 16.0
"""A model that does not answer in time is left alone this long, doubling: the baseline covers, and readings
do not pile up behind asks that time out."""
COUNT_S = 1.0
"""How often the desk hears how many verdicts each gave; those since the last time are missing at the end."""
REMIND_S = 2.0
"""While an episode lasts, the centre is told again this often: it may have crashed and forgotten."""


class Detector(Crashing):
    """Judges the series that is its key, `patient.metric`, one value at a time.

    The forecast comes from the torch model on whichever node runs it; while that has nothing to say (too
    little history, still loading, its node gone) the robust baseline decides.

    What it has learned survives its restart: one that began to learn in the middle of a fault would take
    the fault for normal.
    """

    preserve_state = True

    def __init__(self) -> None:
        super().__init__()
        self._patient, _, self._metric = self.key.rpartition(".")
        self._traits = traits_of(self._metric, host=self._patient == "host")
        self._series = SeriesDetector(self._traits)
        self._latest: Verdict | None = None
        self._told_at = 0.0
        self._counted_at = time.monotonic()
        self._torch = self._baseline = 0
        self._ask_again_at = 0.0 if surroundings().forecaster else float("inf")
        self._pause_s = SHORTEST_PAUSE_S

    @handles
    async def judge(self, reading: Reading) -> None:
        self._judge(reading, await self._forecast())
        READINGS.handled += 1

    def _judge(self, reading: Reading, forecast: Forecast | None) -> None:
        verdict = self._latest = self._series.observe(reading.value, reading.at, forecast)
        self._torch += verdict.decided_by == "torch"
        self._baseline += verdict.decided_by == "baseline"
        self._count()
        if self._patient == "host":
            return  # counted and judged, but nobody repairs the machine itself
        if verdict.event == "anomaly":
            self._report(verdict, over=False)
        elif verdict.event == "recovered":
            self._report(verdict, over=True)
        elif self._series.in_episode and reading.at - self._told_at >= REMIND_S:
            self._report(verdict, over=False)

    async def _forecast(self) -> Forecast | None:
        if not self._series.wants_forecast or time.monotonic() < self._ask_again_at:
            return None
        window = Window(
            series=self.key,
            values=self._series.history(),
            unit=self._traits.unit,
            calm=self._series.is_calm,
        )
        try:
            answer = await self.agent(*FORECASTER).ask(window, timeout=FORECAST_TIMEOUT_S)
        except Exception:  # noqa: BLE001 - on the model's own node its error comes as it is, whatever it is
            self._ask_again_at = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return None  # the baseline covers; the report counts how often
        self._pause_s = SHORTEST_PAUSE_S
        if not isinstance(answer, Prediction) or not answer.known:
            return None
        return Forecast(answer.mean, answer.scale)

    def _report(self, verdict: Verdict, *, over: bool) -> None:
        self._told_at = verdict.at_s
        anomaly = Anomaly(
            patient=self._patient,
            metric=self._metric,
            direction=verdict.direction or "",
            decided_by=verdict.decided_by or "baseline",
            severity=verdict.severity,
            at=verdict.at_s,
            over=over,
        )
        # Untraced: the trace of an incident begins at the centre, which knows what belongs to one.
        self.agent("decision_centre", "main").tell(anomaly)

    @handles
    def explain(self, _explain: Explain) -> Explanation | None:
        """What the latest verdict is founded on; None while the series is learning."""
        verdict = self._latest
        if verdict is None or verdict.band is None:
            return None
        band = verdict.band
        why = Explanation(
            value=verdict.value,
            expected=band.expected,
            lower=band.lower,
            upper=band.upper,
            decided_by=band.decided_by,
        )
        with self.span(f"evidence {self._metric}", **asdict(why)):
            return why

    @handles
    def relearn(self, _relearn: Relearn) -> None:
        self._series.reset()

    def _count(self) -> None:
        # Not by a timer: what a timer's method sends would begin a trace.
        if time.monotonic() - self._counted_at >= COUNT_S and (self._torch or self._baseline):
            self._counted_at = time.monotonic()
            self.agent(*DESK).tell(VerdictNews(torch=self._torch, baseline=self._baseline))
            self._torch = self._baseline = 0
