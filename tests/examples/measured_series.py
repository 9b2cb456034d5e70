"""What monitors measure of a healthy patient on a busy machine, and of each fault. Seeded, no clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from examples.aiops.reasoning.series import Direction

PERIOD_S = 0.2
LEVELS = {
    "latency_ms": 2.0,
    "up": 1.0,
    "alive": 1.0,
    "running": 1.0,
    "cpu_percent": 1.0,
    "rss_mb": 14.0,
    "folder_mb": 1.0,
}

FAULTS: dict[str, tuple[str, Direction, Callable[[float, int], float]]] = {
    "leak": ("rss_mb", "high", lambda level, n: level + min(5.0 * n, 150.0)),
    "spin": ("cpu_percent", "high", lambda level, n: 55.0 if n == 1 else 98.0),
    "slow": ("latency_ms", "high", lambda level, n: 250.0),
    "hang": ("running", "low", lambda level, n: 0.0),
    "silent": ("up", "low", lambda level, n: 0.0),
    "crash": ("alive", "low", lambda level, n: 0.0),
    "vanished": ("rss_mb", "low", lambda level, n: 0.0),
    "fill": ("folder_mb", "high", lambda level, n: level + min(4.0 * n, 80.0)),
}


def noise(metric: str, seed: int) -> Iterator[float]:
    """What a healthy patient measures on a busy machine, a restart's new levels included."""
    rng = random.Random(f"{metric}-{seed}")
    level, spike_left, height = LEVELS[metric], 0, 0.0
    while True:
        if metric in ("up", "alive", "running"):
            yield 1.0
            continue
        if metric in ("latency_ms", "cpu_percent"):
            if not spike_left and rng.random() < 0.04:
                spike_left = rng.randint(1, 3 if metric == "latency_ms" else 2)
                height = rng.uniform(5.0, 150.0 if metric == "latency_ms" else 30.0)
            spike = height if spike_left else 0.0
            spike_left = max(0, spike_left - 1)
            yield max(spike, abs(rng.gauss(level, 0.4 * level)), 0.0)
            continue
        level = max(2.0, level + rng.gauss(0.003, 0.05))
        if rng.random() < 0.002:
            level = max(2.0, level + rng.uniform(-8.0, 4.0))
        yield level + rng.gauss(0.0, 0.1)
