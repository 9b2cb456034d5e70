"""The learned forecast: one small torch network for every series, adapted online. Imports torch."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .baseline import Forecast
from .series import FORECAST_WINDOW, HORIZON, MIN_HISTORY

__all__ = ["WEIGHTS", "ForecastNetwork", "SeriesWindow", "TorchForecaster", "laplace_loss", "normalise"]

WEIGHTS = Path(__file__).with_name("forecaster_weights.json")
"""The shipped weights; `python -m examples.aiops.reasoning.train_forecaster` reproduces them."""

_HIDDEN = (48, 32)
_CLIP = 8.0  # normalised units: a spike says "a spike", not how high
_MIN_LOG, _MAX_LOG = -4.0, 3.0  # of the predicted deviation
_REPLAY = 512  # pairs
_BATCH = 64  # pairs a gradient step looks at
_LEARNING_RATE = 2e-3
_PULL = 2e-3  # of the way back to the shipped head, each step: what was learned online fades
_SMOOTHING = 0.1  # of the moving averages of each series' residuals
_MAX_SERIES = 1024  # whose residuals are remembered; the least recently asked for is forgotten


@dataclass(frozen=True, slots=True)
class SeriesWindow:
    """A request for one forecast: a series' history, oldest first, and its metric's noise unit.

    `series` names it (residuals are tracked by it). `calm` is False while something is out of the band: such
    a window is forecast from but never learned from.
    """

    series: str
    values: Sequence[float]
    unit: float
    calm: bool = True


@dataclass(slots=True)
class _Residuals:
    bias: float = 0.0
    spread: float = 0.0


class ForecastNetwork:
    """An MLP `(batch, FORECAST_WINDOW)` -> `(batch, 2)`, float32 on the CPU.

    The outputs are the value `HORIZON` samples after the window and the log of its mean absolute deviation,
    both normalised.
    """

    def __init__(self) -> None:
        first, second = _HIDDEN
        self.body = nn.Sequential(
            nn.Linear(FORECAST_WINDOW, first), nn.SiLU(), nn.Linear(first, second), nn.SiLU()
        )
        self.head = nn.Linear(second, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def __call__(self, windows: Tensor) -> Tensor:
        return self.head(self.body(windows))

    def parameters(self) -> list[Tensor]:
        return [*self.body.parameters(), *self.head.parameters()]

    def to_json(self, metadata: Mapping[str, object]) -> str:
        """The weights, rounded to 7 digits, as text of under 100 KB."""
        tensors = [
            {"shape": list(p.shape), "values": [float(f"{v:.7g}") for v in p.detach().flatten().tolist()]}
            for p in self.parameters()
        ]
        return json.dumps({"format": 1, "metadata": dict(metadata), "tensors": tensors}) + "\n"

    def load_json(self, text: str) -> dict[str, object]:
        """Takes the weights over and returns their metadata.

        Raises: ValueError when the text is not the weights of this network.
        """
        try:
            document = json.loads(text)
            tensors = [torch.tensor(t["values"]).reshape(t["shape"]) for t in document["tensors"]]
            metadata: dict[str, object] = document["metadata"]
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"not a forecaster's weights ({error}); train them again") from error
        own = self.parameters()
        if [t.shape for t in tensors] != [p.shape for p in own]:
            raise ValueError("these weights are of a network of another size; train them again")
        with torch.no_grad():
            for parameter, tensor in zip(own, tensors, strict=True):
                parameter.copy_(tensor)
        return metadata


def normalise(windows: Tensor, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`(batch, n)` and `(batch, 1)` to normalised windows, levels `(batch, 1)` and scales `(batch, 1)`.

    The level is the median, the scale the MAD but at least the metric's unit: quiet series stay quiet.
    """
    levels = windows.median(dim=1, keepdim=True).values
    spread = (windows - levels).abs().median(dim=1, keepdim=True).values
    scales = torch.maximum(1.4826 * spread, units)
    return ((windows - levels) / scales).clamp(-_CLIP, _CLIP), levels, scales


