"""Covey: agents are Pykka actors that talk over NATS, supervised, placed on nodes and traced.

Names are loaded when they are first used, so that `import covey` and the command line stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.agents.decision_agent import DecisionAgent as DecisionAgent
    from covey.framework.agent import Agent as Agent
    from covey.framework.errors import AddressInUseError as AddressInUseError
    from covey.framework.errors import AgentDeadError as AgentDeadError
    from covey.framework.errors import AskCancelledError as AskCancelledError
    from covey.framework.errors import AskCycleError as AskCycleError
    from covey.framework.errors import AskTimeoutError as AskTimeoutError
    from covey.framework.errors import BlockingCallError as BlockingCallError
    from covey.framework.errors import ConfigurationError as ConfigurationError
    from covey.framework.errors import CoveyError as CoveyError
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
    from covey.framework.handlers import every as every
    from covey.framework.handlers import handles as handles
    from covey.framework.handlers import subscribes as subscribes
    from covey.framework.mailbox import Mailbox as Mailbox
    from covey.framework.messages.message import field as field
    from covey.framework.messages.message import message as message
    from covey.framework.ref import AgentRef as AgentRef
    from covey.framework.reply import Reply as Reply
    from covey.framework.supervision.restart import Backoff as Backoff
    from covey.framework.supervision.supervisor import Child as Child
    from covey.framework.supervision.supervisor import Supervisor as Supervisor
    from covey.swarm import Swarm as Swarm

__version__ = "0.1.0"

_ERRORS = (
    "AddressInUseError AgentDeadError AskCancelledError AskCycleError AskTimeoutError BlockingCallError "
    "ConfigurationError CoveyError MailboxFullError MessageTypeError NoHostError NotSerializableError "
    "PayloadTooLargeError PermissionDeniedError Reject RemoteError SchemaChangedError ServerNotFoundError "
    "SwarmFailedError TransportError UndecodableError UnhandledMessageError"
)

_HOME = {
    "Agent": "covey.framework.agent",
    "AgentRef": "covey.framework.ref",
    "Backoff": "covey.framework.supervision.restart",
    "Child": "covey.framework.supervision.supervisor",
    "DecisionAgent": "covey.agents.decision_agent",
    "Mailbox": "covey.framework.mailbox",
    "Reply": "covey.framework.reply",
    "Supervisor": "covey.framework.supervision.supervisor",
    "Swarm": "covey.swarm",
    "every": "covey.framework.handlers",
    "field": "covey.framework.messages.message",
    "handles": "covey.framework.handlers",
    "message": "covey.framework.messages.message",
    "subscribes": "covey.framework.handlers",
    **dict.fromkeys(_ERRORS.split(), "covey.framework.errors"),
}

__all__ = [
    "AddressInUseError",
    "Agent",
    "AgentDeadError",
    "AgentRef",
    "AskCancelledError",
    "AskCycleError",
    "AskTimeoutError",
    "Backoff",
    "BlockingCallError",
    "Child",
    "ConfigurationError",
    "CoveyError",
    "DecisionAgent",
    "Mailbox",
    "MailboxFullError",
    "MessageTypeError",
    "NoHostError",
    "NotSerializableError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Reject",
    "RemoteError",
    "Reply",
    "SchemaChangedError",
    "ServerNotFoundError",
    "Supervisor",
    "Swarm",
    "SwarmFailedError",
    "TransportError",
    "UndecodableError",
    "UnhandledMessageError",
    "every",
    "field",
    "handles",
    "message",
    "subscribes",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'covey' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
