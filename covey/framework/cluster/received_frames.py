"""Which frames of the other end came, which are missing, and which came twice. Pure."""

from __future__ import annotations

__all__ = ["ReceivedFrames"]

RANGES_KEPT = 256
"""Holes that may be open at once; the oldest is given up for a new one."""


class ReceivedFrames:
    """By sequence. A hole stays open for one to two `tick`s: frames may overtake each other on the way.

    Owned by the loop thread. A frame is taken once, whatever the transport does.
    """

    def __init__(self) -> None:
        self.seen = 0
        """The last that came."""
        self._holes: list[tuple[int, int, bool]] = []
        """First, last, and whether it was open at the last tick already."""
        self._given_up: list[tuple[int, int]] = []

    def begin(self, sequence: int) -> None:
        """The other end is new, or unknown so far: the first frame that it has sent has this sequence."""
        self.seen = sequence - 1
        self._holes, self._given_up = [], []

    def take(self, sequence: int) -> bool:
        """Whether a frame is new: neither taken before nor given up."""
        if sequence > self.seen:
            if sequence > self.seen + 1:
                self._open(self.seen + 1, sequence - 1)
            self.seen = sequence
            return True
        for place, (first, last, is_old) in enumerate(self._holes):
            if first <= sequence <= last:
                rest = ((first, sequence - 1, is_old), (sequence + 1, last, is_old))
                self._holes[place : place + 1] = [hole for hole in rest if hole[0] <= hole[1]]
                self._bound()
                return True
        return False

    def _open(self, first: int, last: int) -> None:
        self._holes.append((first, last, False))
        self._bound()

    def _bound(self) -> None:
        if len(self._holes) > RANGES_KEPT:
            self._given_up.append(self._holes.pop(0)[:2])

    @property
    def confirmed(self) -> int:
        """All frames up to this one came, or were given up."""
        return min((first - 1 for first, _last, _is_old in self._holes), default=self.seen)

    def tick(self) -> list[tuple[int, int]]:
        """The holes that are given up now: open since the last tick, or too many."""
        given_up = [*self._given_up, *((first, last) for first, last, is_old in self._holes if is_old)]
        self._holes = [(first, last, True) for first, last, is_old in self._holes if not is_old]
        self._given_up = []
        return given_up
