"""Which message is being handled here and now: what `self.sender` and `self.deadline` read."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covey.framework.envelope import Envelope
    from covey.framework.receive import Receiver

__all__ = ["CURRENT", "Handling"]


class Handling:
    """The agent and the envelope that the running handler belongs to.

    A plain handler finds the one permanent `Handling` of its agent (its envelope is set before each
    message); an `async def` handler has one of its own, because others may start before it ends.
    """

    __slots__ = ("cell", "envelope", "is_async", "open_spans")

    def __init__(self, cell: Receiver, envelope: Envelope | None = None, is_async: bool = False) -> None:
        self.cell = cell
        self.envelope = envelope
        self.is_async = is_async
        self.open_spans = 0
        """Spans that the handler itself has opened now: they may have begun a trace."""

    @property
    def deadline(self) -> float | None:
        """Deadline of the ask being handled, on the node's monotonic clock."""
        envelope = self.envelope
        return None if envelope is None or envelope.reply is None else envelope.reply.deadline

    @property
    def chain(self) -> tuple[str, ...]:
        """Agents awaiting the ask being handled, outermost first."""
        envelope = self.envelope
        return () if envelope is None or envelope.reply is None else envelope.reply.chain


CURRENT: ContextVar[Handling | None] = ContextVar("covey_handling", default=None)
