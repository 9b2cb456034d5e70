"""Every error that Covey raises, under one base.

Leaves also inherit the builtin or Pykka error that callers already catch, carry their data as
attributes, and say what to do next. No exception of a client library (nats, protobuf) reaches a user
unwrapped.
"""

from __future__ import annotations

from collections.abc import Sequence

import pykka

__all__ = [
    "AddressInUseError",
    "AgentDeadError",
    "AgentStuckError",
    "AskCancelledError",
    "AskCycleError",
    "AskTimeoutError",
    "BlockingCallError",
    "ConfigurationError",
    "CoveyError",
    "LinkedAgentError",
    "MailboxFullError",
    "MessageTypeError",
    "NoHostError",
    "NotSerializableError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Reject",
    "RemoteError",
    "SchemaChangedError",
    "ServerNotFoundError",
    "SwarmFailedError",
    "TransportError",
    "UndecodableError",
    "UnhandledMessageError",
]


class CoveyError(Exception):
    """Base of every error that Covey raises."""


class ConfigurationError(CoveyError, ValueError):
    """An argument, a class attribute or an environment variable makes no sense; the message names it."""


class MessageTypeError(ConfigurationError, TypeError):
    """A class cannot become a `message`: an annotation has no protobuf equivalent. Raised at definition."""


class AskTimeoutError(CoveyError, TimeoutError, pykka.Timeout):
    """No reply came before the deadline. A started handler goes on; only `Reply.cancel()` stops it."""

    def __init__(
        self, target: str, timeout_s: float, message_type: str = "", *, still_pending: bool = False
    ) -> None:
        what = f"{message_type} to {target}" if message_type else target
        advice = (
            "the ask goes on: call get() again, or with a longer timeout="
            if still_pending
            else "give ask() a longer timeout=, or look at the agent's mailbox and handler times"
        )
        super().__init__(f"no reply from {what} within {timeout_s:.3g} s: {advice}")
        self.target = target
        self.timeout_s = timeout_s
        self.message_type = message_type


class AskCancelledError(CoveyError):
    """The ask was cancelled by `Reply.cancel()` before it was answered."""

    def __init__(self, target: str) -> None:
        super().__init__(f"the ask to {target} was cancelled")
        self.target = target


class AskCycleError(CoveyError, RuntimeError):
    """An ask that would wait for an agent which is itself waiting for this one."""

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(
            f"ask cycle: {' -> '.join(path)}: the last agent is waiting in an ask already; "
            "use tell(), or set reentrant = True on the agent that is asked twice"
        )
        self.path = tuple(path)


class BlockingCallError(CoveyError, RuntimeError):
    """A blocking call on a node's own loop thread, where it could never be answered."""


class AgentDeadError(CoveyError, pykka.ActorDeadError):
    """The agent stopped before it could answer, or was never there."""

    def __init__(
        self,
        target: str,
        reason: str = "it has stopped",
        *,
        supervisor: str = "",
        restarts: int = 0,
        last_message: str = "",
    ) -> None:
        super().__init__(f"{target} cannot answer: {reason}")
        self.target = target
        self.reason = reason
        self.supervisor = supervisor
        """Path of the supervisor of an agent that failed here; empty for none, or where it is not known."""
        self.restarts = restarts
        self.last_message = last_message
        """Type and id of the message that it failed with."""


class AgentStuckError(CoveyError, TimeoutError):
    """A handler ran past its `handler_deadline_s`: the agent is stuck, which is a failure of it."""

    def __init__(self, target: str, handler: str, deadline_s: float) -> None:
        super().__init__(
            f"{target} is stuck: {handler} has not ended within {deadline_s:g} s: "
            "find what it waits for, or raise handler_deadline_s on its class"
        )
        self.target = target
        self.handler = handler
        self.deadline_s = deadline_s


class LinkedAgentError(CoveyError, RuntimeError):
    """An agent fails because one that it is linked with has failed, was killed, or is not alive."""

    def __init__(self, target: str, other: str, reason: str) -> None:
        super().__init__(
            f"{target} fails with {other}, to which it is linked: {reason}: mend that one, "
            "or watch() it instead of linking"
        )
        self.target = target
        self.other = other
        self.reason = reason


