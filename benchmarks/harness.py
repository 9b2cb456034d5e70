"""How a comparison is made: several systems, sampled in interleaved rounds on the same machine in one run.

Machines drift (heat, neighbours, caches), so each round runs every system once, and who goes first rotates.
What is reported is each system's median and the median of the rounds' ratios, each with its interval.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.row import Row, row_of

__all__ = [
    "DEFAULT_PAIRS",
    "BenchmarkError",
    "Measure",
    "Options",
    "Row",
    "Sample",
    "Samples",
    "System",
    "compare",
    "interleave",
]

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
    """How many rounds."""
    quick: bool = False
    """Fewer messages, to see that it runs: the figures are rougher."""
    peers: frozenset[str] | None = None
    """Names of the peers of `.venv-peers` to measure as well; None for all of them."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a sample, as it is reported."""

    key: str
    metric: str
    unit: str
    better: Literal["higher", "lower"]
    compared: bool = True
    """Whether ratios make sense; a figure without them may also be zero or less."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that can be measured, again and again."""

    name: str
    sample: Callable[[], Sample]
    """Starts the system afresh, measures it, ends it."""
    gives: frozenset[str] | None = None
    """Keys of the measures that make sense for it; None for all."""
    note: str = ""
    """What a reader has to know to read its figures."""
    absent: str = ""
    """Why it cannot be measured here, if so: its rows say this and the benchmark goes on."""
    required: bool = True
    """Whether a failure of it ends the benchmark; else its rows say what went wrong."""

    def has(self, measure: Measure) -> bool:
        """Whether it gives this figure."""
        return self.gives is None or measure.key in self.gives


@dataclass(frozen=True, slots=True)
class Samples:
    """What all rounds gave, by system's name."""

    rounds: list[dict[str, Sample]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Systems without figures, and why."""


def interleave(systems: Sequence[System], rounds: int) -> Samples:
    """Sample all systems `rounds` times in turn: A B C, B C A, C A B, ...

    Raises:
        BenchmarkError: fewer than one round was asked for, or a required system could not be measured.
    """
    if rounds < 1:
        raise BenchmarkError(f"a comparison needs at least one pair, not {rounds}: give --pairs 1 or more")
    samples = Samples(missing={system.name: system.absent for system in systems if system.absent})
    for number in range(rounds):
        taken: dict[str, Sample] = {}
        first = number % len(systems)
        for system in (*systems[first:], *systems[:first]):
            if system.name in samples.missing:
                continue
            _progress(f"round {number + 1} of {rounds}: {system.name}")
            try:
                taken[system.name] = system.sample()
            except BenchmarkError as error:
                if system.required:
                    raise
                samples.missing[system.name] = f"failed: {error}"
        samples.rounds.append(taken)
    return samples


def compare(subject: System, peers: Sequence[System], measures: Sequence[Measure], rounds: int) -> list[Row]:
    """Rows for each measure: the subject, then each peer and subject / peer as a ratio without a unit.

    Raises:
        BenchmarkError: as `interleave`, or a figure is missing or not above zero.
    """
    samples = interleave([subject, *peers], rounds)
    rows: list[Row] = []
    for measure in measures:
        systems = [system for system in (subject, *peers) if system.has(measure)]
        rows.extend(_figure_row(system, measure, samples) for system in systems)
        if not measure.compared or subject not in systems or subject.name in samples.missing:
            continue
        ours = _figures(subject, measure, samples)
        for peer in systems:
            if peer is subject or peer.name in samples.missing:
                continue
            theirs = _figures(peer, measure, samples)
            ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
            name = f"{subject.name} / {peer.name}"
            rows.append(row_of(name, measure.metric, "ratio", measure.better, ratios))
    return rows


def _figure_row(system: System, measure: Measure, samples: Samples) -> Row:
    why = samples.missing.get(system.name)
    if why is not None:
        return row_of(system.name, measure.metric, measure.unit, measure.better, (), why)
    values = _figures(system, measure, samples)
    return row_of(system.name, measure.metric, measure.unit, measure.better, values, system.note)


def _figures(system: System, measure: Measure, samples: Samples) -> list[float]:
    if system.name in samples.missing:
        raise BenchmarkError(f"{system.name} was not measured: {samples.missing[system.name]}")
    return [_figure(system, taken[system.name], measure) for taken in samples.rounds]


def _figure(system: System, sample: Sample, measure: Measure) -> float:
    value = sample.get(measure.key)
    if value is None or (measure.compared and not value > 0):
        raise BenchmarkError(
            f"{system.name} gave {value} for {measure.key}: a figure above zero was expected"
        )
    return value


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
