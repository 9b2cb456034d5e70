"""Why an envelope that came in is not delivered: the error for its asker, the reason for the dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.errors import (
    AgentDeadError,
    AskCycleError,
    ConfigurationError,
    CoveyError,
    NoHostError,
    SchemaChangedError,
    UndecodableError,
)

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.node import Node

__all__ = ["CrowdedError", "absent", "dead_letter_reason"]


class CrowdedError(CoveyError):
    """A node has as much in hand as it keeps."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{detail}: ask more slowly")


_REASONS: tuple[tuple[type[CoveyError], str], ...] = (
    (AskCycleError, ""),  # its asker learns of it, as it does within a node
    (SchemaChangedError, "schema changed"),
    (NoHostError, "no host"),
    (UndecodableError, "undecodable"),
    (CrowdedError, "mailbox full"),
    (ConfigurationError, "undecodable"),  # an address that is none
)


def absent(node: Node, address: Address) -> CoveyError:
    """No agent lives at that address of this node, and none may be activated there."""
    placement = node.presence.placement
    if address.kind in placement.hosted or node.trees.knows(address):
        return AgentDeadError(str(address), f"it is not on node {node.name}")
    return NoHostError(address.kind, placement.names, placement.hosted)


def dead_letter_reason(error: CoveyError) -> str:
    """One of the reasons of `DeadLetter`; empty when there is to be none."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "stopped")
