"""Trains the forecaster's weights on synthetic series.

`python -m examples.aiops.reasoning.train_forecaster --output FILE --seed 7` takes about 15 s on one core.
Deterministic for a seed on one machine and torch version. Imports torch.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from .forecaster import WEIGHTS, ForecastNetwork, laplace_loss, normalise
from .series import FORECAST_WINDOW, HORIZON

__all__ = ["Scores", "evaluate", "main", "synthetic_pairs", "train"]

_STEPS = 3000
_BATCH = 512
_LEARNING_RATE = 3e-3
_HELD_OUT_SEED = 1_000_003


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean absolute errors on held-out pairs, in normalised units.

    `last_value` repeats the newest value; `no_information` forecasts the window's median whatever its shape.
    """

    network: float
    last_value: float
    no_information: float
    loss: float


def synthetic_pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` windows `(count, FORECAST_WINDOW)` and the values `HORIZON` samples later `(count,)`.

    The metric's unit is 1. Each series is a level with white or slow noise, and some of: a slow drift, a
    wave, a step or a level that settles (a restart), spikes of one to three samples. The target has no spike:
    a spike cannot be forecast, and must not be expected.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator)

    def some(share: float) -> Tensor:
        return (torch.rand(count, 1, generator=generator) < share).float()

    length = FORECAST_WINDOW + HORIZON
    at = torch.arange(length, dtype=torch.float32).expand(count, length)
    series = uniform(0.0, 200.0).expand(count, length).clone()
    series += torch.exp(uniform(-4.0, 1.6)) * torch.randn(count, length, generator=generator)
    steps = torch.randn(count, length, generator=generator).cumsum(dim=1)
    series += some(0.3) * uniform(0.0, 0.6) * steps
    series += some(0.3) * uniform(-0.8, 0.8) * at
    wave = torch.sin(2 * torch.pi * (at / uniform(8.0, 40.0) + uniform(0.0, 1.0)))
    series += some(0.25) * uniform(0.5, 8.0) * wave
    since = at - uniform(-4.0, float(FORECAST_WINDOW - 2)).round()
    settled = 1.0 - torch.exp(-(since + 1.0).clamp(min=0.0) / uniform(0.2, 3.0))
    series += some(0.3) * uniform(-30.0, 30.0) * settled
    targets = series[:, -1].clone()
    starts = torch.rand(count, length, generator=generator) < 0.05
    spiking = starts.float()
    for later in (1, 2):
        lasting = starts.roll(later, dims=1) & (torch.rand(count, length, generator=generator) < 0.5)
        lasting[:, :later] = False
        spiking = torch.maximum(spiking, lasting.float())
    heights = -torch.log(torch.rand(count, length, generator=generator).clamp(min=1e-6))
    series += some(0.4) * spiking * uniform(2.0, 40.0) * heights
    return series[:, :FORECAST_WINDOW].contiguous(), targets


def train(seed: int = 7, steps: int = _STEPS) -> tuple[ForecastNetwork, list[float]]:
    """A network trained for `steps` batches, and each step's loss. Resets torch's global seed."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = ForecastNetwork()
    optimiser = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=max(steps, 2))
    losses = []
    for _ in range(steps):
        windows, targets = synthetic_pairs(_BATCH, generator)
        inputs, levels, scales = normalise(windows, torch.ones(_BATCH, 1))
        loss = laplace_loss(network(inputs), (targets - levels.flatten()) / scales.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return network, losses


def evaluate(network: ForecastNetwork, seed: int = _HELD_OUT_SEED, count: int = 20_000) -> Scores:
    """How the network does on series that it was not trained on, beside two forecasts that learn nothing."""
    windows, targets = synthetic_pairs(count, torch.Generator().manual_seed(seed))
    inputs, levels, scales = normalise(windows, torch.ones(count, 1))
    wanted = ((targets - levels.flatten()) / scales.flatten()).clamp(-8.0, 8.0)
    with torch.no_grad():
        output = network(inputs)
        loss = laplace_loss(output, wanted)

    def error(forecast: Tensor) -> float:
        return float((wanted - forecast).abs().mean())

    return Scores(error(output[:, 0]), error(inputs[:, -1]), error(torch.zeros(count)), float(loss))


def main(arguments: list[str] | None = None) -> None:
    """The command line: trains, says how it did, writes the weights."""
    parser = argparse.ArgumentParser(prog="train_forecaster", description=__doc__)
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="where to write the weights (JSON)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=_STEPS, help="batches to train on")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error(f"--steps {options.steps} trains nothing; use 1 or more")
    began = time.monotonic()
    network, _ = train(options.seed, options.steps)
    scores = evaluate(network)
    rounded = {name: round(value, 4) for name, value in asdict(scores).items()}
    metadata = {"seed": options.seed, "steps": options.steps, "torch": torch.__version__, **rounded}
    options.output.write_text(network.to_json(metadata), encoding="utf-8")
    print(f"wrote {options.output} after {time.monotonic() - began:.1f} s: {metadata}")


if __name__ == "__main__":
    main()
