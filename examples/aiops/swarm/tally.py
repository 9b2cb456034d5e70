"""What became of the readings in this process: sent, handled, or dead letters."""

from __future__ import annotations

import threading

from covey.framework.dead_letters import DeadLetter
from covey.framework.messages import codec

from .messages import Reading, ReadingCounts

__all__ = ["READINGS", "ReadingTally"]


class ReadingTally:
    """Counts that no crash takes along: they belong to the process, not to the agents.

    Monitors and detectors count on their node's loop; dead letters come up in any thread.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.handled = 0
        self._dead = 0
        self._lock = threading.Lock()

    def note(self, letter: DeadLetter) -> None:
        """A dead letter: counted if it is a reading."""
        if letter.message_type == codec.type_name(Reading):
            with self._lock:
                self._dead += 1

    def counts(self) -> ReadingCounts:
        """The counts as they are now."""
        return ReadingCounts(sent=self.sent, handled=self.handled, dead=self._dead)


READINGS = ReadingTally()
"""Of this process."""
