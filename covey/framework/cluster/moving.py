"""A placed agent that moves: what came behind its stop goes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pykka.messages import _ActorStop

from covey.framework.envelope import opened
from covey.framework.errors import CoveyError, TransportError
from covey.framework.reply import Reply

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["REPLACED", "send_elsewhere", "send_on"]

REPLACED = "another agent was spawned at its address"
"""Why a passive agent ends whose address somebody has spawned at: its mail is the other's."""


def send_on(cell: Cell, item: Any) -> bool:
    """Send the mail of a stopped agent to the node where the agent belongs now; False when it is of none."""
    node, address = cell.node, cell.address
    # Of one that has just stopped nothing goes to the next at its address, which may have newer mail already.
    is_replaced = cell.placed and cell.end_reason == REPLACED
    successor = node.directory.find(address, activate=False) if is_replaced else None
    if successor is not None and successor is not cell and successor.offer(item):
        return True  # another agent was spawned where this one, passive, was
    return cell.placed and send_elsewhere(cell, item)


def send_elsewhere(cell: Cell, item: Any) -> bool:
    """Send mail to the node where the agent lives now; False when that is none, or this one."""
    node, address = cell.node, cell.address
    if node.stopping or node.presence.locate(address, "") in (None, node.name):
        return False
    envelope = opened(item)
    reply = envelope.reply
    if type(envelope.message) is _ActorStop:
        return False
    try:
        if isinstance(reply, Reply):
            node.outbound.ask(address, "", envelope, reply)
        elif reply is None:
            node.outbound.tell(address, "", envelope)
        else:
            return False  # of another node's agent, which is told and may ask again
    except TransportError:
        return True  # no room towards that node: it is a dead letter already
    except CoveyError:
        return False  # it cannot leave this process
    return True
