"""The actor runtime and its pure rules. Imports only the standard library, pykka and protobuf.

Names are loaded when they are first used: the command line imports errors alone, and stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.framework.agent import Agent as Agent
    from covey.framework.agent_info import AgentInfo as AgentInfo
    from covey.framework.errors import AddressInUseError as AddressInUseError
    from covey.framework.errors import AgentDeadError as AgentDeadError
    from covey.framework.errors import AgentStuckError as AgentStuckError
    from covey.framework.errors import AskCancelledError as AskCancelledError
    from covey.framework.errors import AskCycleError as AskCycleError
    from covey.framework.errors import AskTimeoutError as AskTimeoutError
    from covey.framework.errors import BlockingCallError as BlockingCallError
    from covey.framework.errors import ConfigurationError as ConfigurationError
    from covey.framework.errors import CoveyError as CoveyError
    from covey.framework.errors import LinkedAgentError as LinkedAgentError
    from covey.framework.errors import MailboxFullError as MailboxFullError
    from covey.framework.errors import MessageTypeError as MessageTypeError
    from covey.framework.errors import NoHostError as NoHostError
    from covey.framework.errors import NotSerializableError as NotSerializableError
    from covey.framework.errors import PayloadTooLargeError as PayloadTooLargeError
    from covey.framework.errors import PermissionDeniedError as PermissionDeniedError
    from covey.framework.errors import Reject as Reject
    from covey.framework.errors import RemoteError as RemoteError
    from covey.framework.errors import SchemaChangedError as SchemaChangedError
    from covey.framework.errors import ServerNotFoundError as ServerNotFoundError
    from covey.framework.errors import SwarmFailedError as SwarmFailedError
    from covey.framework.errors import TransportError as TransportError
    from covey.framework.errors import UndecodableError as UndecodableError
    from covey.framework.errors import UnhandledMessageError as UnhandledMessageError
    from covey.framework.events import AgentEscalated as AgentEscalated
    from covey.framework.events import AgentFailed as AgentFailed
    from covey.framework.events import AgentPassivated as AgentPassivated
    from covey.framework.events import AgentRestarted as AgentRestarted
    from covey.framework.events import AgentSlow as AgentSlow
    from covey.framework.events import AgentStarted as AgentStarted
    from covey.framework.events import AgentStopped as AgentStopped
    from covey.framework.events import DeadLettered as DeadLettered
    from covey.framework.events import LoopHeld as LoopHeld
    from covey.framework.events import MessagesLost as MessagesLost
    from covey.framework.events import NodeJoined as NodeJoined
    from covey.framework.events import NodeLeft as NodeLeft
    from covey.framework.gather import gather as gather
    from covey.framework.handlers import every as every
    from covey.framework.handlers import handles as handles
    from covey.framework.handlers import subscribes as subscribes
    from covey.framework.mailbox import Mailbox as Mailbox
    from covey.framework.messages.message import field as field
    from covey.framework.messages.message import message as message
    from covey.framework.messages.request import Request as Request
    from covey.framework.ref import AgentRef as AgentRef
    from covey.framework.reply import Reply as Reply
    from covey.framework.supervision.backoff import Backoff as Backoff
    from covey.framework.supervision.child import Child as Child
    from covey.framework.supervision.child_info import ChildInfo as ChildInfo
    from covey.framework.supervision.supervisor import Supervisor as Supervisor
    from covey.framework.supervision.supervisor_ref import SupervisorRef as SupervisorRef
    from covey.framework.supervision.tree import NodeTree as NodeTree
    from covey.framework.supervision.tree import TreeLine as TreeLine
    from covey.framework.terminated import Terminated as Terminated

_HOME = {
    "AgentEscalated": "covey.framework.events",
    "AgentFailed": "covey.framework.events",
    "AgentPassivated": "covey.framework.events",
    "AgentRestarted": "covey.framework.events",
    "AgentSlow": "covey.framework.events",
    "AgentStarted": "covey.framework.events",
    "AgentStopped": "covey.framework.events",
    "DeadLettered": "covey.framework.events",
    "LoopHeld": "covey.framework.events",
    "NodeJoined": "covey.framework.events",
    "MessagesLost": "covey.framework.events",
    "NodeLeft": "covey.framework.events",
    "SupervisorRef": "covey.framework.supervision.supervisor_ref",
    "ChildInfo": "covey.framework.supervision.child_info",
    "Agent": "covey.framework.agent",
    "gather": "covey.framework.gather",
    "every": "covey.framework.handlers",
    "handles": "covey.framework.handlers",
    "subscribes": "covey.framework.handlers",
    "Mailbox": "covey.framework.mailbox",
    "field": "covey.framework.messages.message",
    "Request": "covey.framework.messages.request",
    "Terminated": "covey.framework.terminated",
    "message": "covey.framework.messages.message",
    "AgentInfo": "covey.framework.agent_info",
    "AgentRef": "covey.framework.ref",
    "Reply": "covey.framework.reply",
    "Backoff": "covey.framework.supervision.backoff",
    "Child": "covey.framework.supervision.child",
    "NodeTree": "covey.framework.supervision.tree",
    "Supervisor": "covey.framework.supervision.supervisor",
    "TreeLine": "covey.framework.supervision.tree",
}
"""Where each name lives; all others of `__all__` are errors."""

__all__ = [
    "AddressInUseError",
    "Agent",
    "AgentDeadError",
    "AgentEscalated",
    "AgentFailed",
    "AgentInfo",
    "AgentPassivated",
    "AgentRef",
    "AgentRestarted",
    "AgentSlow",
    "AgentStarted",
    "AgentStopped",
    "AgentStuckError",
    "AskCancelledError",
    "AskCycleError",
    "AskTimeoutError",
    "Backoff",
    "BlockingCallError",
    "Child",
    "ChildInfo",
    "ConfigurationError",
    "CoveyError",
    "DeadLettered",
    "LinkedAgentError",
    "LoopHeld",
    "Mailbox",
    "MailboxFullError",
    "MessageTypeError",
    "MessagesLost",
    "NoHostError",
    "NodeJoined",
    "NodeLeft",
    "NodeTree",
    "NotSerializableError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Reject",
    "RemoteError",
    "Reply",
    "Request",
    "SchemaChangedError",
    "ServerNotFoundError",
    "Supervisor",
    "SupervisorRef",
    "SwarmFailedError",
    "Terminated",
    "TransportError",
    "TreeLine",
    "UndecodableError",
    "UnhandledMessageError",
    "every",
    "field",
    "gather",
    "handles",
    "message",
    "subscribes",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME.get(name, "covey.framework.errors")), name)
    globals()[name] = value
    return value
