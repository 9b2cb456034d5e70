"""A placed agent that moves: what came behind its stop goes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pykka.messages import _ActorStop

from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError, TransportError
from covey.framework.reply import Reply

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["send_on"]


def send_on(cell: Cell, item: Any) -> bool:
    """Send the mail of a stopped agent to the node where the agent belongs now; False when it is of none."""
    node, address = cell.node, cell.address
    if not cell.placed or node.stopping or node.presence.locate(address, "") in (None, node.name):
        return False
    envelope = item if type(item) is Envelope else None
    reply = None if envelope is None else envelope.reply
    if envelope is not None and type(envelope.message) is _ActorStop:
        return False
    try:
        if envelope is not None and isinstance(reply, Reply):
            node.outbound.ask(address, "", envelope, reply)
        elif reply is None:
            node.outbound.tell(address, "", item)
        else:
            return False  # of another node's agent, which is told and may ask again
    except TransportError:
        return True  # no room towards that node: it is a dead letter already
    except CoveyError:
        return False  # it cannot leave this process
    return True
