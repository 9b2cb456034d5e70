"""`Faults`: what goes wrong between the nodes of a test, by a seed, and cuts by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable

from covey.framework.errors import ConfigurationError
from covey.testing.fault import Fault, Kind, Odds

__all__ = ["Faults"]


class Faults:
    """Decides for the `FaultyTransport`s of a swarm's nodes what happens to their frames.

    Each directed link has a random stream of its own, made of the seed and the two nodes' names, and every
    frame takes the same count of numbers from it. So the same seed and the same frames give the same faults,
    whatever the threads do. Odds may be changed at any time, and change nothing in the streams.

    Frames are what one node sends another: one or more messages or answers. Nodes take each once, and find
    out which never came. The beacons by which nodes know of each other, and publications, are not drawn for;
    only a cut stops them.

    Args:
        seed: of the random streams.
        drop, duplicate, delay, reorder: how probable each is for a frame, 0 to 1. A delayed frame holds up
            those behind it, a reordered one lets them pass.
        delay_s: the shortest and the longest delay, seconds on the nodes' clock.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        delay: float = 0.0,
        reorder: float = 0.0,
        delay_s: tuple[float, float] = (0.01, 0.1),
    ) -> None:
        self.seed = seed
        self.drop = drop
        self.duplicate = duplicate
        self.delay = delay
        self.reorder = reorder
        self.delay_s = delay_s
        self._cuts: frozenset[tuple[str, str]] = frozenset()
        self._log: list[Fault] = []
        self._lock = threading.Lock()
        self._time: Callable[[], float] = lambda: 0.0
        self.odds()

    def odds(self) -> Odds:
        """The probabilities as they are now.

        Raises:
            ConfigurationError: one is no probability, or the delays are none.
        """
        for name in ("drop", "duplicate", "delay", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"Faults.{name} = {getattr(self, name)!r}: give 0 to 1")
        shortest, longest = self.delay_s
        if not 0 <= shortest <= longest:
            raise ConfigurationError(
                f"Faults.delay_s = {self.delay_s!r}: give the shortest and the longest delay, in seconds"
            )
        return Odds(self.drop, self.duplicate, self.delay, self.reorder, self.delay_s)

    # -- links -------------------------------------------------------------------------------------

    def cut(self, one: str, other: str, *, both_ways: bool = True) -> None:
        """Let nothing pass from node `one` to node `other`, beacons included, nor back."""
        with self._lock:
            self._cuts |= _links(one, other, both_ways)
        self.note("cut", one, other, at_s=self._time())

    def heal(self, one: str, other: str, *, both_ways: bool = True) -> None:
        """Let everything pass again; what met the cut is lost."""
        with self._lock:
            self._cuts -= _links(one, other, both_ways)
        self.note("healed", one, other, at_s=self._time())

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing passes from one node to the other."""
        return (source, target) in self._cuts

    # -- the log -----------------------------------------------------------------------------------

    @property
    def log(self) -> list[Fault]:
        """What was done so far: by time, and at one time by link and number."""
        with self._lock:
            return sorted(self._log, key=lambda f: (f.at_s, f.source, f.target, f.number, f.kind))

    def note(
        self, kind: Kind, source: str, target: str, number: int = 0, delay_s: float = 0.0, *, at_s: float
    ) -> None:
        """Add to the log; from any thread."""
        with self._lock:
            self._log.append(Fault(kind, source, target, number, delay_s, at_s))

    def tell_time_by(self, time: Callable[[], float]) -> None:
        """The clock of a node: what the test itself does is logged by it."""
        self._time = time


def _links(one: str, other: str, both_ways: bool) -> frozenset[tuple[str, str]]:
    return frozenset([(one, other), (other, one)] if both_ways else [(one, other)])
