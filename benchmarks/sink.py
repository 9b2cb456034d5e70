"""What the two Covey nodes of the `node-to-node` benchmark share: the messages and the receiving agent."""

from __future__ import annotations

import time

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
    last_s: float
    """Monotonic seconds (one clock for all processes of a machine) when the last reading was handled."""


class Sink(Agent):
    """Counts readings."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.last_s = 0.0

    @handles
    def take(self, reading: Reading) -> None:
        self.count += 1
        self.last_s = time.monotonic()

    @handles
    def echo(self, echo: Echo) -> Reading:
        return echo.reading

    @handles
    def report(self, question: CountArrivals) -> Arrivals:
        arrivals = Arrivals(count=self.count, last_s=self.last_s)
        self.count = 0
        return arrivals
