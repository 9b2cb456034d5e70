"""The soak: rounds of mixed load in this process, a census at each quiet point, and a verdict."""

from __future__ import annotations

import logging
import pickle
import tempfile
from time import monotonic

from covey import Swarm
from covey.framework.node import DEFAULT_ASK_TIMEOUT_S
from covey.framework.state import RUNNING
from tests.framework.waiting import eventually, held_up
from tests.soak.census import Census, take_census
from tests.soak.curve import FEWEST, growths, table
from tests.soak.load import Load
from tests.soak.population import Idler
from tests.soak.tally import TALLY

__all__ = ["STORED", "Soak", "is_quiet"]

QUIET_WITHIN_S = 20.0
STORED = 1_000
"""What the bounded stores of a node keep: until they are full, memory has to grow."""


class _Complaints(logging.Handler):
    """Notes what the runtime says about itself: reports of the agents' failures are none of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "asyncio" or "internal error" in str(record.msg):
            self.heard.append(record.getMessage())


class Soak:
    """Runs rounds for a while and keeps the curve of what lives after each.

    The curve lies in a file until the end: kept here, it would be the one thing that grows.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._round = 0
        self._complaints = _Complaints()
        self._curve = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the soak
        self._looks = 0

    def run(self) -> list[str]:
        """Warm up, soak, and say what is wrong, in words; an empty list when nothing is."""
        for name in ("covey", "asyncio"):
            logging.getLogger(name).addHandler(self._complaints)
            logging.getLogger(name).propagate = False
        with Swarm.local(name="soak", trace_ratio=0.0) as swarm:
            swarm.dead_letters().subscribe(TALLY.letter)
            swarm.on_event(lambda event: TALLY.note(type(event).__name__))
            load = Load(swarm)
            print(f"{len(load)} agents; warming up for at least {DEFAULT_ASK_TIMEOUT_S:g} s", flush=True)
            # The deadline wheel is full when the first asks of the run would have timed out.
            begun = monotonic()
            while monotonic() < begun + DEFAULT_ASK_TIMEOUT_S or not self._stores_are_full(swarm):
                self._go_round(swarm, load)
            begun = monotonic()
            while monotonic() < begun + self._seconds or self._looks < FEWEST:
                self._go_round(swarm, load)
                self._look(swarm, monotonic() - begun)
        left = [f"{len(swarm._running.directory)} agents outlive the swarm"] * bool(swarm._running.directory)
        self._curve.seek(0)
        curve: list[Census] = [pickle.load(self._curve) for _ in range(self._looks)]
        print(table(curve))
        unbalanced = TALLY.unbalanced()
        return [
            *growths(curve),
            *([unbalanced] if unbalanced else []),
            *(f"never happened: {what}" for what in TALLY.missing()),
            *self._complaints.heard[:10],
            *left,
        ]

    def _look(self, swarm: Swarm, at_s: float) -> None:
        with held_up(swarm):
            pickle.dump(take_census(at_s, TALLY.sent, TALLY.asked), self._curve)
        self._looks += 1

    def _go_round(self, swarm: Swarm, load: Load) -> None:
        self._round += 1
        load.round(self._round)
        self._await_quiet(swarm)
        load.call_the_roll()
        self._await_quiet(swarm)

    def _await_quiet(self, swarm: Swarm) -> None:
        try:
            eventually(lambda: not TALLY.unbalanced() and is_quiet(swarm), QUIET_WITHIN_S)
        except AssertionError:
            busy = [cell for cell in swarm._running.directory.cells if cell.running or cell.mail][:5]
            raise AssertionError(
                f"not quiet after {QUIET_WITHIN_S:g} s: {TALLY.unbalanced() or busy}"
            ) from None

    @staticmethod
    def _stores_are_full(swarm: Swarm) -> bool:
        deaths = len(swarm._running.directory._deaths)
        return deaths >= STORED and sum(1 for _ in swarm.dead_letters()) >= STORED


def is_quiet(swarm: Swarm) -> bool:
    """Whether every agent runs and rests, and the idle ones have given their instances up."""
    return not any(
        cell.state != RUNNING or cell.running or cell.mail or cell.waiters or cell.actor_class is Idler
        for cell in swarm._running.directory.cells
    )
