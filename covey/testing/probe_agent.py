"""The agent behind a `Probe`: takes every message and leaves asks open until the test answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from covey.framework.agent import Agent
from covey.framework.current import CURRENT
from covey.framework.envelope import Envelope
from covey.framework.handlers import handles, subscribes
from covey.testing.received import Received

if TYPE_CHECKING:
    from covey.framework.ref import AgentRef
    from covey.testing.probe import Probe

__all__ = ["ProbeAgent", "Watch", "agent_class"]


@dataclass(slots=True)
class Watch:
    """Watch an agent, as any agent would: from within a handler."""

    ref: AgentRef


class ProbeAgent(Agent):
    """Hands all that it gets to its probe."""

    kind = "probe"
    trace = "off"

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self._probe = probe

    @handles
    def watch(self, order: Watch) -> None:
        order.ref.watch()

    def on_receive(self, message: Any) -> None:
        envelope = cast("Envelope", CURRENT.get().envelope)  # type: ignore[union-attr]
        # Taken out of the envelope, so that returning from here does not answer.
        port, envelope.reply = envelope.reply, None
        self._probe._came(Received(message, self.sender, self._own.node.now(), port))

    def on_stop(self) -> None:
        self._probe._stopped()


def agent_class(kind: str, topics: Sequence[str]) -> type[ProbeAgent]:
    """A probe's agent class of that kind, which subscribes to the topics."""
    members: dict[str, Any] = {"kind": kind, "__module__": __name__, "__doc__": ProbeAgent.__doc__}
    for number, topic in enumerate(topics):
        members[f"heard_{number}"] = subscribes(topic)(_subscriber())
    return type("ProbeAgent", (ProbeAgent,), members)


def _subscriber() -> Any:
    def heard(self: ProbeAgent, message: object) -> None:
        self.on_receive(message)

    return heard
