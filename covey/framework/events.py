"""The seam between the runtime and observability: what happened, and where a span begins and ends.

The framework calls an `EventSink` and knows nothing of OpenTelemetry. A trace context travels as 25
opaque bytes (trace id 16, span id 8, flags 1; flag bit 0 = sampled); `b""` means that nothing is traced.
An unsampled message costs a flag test and never reaches the sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "NO_CONTEXT",
    "AgentEscalated",
    "AgentFailed",
    "AgentPassivated",
    "AgentRestarted",
    "AgentSlow",
    "AgentStarted",
    "AgentStopped",
    "Attributes",
    "DeadLettered",
    "Event",
    "EventSink",
    "HandledMessage",
    "LoopHeld",
    "MessagesLost",
    "NodeJoined",
    "NodeLeft",
    "SpanHandle",
    "is_sampled",
]

NO_CONTEXT = b""
"""The trace context of a message that nobody traces."""

Attributes = Mapping[str, str | int | float | bool]


def is_sampled(context: bytes) -> bool:
    """Whether a 25-byte trace context asks for spans."""
    return len(context) == 25 and bool(context[24] & 1)


@dataclass(frozen=True, slots=True)
class AgentStarted:
    address: str
    node: str


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """An agent's handler, hook or constructor raised, or a handler was stuck."""

    address: str
    node: str
    error: BaseException
    message_type: str
    restarts: int
    context: bytes = NO_CONTEXT
    supervisor: str = ""
    """Path of the supervisor that decides; empty for none."""
    verdict: str = ""
    """What it decides: `resume`, `restart`, `stop` or `escalate`; empty without a supervisor."""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class AgentRestarted:
    """A supervisor put a fresh instance behind the same address and mailbox."""

    address: str
    node: str
    supervisor: str
    restarts: int
    down_s: float
    """Seconds from the failure to the new instance's being ready."""
    context: bytes = NO_CONTEXT
    cause: str = ""
    """Why, where it is not its own failure: a sibling's, or that its supervisor restarts."""


@dataclass(frozen=True, slots=True)
class AgentStopped:
    address: str
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class AgentPassivated:
    """An idle agent gave its instance up; its next message makes a new one."""

    address: str
    node: str


@dataclass(frozen=True, slots=True)
class AgentEscalated:
    """A supervisor gave up on a child: more restarts than its intensity within its period, a verdict to
    escalate, or a `decide` that raised. Its own supervisor decides then; without one the swarm has failed."""

    supervisor: str
    node: str
    child: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class DeadLettered:
    target: str
    reason: str
    message_type: str
    context: bytes = NO_CONTEXT


@dataclass(frozen=True, slots=True)
class LoopHeld:
    """A handler held the node's loop, and so all its other agents, for too long."""

    address: str
    node: str
    handler: str
    """Qualified name of the method."""
    message_type: str
    held_s: float
    """Seconds so far; it may still run."""
    stack: str
    """Where it was, innermost call last; empty when it had ended by then."""


@dataclass(frozen=True, slots=True)
class AgentSlow:
    """A handler has used half of its deadline: slow, and not stuck yet."""

    address: str
    node: str
    handler: str
    message_type: str
    running_s: float


@dataclass(frozen=True, slots=True)
class NodeJoined:
    node: str


@dataclass(frozen=True, slots=True)
class NodeLeft:
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """Messages of another node that a broken link lost, or own ones to a node that has left."""

    node: str
    messages: int
    in_doubt: bool = False
    """Whether they were on their way to a node that has left, and may have been handled."""


Event = (
    AgentStarted
    | AgentFailed
    | AgentRestarted
    | AgentStopped
    | AgentEscalated
    | AgentPassivated
    | AgentSlow
    | DeadLettered
    | LoopHeld
    | MessagesLost
    | NodeJoined
    | NodeLeft
)


@dataclass(slots=True)
class HandledMessage:
    """What a sink needs to know of a sampled message that is about to be handled."""

    kind: str
    """The agent's kind: the span's service name and destination template."""
    key: str
    message_type: str
    message_id: str
    sender: str
    """Address of the sending agent, or empty."""
    context: bytes
    """The trace context that came with the message: the parent."""
    wait_s: float
    """Seconds in the mailbox."""
    remote: bool
    """Whether it came from another node."""
    is_ask: bool


class SpanHandle(Protocol):
    """A span that is open."""

    def set(self, **attributes: str | int | float | bool) -> None:
        """Add attributes to the span."""
        ...

    @property
    def trace_id(self) -> str:
        """32 hex digits, or empty when nothing is traced."""
        ...


class EventSink(Protocol):
    """What observability implements. No method may raise or block; all may be called from any thread."""

    def emit(self, event: Event) -> None:
        """Take note of something that happened. Called on the loop thread: return at once."""
        ...

    def outgoing(self, operation: str, target_kind: str, message: object) -> bytes:
        """The trace context for a message that is being sent now, from the caller's current span.

        With no current span this is where a new trace may begin: head sampling decides, and a sampled
        root makes one PRODUCER span (so that the trace has its parent). `operation` is `tell` or `ask`.
        """
        ...

    def observe(self, kind: str, message_type: type, took_s: float, *, slow: bool) -> None:
        """An agent of this kind has handled a message: one in 16 is told of, and every slow one."""
        ...

    def process(self, handled: HandledMessage) -> AbstractContextManager[SpanHandle]:
        """The span around handling one sampled message; entered and left in the handler's own context.

        An exception that passes through is recorded on the span and goes on.
        """
        ...

    def span(
        self,
        name: str,
        kind: str,
        attributes: Attributes,
        *,
        new_trace: bool = False,
        start_time_s: float | None = None,
    ) -> AbstractContextManager[SpanHandle]:
        """A span around a block inside a handler (a decision phase, say).

        Without a current sampled span it does nothing, unless `new_trace`: then head sampling decides and
        a trace begins here. `kind` is the agent's kind; `start_time_s` is seconds since the epoch.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Export what is left, within the time."""
        ...
