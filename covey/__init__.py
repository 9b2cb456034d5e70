"""Covey: agents are Pykka actors that talk over NATS, supervised, placed on nodes and traced.

Names are loaded when they are first used, so that `import covey` and the command line stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.agents import DecisionAgent as DecisionAgent
    from covey.framework import AddressInUseError as AddressInUseError
    from covey.framework import Agent as Agent
    from covey.framework import AgentDeadError as AgentDeadError
    from covey.framework import AgentEscalated as AgentEscalated
    from covey.framework import AgentFailed as AgentFailed
    from covey.framework import AgentInfo as AgentInfo
    from covey.framework import AgentPassivated as AgentPassivated
    from covey.framework import AgentRef as AgentRef
    from covey.framework import AgentRestarted as AgentRestarted
    from covey.framework import AgentSlow as AgentSlow
    from covey.framework import AgentStarted as AgentStarted
    from covey.framework import AgentStopped as AgentStopped
    from covey.framework import AgentStuckError as AgentStuckError
    from covey.framework import AskCancelledError as AskCancelledError
    from covey.framework import AskCycleError as AskCycleError
    from covey.framework import AskTimeoutError as AskTimeoutError
    from covey.framework import Backoff as Backoff
    from covey.framework import BlockingCallError as BlockingCallError
    from covey.framework import Child as Child
    from covey.framework import ChildInfo as ChildInfo
    from covey.framework import ConfigurationError as ConfigurationError
    from covey.framework import CoveyError as CoveyError
    from covey.framework import DeadLettered as DeadLettered
    from covey.framework import LinkedAgentError as LinkedAgentError
    from covey.framework import LoopHeld as LoopHeld
    from covey.framework import Mailbox as Mailbox
    from covey.framework import MailboxFullError as MailboxFullError
    from covey.framework import MessagesLost as MessagesLost
    from covey.framework import MessageTypeError as MessageTypeError
    from covey.framework import NodeJoined as NodeJoined
    from covey.framework import NodeLeft as NodeLeft
    from covey.framework import NodeTree as NodeTree
    from covey.framework import NoHostError as NoHostError
    from covey.framework import NotSerializableError as NotSerializableError
    from covey.framework import PayloadTooLargeError as PayloadTooLargeError
    from covey.framework import PermissionDeniedError as PermissionDeniedError
    from covey.framework import Reject as Reject
    from covey.framework import RemoteError as RemoteError
    from covey.framework import Reply as Reply
    from covey.framework import Request as Request
    from covey.framework import SchemaChangedError as SchemaChangedError
    from covey.framework import ServerNotFoundError as ServerNotFoundError
    from covey.framework import Supervisor as Supervisor
    from covey.framework import SupervisorRef as SupervisorRef
    from covey.framework import SwarmFailedError as SwarmFailedError
    from covey.framework import Terminated as Terminated
    from covey.framework import TransportError as TransportError
    from covey.framework import TreeLine as TreeLine
    from covey.framework import UndecodableError as UndecodableError
    from covey.framework import UnhandledMessageError as UnhandledMessageError
    from covey.framework import every as every
    from covey.framework import field as field
    from covey.framework import gather as gather
    from covey.framework import handles as handles
    from covey.framework import message as message
    from covey.framework import subscribes as subscribes
    from covey.swarm import Swarm as Swarm

__version__ = "0.1.0"

_HOME = {"DecisionAgent": "covey.agents", "Swarm": "covey.swarm"}
"""Where the names live that are not of the framework."""

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
    "DecisionAgent",
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
    "Swarm",
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
        raise AttributeError(f"module 'covey' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME.get(name, "covey.framework")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
