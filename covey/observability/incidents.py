"""Which unsampled failures get a trace of their own, and in which one an agent's restart belongs."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PER_SECOND", "Incidents"]

KEPT = 1_024
PER_SECOND = 100
"""Failures without a trace that get one, each second: a crash storm must not drown what else is traced."""


class Incidents:
    """The contexts of the latest failures by agent; bounded, and safe to use from any thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._contexts: dict[str, bytes] = {}
        self._second = 0
        self._count = 0

    def may_begin(self) -> bool:
        """Whether another failure may begin a trace now."""
        second = int(self._now())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= PER_SECOND

    def began(self, address: str, context: bytes) -> None:
        """The failure of this agent has begun a trace."""
        self._contexts.pop(address, None)
        self._contexts[address] = context
        while len(self._contexts) > KEPT:
            try:
                self._contexts.pop(next(iter(self._contexts)), None)
            except (RuntimeError, StopIteration):
                return  # another thread changed it meanwhile

    def of(self, address: str) -> bytes:
        """The trace of the agent's last failure; empty for none."""
        return self._contexts.get(address, b"")

    def ended(self, address: str) -> bytes:
        """As `of`, for the last time: it is restarted, or has ended."""
        return self._contexts.pop(address, b"")
