"""Which message is being handled here and now: what `self.sender` and `self.deadline` read."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError

if TYPE_CHECKING:
    import asyncio

    from covey.framework.address import Address
    from covey.framework.attending import Attending

__all__ = ["CURRENT", "WHY_FENCED", "Current", "Fenced", "FencedHandling", "Handling", "is_fenced"]


WHY_FENCED = "its handler was given up, and what it still does has no effect: end it"


class Fenced(AgentDeadError):
    """The handler that runs here was given up: what it sends has no effect."""

    def __init__(self) -> None:
        super().__init__("the sender", WHY_FENCED)


class Current:
    """The agent and the item of mail that the running handler belongs to.

    For a plain handler this is its agent's cell itself (`envelope` is set before each message), which
    costs nothing; an `async def` handler has a `Handling` of its own, because others may start before it
    ends.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        cell: Attending
        envelope: Envelope | tuple[object, Address] | None
        is_async: bool

        @property
        def open_spans(self) -> int:
            """Spans that the handler itself has opened now: they may have begun a trace."""

        @open_spans.setter
        def open_spans(self, value: int) -> None: ...

    @property
    def deadline(self) -> float | None:
        """Deadline of the ask being handled, on the node's monotonic clock."""
        envelope = self.envelope
        if type(envelope) is not Envelope or envelope.reply is None:
            return None
        return envelope.reply.deadline

    @property
    def chain(self) -> tuple[Address, ...]:
        """Agents awaiting the ask being handled, outermost first."""
        envelope = self.envelope
        if type(envelope) is not Envelope or envelope.reply is None:
            return ()
        return envelope.reply.chain

    @property
    def sender(self) -> Address | None:
        """Who sent the message being handled, if it was an agent."""
        envelope = self.envelope
        if type(envelope) is Envelope:
            return envelope.sender
        return None if envelope is None else envelope[1]  # type: ignore[index]


class Handling(Current):
    """The `Current` of one `async def` handler."""

    __slots__ = ("born", "cell", "envelope", "is_async", "open_spans", "task", "watch")

    def __init__(
        self,
        cell: Attending,
        envelope: Envelope | tuple[object, Address] | None = None,
        is_async: bool = True,
    ) -> None:
        self.cell = cell
        self.envelope = envelope
        self.is_async = is_async
        self.open_spans = 0
        self.task: asyncio.Task[Any] | None = None
        self.born = cell.restarts
        """Number of the instance whose handler it is."""
        self.watch: Any = None
        """What waits for its deadline, where it has one."""


class FencedHandling(Handling):
    """That of a coroutine which was given up, and goes on all the same."""

    __slots__ = ()

    @property
    def cell(self) -> Attending:  # type: ignore[override]
        """Nobody's: what the handler sends is discarded."""
        raise Fenced


CURRENT: ContextVar[Current | None] = ContextVar("covey_current", default=None)


def is_fenced() -> bool:
    """Whether the caller is a handler that was given up."""
    current = CURRENT.get()
    try:
        return current is not None and current.cell is None
    except Fenced:
        return True
