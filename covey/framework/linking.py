"""Links: agents that crash together. The other half of Erlang's `link`; monitors are `AgentRef.watch()`.

A link is between two instances, and is made of two halves: each agent has told the other's node that it
wants to hear of the end of the instance over there.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.errors import LinkedAgentError
from covey.framework.messages.message import message
from covey.framework.reply import Reply
from covey.framework.state import RUNNING, STARTING, STOPPED

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.cluster.inbound_ask import InboundAsk
    from covey.framework.envelope import ReplyPort
    from covey.framework.node import Node

__all__ = ["LinkEnded", "LinkRequest", "Links", "end_links", "link", "serve_link", "unlink"]


@message
class LinkRequest:
    """Asks a node to tell of the end of an agent's instance, and (`both`) to link that agent in return."""

    both: bool


@message
class LinkEnded:
    """The instance at the other end of a link has ended."""

    address: str
    has_failed: bool
    reason: str


class Links:
    """The links of one instance."""

    __slots__ = ("heard", "told")

    def __init__(self) -> None:
        self.heard: dict[Address, Reply[LinkEnded]] = {}
        """What this agent waits to hear, by the other's address."""
        self.told: dict[Any, Address] = {}
        """Who has to be told of the end of this instance."""


_LOCK = threading.RLock()  # two agents link each other from their own threads


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.RLock()  # a thread of the parent may have held it at the fork


os.register_at_fork(after_in_child=_renew_lock)


def _links_of(cell: Cell) -> Links:
    """The links of the cell's instance, made at first use; under the lock."""
    if cell.links is None:
        cell.links = Links()
    return cell.links


def link(cell: Cell, target: Address, node_name: str) -> None:
    """Link an agent, from within it, with another one; linked already is fine."""
    _hear_of(cell, target, node_name, both=True)


def unlink(cell: Cell, target: Address) -> None:
    """End a link from within one of its agents; the other comes to no harm."""
    with _LOCK:
        links = cell.links
        if links is None:
            return
        heard = links.heard.pop(target, None)
        ports = [port for port, other in links.told.items() if other == target]
        for port in ports:
            del links.told[port]
    if heard is not None:
        heard.cancel()
    for port in ports:
        port.resolve(LinkEnded(address=str(cell.address), has_failed=False, reason="unlinked"))


def end_links(cell: Cell, reason: str, *, has_failed: bool) -> None:
    """An instance has ended: those that are linked with it fail with it, unless it just stopped."""
    with _LOCK:
        links, cell.links = cell.links, None
    if links is None:
        return
    for heard in links.heard.values():
        heard.cancel()
    for port in list(links.told):
        port.resolve(LinkEnded(address=str(cell.address), has_failed=has_failed, reason=reason))


def serve_link(node: Node, request: LinkRequest, target: Address, sender: Address, port: InboundAsk) -> None:
    """Another node's agent links itself with one of this node."""
    cell = node.directory.find(target)
    if cell is None:
        port.resolve(_is_dead(target))
        return
    settled = port.on_settled

    def forget() -> None:
        if settled is not None:
            settled()
        _forget(cell, port)

    port.on_settled = forget
    _tell_end_of(cell, port, sender)
    if request.both:
        cell.post(lambda: _hear_of(cell, sender, port.asker, both=False))


def _hear_of(cell: Cell, target: Address, node_name: str, *, both: bool) -> None:
    node, born = cell.node, cell.restarts
    with _LOCK:
        links = _links_of(cell)
        if target in links.heard or target == cell.address:
            return
        reply = links.heard[target] = Reply[LinkEnded](target, message_type="link")
    reply.add_done_callback(lambda: _heard(cell, target, reply, born))
    other = node.directory.find(target, node_name)
    if other is not None and other.state != STOPPED and not other.is_held:
        reply._on_cancel = lambda _reply: _forget(other, reply)
        _tell_end_of(other, reply, cell.address)
        if both:
            other.post(lambda: _hear_of(other, cell.address, "", both=False))
    elif not node.outbound.request_of(
        target, node_name, LinkRequest(both=both), reply, sender=str(cell.address)
    ):
        reply.resolve(_is_dead(target))


def _tell_end_of(cell: Cell, port: ReplyPort | Reply[Any], other: Address) -> None:
    with _LOCK:
        _links_of(cell).told[port] = other
    if cell.state == STOPPED:
        end_links(cell, "stopped", has_failed=False)


def _forget(cell: Cell, port: Any) -> None:
    with _LOCK:
        if cell.links is not None:
            cell.links.told.pop(port, None)


def _heard(cell: Cell, target: Address, reply: Reply[LinkEnded], born: int) -> None:
    """The other end has ended, or its node is lost; from any thread."""
    error = reply.error()
    if error is None:
        ended = reply.get()
        if not ended.has_failed:
            with _LOCK:
                if cell.links is not None:
                    cell.links.heard.pop(target, None)
            return
        reason = ended.reason
    elif cell.links is None or cell.links.heard.get(target) is not reply:
        return  # this end was the first
    else:
        reason = str(error)
    cell.post(_fail, cell, LinkedAgentError(str(cell.address), str(target), reason), born)


def _fail(cell: Cell, error: LinkedAgentError, born: int) -> None:
    if cell.restarts == born and cell.state in (RUNNING, STARTING):
        cell.node.failing.fail(cell, error, None, None)


def _is_dead(target: Address) -> LinkEnded:
    return LinkEnded(address=str(target), has_failed=True, reason="it is not alive")
