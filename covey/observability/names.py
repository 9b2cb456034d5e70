"""Every span, attribute and resource name that Covey uses: the one place to look them up.

The `messaging.*`, `error.*` and `service.*` names are those of the OpenTelemetry semantic conventions
1.44; what has no convention is `covey.*`.
"""

from __future__ import annotations

from typing import Final

TRACER: Final = "covey"
"""Instrumentation scope of all spans."""

# Span names. The first four are followed by the agent's kind, never by its key.
SPAN_SEND: Final = "send"
SPAN_PROCESS: Final = "process"
SPAN_DEAD_LETTER: Final = "dead letter"
SPAN_RESTART: Final = "restart"
SPAN_AGENT_FAILED: Final = "agent failed"
SPAN_ESCALATE: Final = "escalate"

# Resource attributes.
SERVICE_NAME: Final = "service.name"
SERVICE_NAMESPACE: Final = "service.namespace"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SWARM: Final = "covey.swarm"
NODE: Final = "covey.node"

# Messaging conventions.
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_DESTINATION_TEMPLATE: Final = "messaging.destination.template"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"

SYSTEM_LOCAL: Final = "covey"
"""`messaging.system` of a message that never left its process."""

# Jaeger's UI still reads the deprecated `peer.service`, so both are set.
SERVICE_PEER_NAME: Final = "service.peer.name"
PEER_SERVICE: Final = "peer.service"

ERROR_TYPE: Final = "error.type"

# Covey's own.
AGENT_KIND: Final = "covey.agent.kind"
AGENT_RESTARTS: Final = "covey.agent.restarts"
MESSAGE_TYPE: Final = "covey.message.type"
MESSAGE_SENDER: Final = "covey.message.sender"
MESSAGE_OPERATION: Final = "covey.message.operation"
"""`tell` or `ask`."""
MESSAGE_WAIT_S: Final = "covey.message.wait_s"
"""Seconds that the message spent in the mailbox."""
MESSAGE_REMOTE: Final = "covey.message.remote"
SUPERVISOR: Final = "covey.supervisor"
"""Its path, from the root down."""
VERDICT: Final = "covey.supervisor.verdict"
CAUSE: Final = "covey.supervisor.cause"
"""Why an agent was restarted that had not failed itself."""
DEAD_LETTER_REASON: Final = "covey.dead_letter.reason"
OUTCOME: Final = "covey.outcome"
"""Set where a handler ended without an answer and without an error."""

OUTCOME_CANCELLED: Final = "cancelled"
OUTCOME_REJECTED: Final = "rejected"