class NoHostError(CoveyError, LookupError):
    """No live node of the swarm hosts this kind of agent."""

    def __init__(self, kind: str, nodes: Sequence[str] = (), hosted: Sequence[str] = ()) -> None:
        alive = ", ".join(nodes) or "none"
        known = ", ".join(hosted) or "none"
        super().__init__(
            f"no live node hosts the agent kind {kind!r} (nodes: {alive}; kinds hosted: {known}): "
            "start a node with it in hosts=[...], or spawn it"
        )
        self.kind = kind
        self.nodes = tuple(nodes)
        self.hosted = tuple(hosted)


class UnhandledMessageError(CoveyError, TypeError):
    """The agent has no handler for this type of message."""

    def __init__(self, target: str, message_type: str, handled: Sequence[str] = ()) -> None:
        known = ", ".join(handled) or "nothing"
        super().__init__(
            f"{target} has no handler for {message_type} (it handles {known}): "
            f"add a method with @handles and a parameter annotated {message_type.rpartition('.')[2]}, "
            "or override on_receive"
        )
        self.target = target
        self.message_type = message_type
        self.handled = tuple(handled)


class RemoteError(CoveyError):
    """A handler on another node raised; its type, text and traceback came back as text."""

    def __init__(self, type_name: str, message: str, traceback_text: str = "") -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text


class MailboxFullError(CoveyError):
    """A bounded mailbox had no room and could not wait for it."""

    def __init__(self, target: str, capacity: int, waiting_bytes: int = 0) -> None:
        size = f"{capacity} messages" if capacity else "on another node"
        waiting = f", and {waiting_bytes} bytes wait for it here already" if waiting_bytes else ""
        super().__init__(
            f"the mailbox of {target} is full ({size}){waiting}: await the tell, slow the sender down, "
            "raise Mailbox(capacity=...), or choose overflow='drop_oldest' or 'drop_newest'"
        )
        self.target = target
        self.capacity = capacity
        """In messages; 0 where only the agent's node knows it."""
        self.waiting_bytes = waiting_bytes
        """What waits on this node until there is room in the mailbox on the other."""


class NotSerializableError(CoveyError, TypeError):
    """A value that is no message was sent to another process."""

    def __init__(self, value_type: type, detail: str = "") -> None:
        name = f"{value_type.__module__}.{value_type.__qualname__}"
        super().__init__(
            f"{name} cannot leave this process{': ' + detail if detail else ''}: "
            "make it a @message dataclass or a generated protobuf message"
        )
        self.value_type = value_type
        self.detail = detail


class UndecodableError(CoveyError, ValueError):
    """Bytes that are no frame, envelope or payload of the type they claim, or name an unknown type."""


class SchemaChangedError(CoveyError, TypeError):
    """A field's number changed its type or label between two nodes; the value would be wrong."""

    def __init__(self, message_type: str, differences: Sequence[str]) -> None:
        super().__init__(
            f"{message_type} differs between the two nodes: {'; '.join(differences)}: "
            "keep field numbers for what they meant, and give a changed field a new number "
            "with field(number=n)"
        )
        self.message_type = message_type
        self.differences = tuple(differences)


class PayloadTooLargeError(CoveyError, ValueError):
    """A message is larger than the transport carries."""

    def __init__(self, message_type: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{message_type} takes {size_bytes} bytes, the transport carries at most {limit_bytes}: "
            "send a reference to the data, split it, or raise max_payload on the NATS server"
        )
        self.message_type = message_type
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class AddressInUseError(CoveyError):
    """An agent with this address, or a node with this name, is live already."""

    def __init__(self, address: str, detail: str = "stop it first, or choose another key") -> None:
        super().__init__(f"{address} is in use: {detail}")
        self.address = address


class PermissionDeniedError(CoveyError, PermissionError):
    """The NATS server refused a subject to this node's user."""

    def __init__(self, subject: str, detail: str = "", *, node: str = "") -> None:
        super().__init__(
            f"the server refuses {subject}{': ' + detail if detail else ''}: check the user's permissions "
            "(`covey auth init` writes those that nodes and clients need)"
        )
        self.subject = subject
        self.detail = detail
        self.node = node
        """The node that cannot be reached because of it; empty when it is about something else."""


class SwarmFailedError(CoveyError):
    """The root supervisor gave up; the report says why."""


class TransportError(CoveyError, ConnectionError):
    """The transport could not start or lost its server; the message names the server and the next step."""


class ServerNotFoundError(TransportError):
    """No nats-server binary was found to start."""


class Reject(CoveyError):
    """Raise it in a handler to refuse one message: the asker gets it, the agent has not failed."""
