"""What the Covey nodes of the benchmarks between processes share: the messages and the receiving agent."""

from __future__ import annotations

import time

from benchmarks.reading_proto import FIRST_SEQUENCE
from covey import Agent, handles, message

__all__ = ["Arrivals", "CountArrivals", "Echo", "Reading", "Sink"]


@message
class Reading:
    """Told; with the raw side's values it takes 128 bytes as well."""

    series: str
    sequence: int
    value: float
    note: str


@message
class Echo:
    """Asked; comes back as its reading."""

    reading: Reading


@message
class CountArrivals:
    """Asks how many readings were handled since the last time. Sent after them, it is handled after them."""


@message
class Arrivals:
    count: int
    disorder: int
    """Readings that were not the next one: some are missing before them, or came too late."""
    last_s: float
    """Monotonic seconds (one clock for all processes of a machine) when the last reading was handled."""
    cpu_s: float
    """Processor time that the receiving process has used so far."""


class Sink(Agent):
    """Counts readings, which must come in order and without a hole."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.disorder = 0
        self.last_s = 0.0
        self.expected = FIRST_SEQUENCE

    @handles
    def take(self, reading: Reading) -> None:
        if reading.sequence != self.expected:
            self.disorder += 1
        self.expected = reading.sequence + 1
        self.count += 1
        self.last_s = time.monotonic()

    @handles
    def echo(self, echo: Echo) -> Reading:
        return echo.reading

    @handles
    def report(self, question: CountArrivals) -> Arrivals:
        arrivals = Arrivals(
            count=self.count, disorder=self.disorder, last_s=self.last_s, cpu_s=time.process_time()
        )
        self.count = self.disorder = 0
        self.expected = FIRST_SEQUENCE
        return arrivals
