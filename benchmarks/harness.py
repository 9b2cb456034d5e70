"""How a comparison is made: two systems, sampled in interleaved pairs on the same machine in the same run.

Machines drift (heat, neighbours, caches), so A and B take turns, and who goes first alternates. What is
reported is each system's median and the median of the pairs' ratios, each with its interval.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from benchmarks.statistics import median, median_interval

__all__ = ["DEFAULT_PAIRS", "BenchmarkError", "Measure", "Options", "Row", "System", "compare", "interleave"]

Sample = Mapping[str, float]
"""What one run of one system gave: a value for each `Measure.key`."""


DEFAULT_PAIRS = 6
"""The fewest whose interval covers the median with more than 95 %."""


class BenchmarkError(Exception):
    """A benchmark could not be run; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of a benchmark."""

    pairs: int = DEFAULT_PAIRS
    quick: bool = False
    """Fewer messages, to see that it runs: the figures are rougher."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a sample, as it is reported."""

    key: str
    metric: str
    unit: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class System:
    """Something that can be measured, again and again."""

    name: str
    sample: Callable[[], Sample]
    """Starts the system afresh, measures it, ends it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One reported figure: the median of its pairs, and the interval of that median."""

    system: str
    metric: str
    value: float
    unit: str
    better: str
    low: float
    high: float
    coverage: float
    pairs: int

    def as_json(self) -> dict[str, str | float]:
        return asdict(self)


def interleave(subject: System, peer: System, pairs: int) -> list[tuple[Sample, Sample]]:
    """Sample both systems `pairs` times in turn: A B, B A, A B, ...

    Raises:
        BenchmarkError: fewer than one pair was asked for, or a system could not be measured.
    """
    if pairs < 1:
        raise BenchmarkError(f"a comparison needs at least one pair, not {pairs}: give --pairs 1 or more")
    samples: list[tuple[Sample, Sample]] = []
    for number in range(pairs):
        _progress(f"pair {number + 1} of {pairs}: {subject.name} and {peer.name}")
        if number % 2:
            second = peer.sample()
            samples.append((subject.sample(), second))
        else:
            first = subject.sample()
            samples.append((first, peer.sample()))
    return samples


def compare(subject: System, peer: System, measures: Sequence[Measure], pairs: int) -> list[Row]:
    """Rows for each measure: the subject, the peer, and subject / peer as a ratio without a unit.

    Raises:
        BenchmarkError: as `interleave`, or a figure is missing or not above zero.
    """
    samples = interleave(subject, peer, pairs)
    rows: list[Row] = []
    for measure in measures:
        ours = [_figure(subject, sample, measure) for sample, _ in samples]
        theirs = [_figure(peer, sample, measure) for _, sample in samples]
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        rows.append(_row(subject.name, measure, measure.unit, ours))
        rows.append(_row(peer.name, measure, measure.unit, theirs))
        rows.append(_row(f"{subject.name} / {peer.name}", measure, "ratio", ratios))
    return rows


def _figure(system: System, sample: Sample, measure: Measure) -> float:
    value = sample.get(measure.key)
    if value is None or not value > 0:
        raise BenchmarkError(
            f"{system.name} gave {value} for {measure.key}: a figure above zero was expected"
        )
    return value


def _row(system: str, measure: Measure, unit: str, values: Sequence[float]) -> Row:
    interval = median_interval(values)
    return Row(
        system=system,
        metric=measure.metric,
        value=median(values),
        unit=unit,
        better=measure.better,
        low=interval.low,
        high=interval.high,
        coverage=interval.coverage,
        pairs=len(values),
    )


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
