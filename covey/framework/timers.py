"""Timers of agents: `@every`, which ticks, and `after`, which sends a message once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.dispatcher import Dispatcher
    from covey.framework.handlers import Handler

__all__ = ["DelayedTell", "PeriodicTimer", "Timer", "next_tick"]


def next_tick(first: float, period_s: float, now: float) -> float:
    """The first of `first`, `first + period_s`, ... that lies after `now`: late ticks are skipped.

    Times are multiples of the period from the first one, so that lateness never adds up to a drift.
    """
    if now < first:
        return first
    due = first + (int((now - first) / period_s) + 1) * period_s
    return due if due > now else due + period_s  # the division may round down


class PeriodicTimer:
    """Posts itself to its agent's system lane every period; at most once at a time."""

    __slots__ = (
        "_cell",
        "_dispatcher",
        "_due",
        "_first",
        "_handle",
        "cancelled",
        "handler",
        "pending",
        "period_s",
    )

    def __init__(self, cell: Cell, handler: Handler, period_s: float, dispatcher: Dispatcher) -> None:
        self._cell = cell
        self._dispatcher = dispatcher
        self._handle: asyncio.TimerHandle | None = None
        self._due = float("-inf")
        self._first = dispatcher.now() + period_s
        self.handler = handler
        self.period_s = period_s
        self.pending = False
        """Posted and not yet handled: a late agent gets no second tick on top."""
        self.cancelled = False
        dispatcher.call(self._arm)

    def cancel(self) -> None:
        """No tick is handled after this; from any thread."""
        self.cancelled = True
        self._dispatcher.call(self._disarm)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        if not self.cancelled:
            # A loop may fire a hair early: the tick after that is still the next one.
            self._due = next_tick(self._first, self.period_s, max(self._dispatcher.now(), self._due))
            self._handle = self._dispatcher.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._arm()
        if not self.pending and not self.cancelled:
            self.pending = True
            self._cell.post_tick(self)


class DelayedTell:
    """A message that an agent sends to itself later: what `Agent.after` returns."""

    __slots__ = ("_cell", "_due", "_handle", "_item", "_state")

    def __init__(self, cell: Cell, delay_s: float, item: Any) -> None:
        self._cell = cell
        self._item = item
        self._handle: asyncio.TimerHandle | None = None
        self._state: Literal["waiting", "sent", "cancelled"] = "waiting"
        dispatcher = cell.node.dispatcher
        self._due = dispatcher.now() + delay_s
        cell.add_timer(self)  # before it can fire
        if dispatcher.here:
            self._arm()
        else:
            dispatcher.call(self._arm)

    def __repr__(self) -> str:
        return f"<message of {self._cell.address} to itself: {self._state}>"

    def cancel(self) -> None:
        """Do not send the message, unless it was sent; from any thread."""
        if self._state == "waiting":
            self._state = "cancelled"
            self._cell.node.dispatcher.call(self._disarm)

    def _arm(self) -> None:
        if self._state == "waiting":
            self._handle = self._cell.node.dispatcher.call_at(self._due, self._fire)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        timers = self._cell.timers  # an agent's own thread may take it away meanwhile
        if timers is not None:
            timers.discard(self)

    def _fire(self) -> None:
        if self._state != "waiting":
            return
        self._state = "sent"
        timers = self._cell.timers  # an agent's own thread may take it away meanwhile
        if timers is not None:
            timers.discard(self)
        self._cell.put(self._item)


Timer = PeriodicTimer | DelayedTell
