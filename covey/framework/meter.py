"""What the runtime measures of messages as it handles them: one in 16, and every slow one.

A clock reading per message is all that the hot path pays; who is told of it is a matter of sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.envelope import message_of

if TYPE_CHECKING:
    from covey.framework.attending import Attending
    from covey.framework.events import EventSink

__all__ = ["ONE_IN", "SLOW_S", "Meter"]

ONE_IN = 16
SLOW_S = 0.01
"""A message that took longer is slow, and never left out."""
NEVER = 1 << 60


class Meter:
    """Counts down to the next sample. One for each thread that handles messages; not thread-safe."""

    __slots__ = ("_late", "_sink", "at", "left", "slow_s", "tasks_left")

    def __init__(self) -> None:
        self._sink: EventSink | None = None
        self._late: Callable[[Attending, Any, float, float], None] | None = None
        self.at = 0.0
        """When the last message ended, or whatever ran last on this thread: when the next one begins."""
        self.left = NEVER
        """Messages until the next sample, that one included; the cells count it down."""
        self.tasks_left = NEVER
        """As `left`, for `async def` handlers."""
        self.slow_s = math.inf

    def feed(self, sink: EventSink | None) -> None:
        """Tell the sink of one message in 16 and every slow one from now on."""
        self._sink = sink
        if sink is not None:
            self.left = self.tasks_left = ONE_IN
            self.slow_s = min(self.slow_s, SLOW_S)

    def report_late(self, hold_s: float, late: Callable[[Attending, Any, float, float], None]) -> None:
        """Call `late(cell, message, since, took_s)` for a plain handler that took longer than `hold_s`."""

        def check(cell: Attending, message: Any, since: float, took_s: float) -> None:
            if took_s > hold_s:
                late(cell, message, since, took_s)

        self._late = check
        self.slow_s = min(self.slow_s, hold_s)

    def handled(self, cell: Attending, item: Any, since: float, took_s: float) -> int:
        """A plain handler has ended that is slow or the next sample; returns how far the next sample is."""
        message = message_of(item)
        if self._late is not None:
            self._late(cell, message, since, took_s)
        if self._sink is None:
            return NEVER
        handler = cell.routes.cache.get(type(message))
        if handler is None or not handler.is_async:  # else `attended` tells of it
            self._sink.observe(cell.address.kind, type(message), took_s, slow=took_s > SLOW_S)
        return ONE_IN

    def attended(self, cell: Attending, message: Any, took_s: float) -> None:
        """An `async def` handler has ended that is slow or the next sample."""
        if self.tasks_left <= 0:
            self.tasks_left = NEVER if self._sink is None else ONE_IN
        if self._sink is not None:
            self._sink.observe(cell.address.kind, type(message), took_s, slow=took_s > SLOW_S)