def laplace_loss(output: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of `targets` `(batch,)`; robust: spikes do not move the forecast."""
    log_scale = output[:, 1].clamp(_MIN_LOG, _MAX_LOG)
    return ((targets.clamp(-_CLIP, _CLIP) - output[:, 0]).abs() * torch.exp(-log_scale) + log_scale).mean()


class TorchForecaster:
    """Forecasts many series in one batch, and adapts to what it then sees.

    Each calm window long enough holds a past forecast's input and, as its last value, what came of it. From
    these pairs it tracks each series' bias and spread, and does one small gradient step on the network's last
    layer per call, from a replay buffer of `_REPLAY` pairs. So a call's cost is bounded by its batch.

    Runs on one CPU thread (`torch.set_num_threads(1)`, which is process-wide). Not thread-safe. The same
    calls give the same forecasts.

    Raises: ValueError when the weights do not fit; OSError when the file cannot be read.
    """

    def __init__(self, weights: Path = WEIGHTS, *, adapt: bool = True, seed: int = 0) -> None:
        torch.set_num_threads(1)
        self.network = ForecastNetwork()
        self.metadata = self.network.load_json(weights.read_text(encoding="utf-8"))
        self.adapt = adapt
        self.gradient_steps = 0
        self.pairs_seen = 0
        self._shipped = [p.detach().clone() for p in self.network.head.parameters()]
        self._generator = torch.Generator().manual_seed(seed)
        self._replay_features = torch.zeros(_REPLAY, _HIDDEN[-1])
        self._replay_targets = torch.zeros(_REPLAY)
        self._residuals: OrderedDict[str, _Residuals] = OrderedDict()

    def forecast(self, windows: Sequence[SeriesWindow]) -> list[Forecast | None]:
        """One forecast per window, in order; None for a window of fewer than `MIN_HISTORY` values.

        Each is for the value `HORIZON` samples after its window's end.
        """
        asked = [w for w in windows if len(w.values) >= MIN_HISTORY]
        if not asked:
            return [None] * len(windows)
        past = [w for w in asked if self.adapt and w.calm and len(w.values) >= MIN_HISTORY + HORIZON]
        rows = [_row(w.values) for w in asked] + [_row(w.values[:-HORIZON]) for w in past]
        units = torch.tensor([[w.unit] for w in (*asked, *past)])
        with torch.no_grad():
            inputs, levels, scales = normalise(torch.tensor(rows), units)
            features = self.network.body(inputs)
            output = self.network.head(features)
        if past:
            first = len(asked)
            actual = torch.tensor([[w.values[-1]] for w in past])
            targets = ((actual - levels[first:]) / scales[first:]).clamp(-_CLIP, _CLIP).flatten()
            self._track(past, (targets - output[first:, 0]).tolist())
            self._learn(features[first:], targets)
        numbers = zip(output.tolist(), levels.flatten().tolist(), scales.flatten().tolist(), strict=True)
        made = iter([self._finish(w, *n) for w, n in zip(asked, numbers, strict=False)])
        return [next(made) if len(w.values) >= MIN_HISTORY else None for w in windows]

    def _finish(self, window: SeriesWindow, output: list[float], level: float, scale: float) -> Forecast:
        residuals = self._residuals.get(window.series) or _Residuals()
        predicted = math.exp(min(max(output[1], _MIN_LOG), _MAX_LOG))
        spread = max(predicted, residuals.spread)
        return Forecast(mean=level + scale * (output[0] + residuals.bias), scale=1.25 * scale * spread)

    def _track(self, past: Sequence[SeriesWindow], errors: Sequence[float]) -> None:
        for window, error in zip(past, errors, strict=True):
            residuals = self._residuals.setdefault(window.series, _Residuals())
            self._residuals.move_to_end(window.series)
            bounded = min(max(error, -1.0), 1.0)
            residuals.bias += _SMOOTHING * (bounded - residuals.bias)
            residuals.spread += _SMOOTHING * (abs(bounded) - residuals.spread)
        while len(self._residuals) > _MAX_SERIES:
            self._residuals.popitem(last=False)

    def _learn(self, features: Tensor, targets: Tensor) -> None:
        count = min(len(targets), _REPLAY)
        slots = (torch.arange(count) + self.pairs_seen) % _REPLAY
        self._replay_features[slots] = features[:count]
        self._replay_targets[slots] = targets[:count]
        self.pairs_seen += count
        filled = min(self.pairs_seen, _REPLAY)
        if filled < _BATCH:
            return
        chosen = torch.randint(filled, (_BATCH,), generator=self._generator)
        head = list(self.network.head.parameters())
        loss = laplace_loss(self.network.head(self._replay_features[chosen]), self._replay_targets[chosen])
        # By hand: torch.optim would import torch's compiler, a second more to a cold start.
        gradients = torch.autograd.grad(loss, head)
        with torch.no_grad():
            for parameter, gradient, shipped in zip(head, gradients, self._shipped, strict=True):
                parameter.sub_(gradient.clamp(-1.0, 1.0), alpha=_LEARNING_RATE)
                parameter.lerp_(shipped, _PULL)
        self.gradient_steps += 1


def _row(values: Sequence[float]) -> list[float]:
    """The last `FORECAST_WINDOW` values; a shorter window is continued backwards by its mirror image."""
    row = list(values[-FORECAST_WINDOW:])
    missing = FORECAST_WINDOW - len(row)
    return row[1 : missing + 1][::-1] + row
