"""Dead letters: what could not be delivered or handled, and why. Bounded, counted, never silent."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["DeadLetter", "DeadLetters", "clip", "clip_text"]

logger = logging.getLogger("covey.node")

KEPT = 1_000
PAYLOAD_CHARS = 512
NOTED_FOR_S = 60.0
NOTED = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that no handler finished."""

    reason: str
    """One of: `stopped`, `unhandled`, `failed`, `expired`, `dropped`, `mailbox full`, `no host`,
    `node left`, `no link`, `undecodable`, `schema changed`, `too large`, `rejected`, `cancelled`,
    `fenced` (sent by a handler that was given up), `lost` (on the way, as a link broke), `replayed` (a frame
    that came before), `forged` (who sent it is not who it says),
    `late reply` (an answer whose asker waits no longer; its target is the asker, if that is an agent)."""
    target: str
    sender: str
    message_type: str
    payload: str
    """`repr` of the message, clipped."""
    detail: str
    at: float
    """Seconds since the epoch."""
    trace_id: str
    message_id: str = ""
    """As in the report of the failure; empty where nothing but this letter names the message."""
    attempts: int = 0
    """How often a handler has begun with it."""


class DeadLetters:
    """The last dead letters and a count by reason of all; thread-safe.

    `len()` counts all that there ever were, iteration gives the ones that are kept, oldest first, and
    `subscribe` tells of each as it comes.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=kept)
        self._counts: Counter[str] = Counter()
        # Re-entrant: a garbage collection inside may end a tell that nobody awaited.
        self._listeners: tuple[Callable[[DeadLetter], None], ...] = ()
        self._noted_at: dict[str, dict[str, float]] = {}
        """By reason and target, the oldest first."""
        self._lock = threading.RLock()

    def add(self, letter: DeadLetter) -> bool:
        """Keep the letter and count it; whether it is worth a line in the log.

        That is the first of its reason and target in a minute; of one reason at most `NOTED` are, for
        strangers make up as many targets as they like.
        """
        with self._lock:
            self._letters.append(letter)
            self._counts[letter.reason] += 1
            listeners = self._listeners
        for listener in listeners:
            try:
                listener(letter)
            except Exception:
                logger.exception("a listener raised on %r", letter)
        with self._lock:
            noted = self._noted_at.setdefault(letter.reason, {})
            if letter.at - noted.get(letter.target, 0.0) < NOTED_FOR_S:
                return False
            noted.pop(letter.target, None)  # the oldest comes first
            if len(noted) >= NOTED:
                oldest = next(iter(noted))
                if letter.at - noted[oldest] < NOTED_FOR_S:
                    return False
                del noted[oldest]
            noted[letter.target] = letter.at
            return True

    def subscribe(self, listener: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Call the listener with every letter from now on, in the thread where it comes up: be quick.

        Returns what ends the subscription.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(known for known in self._listeners if known is not listener)

        return unsubscribe

    @property
    def counts(self) -> dict[str, int]:
        """How many there were, by reason."""
        with self._lock:
            return dict(self._counts)

    def __len__(self) -> int:
        with self._lock:
            return self._counts.total()

    def __iter__(self) -> Iterator[DeadLetter]:
        with self._lock:
            return iter(tuple(self._letters))

    def __repr__(self) -> str:
        return f"<{len(self)} dead letters: {self.counts}>"


def clip(value: object, limit: int = PAYLOAD_CHARS) -> str:
    """`repr` of a value, cut to the limit, whatever its `__repr__` does."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__ must not lose the letter
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return clip_text(text, limit)


def clip_text(text: str, limit: int) -> str:
    """A text, cut to the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
