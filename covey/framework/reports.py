"""What a node tells about itself: events for observability and listeners, and dead letters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from covey.framework.dead_letters import NOTED_FOR_S, DeadLetter, DeadLetters, clip, clip_text
from covey.framework.envelope import opened
from covey.framework.events import DeadLettered, Event, EventSink
from covey.framework.link import Link
from covey.framework.messages import codec

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.transport import Transport

__all__ = ["Reports"]

NAME_CHARS = 400
"""Of an address or a type that somebody else wrote: longer ones are none, and letters are kept."""
DETAIL_CHARS = 2_000

HANDLED = ("failed", "rejected", "cancelled")
"""The reasons of those letters that a handler had begun with."""

logger = logging.getLogger("covey.node")


class Reports(Link):
    """The part of a `Node` that reports; from any thread."""

    def __init__(self, name: str, transport: Transport | None, sink: EventSink | None) -> None:
        super().__init__(name, transport)
        self.sink = sink
        self.dead_letters = DeadLetters()
        self._listeners: tuple[tuple[Callable[[Any], object], tuple[type, ...]], ...] = ()
        self._lock_listeners = threading.Lock()

    @property
    def is_observed(self) -> bool:
        """Whether anybody would hear of an event: most of them are not even made otherwise."""
        return self.sink is not None or bool(self._listeners)

    def on_event(self, listener: Callable[[Any], object], *kinds: type) -> Callable[[], None]:
        """Call the listener with the events of this node, in the thread where it happens; be quick.

        With kinds, only with events of those classes. Returns what ends the subscription.
        """
        subscription = (listener, kinds)
        with self._lock_listeners:
            self._listeners = (*self._listeners, subscription)

        def unsubscribe() -> None:
            with self._lock_listeners:
                self._listeners = tuple(known for known in self._listeners if known is not subscription)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Tell observability and the listeners."""
        if self.sink is not None:
            self.sink.emit(event)
        for listener, kinds in self._listeners:
            if kinds and not isinstance(event, kinds):
                continue
            try:
                listener(event)
            except Exception:
                logger.exception("a listener raised on %r", event)

    def dead_letter(self, address: Address | str, item: Any, reason: str, detail: str = "") -> None:
        """Keep what could not be delivered or handled."""
        envelope = opened(item)
        self._keep(
            DeadLetter(
                reason,
                str(address),
                "" if envelope.sender is None else str(envelope.sender),
                codec.type_name(envelope.message),
                clip(envelope.message),
                clip_text(detail, DETAIL_CHARS),
                time(),
                envelope.context[:16].hex(),
                envelope.message_id,
                envelope.attempt + (reason in HANDLED),
            ),
            envelope.context,
        )

    def dead_letter_wire(self, target: str, type_name: str, reason: str, detail: str) -> None:
        """Keep an envelope of another node that was never decoded."""
        target, type_name = clip_text(target, NAME_CHARS), clip_text(type_name, NAME_CHARS)
        detail = clip_text(detail, DETAIL_CHARS)
        self._keep(DeadLetter(reason, target, "", type_name, "", detail, time(), ""), b"")

    def _keep(self, letter: DeadLetter, context: bytes) -> None:
        # A failure has its own report, and a cancelled ask was somebody's wish.
        if self.dead_letters.add(letter) and letter.reason not in ("failed", "cancelled"):
            logger.warning(
                "dead letter on node %s: %s to %s: %s (%s); more like it are only counted for %g s",
                self.name,
                letter.message_type or "a message",
                letter.target or "nobody",
                letter.reason,
                letter.detail or "no detail",
                NOTED_FOR_S,
            )
        self.emit(DeadLettered(letter.target, letter.reason, letter.message_type, context))
