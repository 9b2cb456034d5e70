"""What leaves this node: messages, requests to other nodes, and what becomes of that which was not sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.cluster.forwarded_reply import ForwardedReply
from covey.framework.cluster.outbox import Item
from covey.framework.cluster.packing import Header, Outgoing, PassedOn, Run, StopOrder, pack_answer
from covey.framework.cluster.peer import Peer
from covey.framework.cluster.pending import gone
from covey.framework.cluster.sending import Sending
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError, MailboxFullError, TransportError, UndecodableError
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply
from covey.framework.watching import relay

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.cluster.forwarded_reply import PassingPort
    from covey.framework.envelope import ReplyPort

__all__ = ["ENVELOPE_OVERHEAD_BYTES", "STOP_TYPE", "WATCH_TYPE", "Outbound"]

logger = logging.getLogger("covey.node")

STOP_TYPE = "covey.v1.Stop"
"""Type name of the system message that stops an agent on another node; it has no payload."""

WATCH_TYPE = "covey.v1.Watch"
"""Type name of the system message that asks to be told of an agent's end; it has no payload."""

ENVELOPE_OVERHEAD_BYTES = 32 * 1024
"""Room in a frame for everything but the payload: a chain of 64 addresses of up to 321 bytes, and more."""

NODE_KIND = "node"
"""Stands for the kind where a request is for a node and not for an agent."""


class Outbound(Sending):
    """The whole of it: `Peers` are the queues, `Sending` adds tells and asks, this what else there is."""

    # -- requests, from any thread -----------------------------------------------------------------

    def stop(self, address: Address, node_name: str, reply: Reply[Any]) -> bool:
        """Stop an agent of another node after what was sent to it before; False when it is of no other."""
        route = self.route(address, node_name)
        if route is None:
            return False
        message_id = self._pending.new_id()
        peer = route.peer
        data = pack_answer(WireEnvelope.ASK, message_id, type=STOP_TYPE, target=str(address))
        order = StopOrder(data, Header(address, node_name, STOP_TYPE), Envelope(None, reply))
        self._await_answer(reply, message_id, peer.name)
        gate = peer.gate(address)
        if gate.is_waited_for:
            gate.wait_for_room(lambda: peer.enlist(order))
        else:
            peer.enlist(order)
        return True

    def request_of(
        self,
        address: Address,
        node_name: str,
        request: Any,
        reply: Reply[Any],
        *,
        sender: str = "",
        remaining_ms: int = 0,
    ) -> bool:
        """Ask the runtime of the node where an agent lives about it; False when that is no other node.

        Such requests are urgent: no credit and no mailbox holds them up. With `remaining_ms` the runtime over
        there has a deadline, too.
        """
        route = self._find_route(address, node_name)
        if route is None:
            return False
        self._request(route.peer, request, reply, str(address), sender, remaining_ms)
        return True

    def request(self, node_name: str, request: Any, timeout_s: float | None = None) -> Reply[Any]:
        """Ask the runtime of another node."""
        node = self._node
        timeout_s = node.ask_timeout_s if timeout_s is None else timeout_s
        target = f"{NODE_KIND}/{node_name}"
        reply: Reply[Any] = Reply(target, node.now() + timeout_s, timeout_s, (), type(request), node.now)
        if self._closed or node.presence.locate(Address(NODE_KIND, node_name), node_name) != node_name:
            reply.fail(AgentDeadError(target, f"node {node_name} is gone"))
            return reply
        self._request(self.peer(node_name), request, reply, target, "")
        node.expect(reply, node.now() + timeout_s)
        return reply

    def _request(
        self,
        peer: Peer,
        request: Any,
        reply: Reply[Any],
        target: str,
        sender: str,
        remaining_ms: int = 0,
    ) -> None:
        type_name, payload = self.encode(request)
        message_id = self._pending.new_id()
        self._await_answer(reply, message_id, peer.name)
        data = pack_answer(
            WireEnvelope.ASK,
            message_id,
            type=type_name,
            target=target,
            sender=sender,
            payload=payload,
            remaining_ms=remaining_ms,
        )
        peer.send_urgent(data, type_name)
        if peer.closed:  # its node left just now, before this was pending
            reply.fail(gone(target, peer.name, "it left just now"))

    def pass_on(self, address: Address, wire: WireEnvelope, port: PassingPort | None) -> None:
        """Send a client's envelope to the node of the agent; with a port, it answers.

        Raises:
            AgentDeadError, NoHostError: there is no such agent.
        """
        node = self._node
        route = self.route(address, "")
        if route is None:
            raise self.nowhere(address, "")
        passed = WireEnvelope(type=wire.type, target=str(address), payload=wire.payload)
        if len(wire.trace) == 25:
            passed.trace = wire.trace
        reply: ForwardedReply | None = None
        if port is not None:
            deadline = port.deadline or node.now()
            left_s = max(0.0, deadline - node.now())
            reply = ForwardedReply(address, deadline, port.timeout_s, (), wire.type, node.now)
            reply.pass_to(port)
            passed.kind, passed.message_id = WireEnvelope.ASK, self._pending.new_id()
            passed.reply_to, passed.remaining_ms = node.name, max(1, round(left_s * 1e3))
            self._await_answer(reply, passed.message_id, route.peer.name)
            node.expect(reply, deadline)
        item = PassedOn(passed.SerializeToString(), Header(address, "", wire.type), Envelope(None, reply))
        item.count = 1
        gate = route.peer.gate(address)
        if gate.is_waited_for or not gate.offer(item):
            gate.refuse(item, gate.full_error())

    def watch(self, address: Address, node_name: str, reply: ReplyPort) -> bool:
        """Learn of the end of an agent of another node; False when it is of no other."""
        route = self.route(address, node_name)
        if route is None:
            return False
        message_id = self._pending.new_id()
        peer = route.peer
        data = pack_answer(WireEnvelope.ASK, message_id, type=WATCH_TYPE, target=str(address))
        asked: Reply[Any] = Reply(address, message_type="watch")
        relay(asked, address, reply)
        self._await_answer(asked, message_id, peer.name)
        peer.send_urgent(data, WATCH_TYPE)
        if peer.closed:  # its node left just now, before this was pending
            asked.fail(gone(str(address), peer.name, "it left just now"))
        return True

    # -- losses, on the loop thread ----------------------------------------------------------------

    def node_left(self, name: str, why: str) -> None:
        """Fail what waits for a node that is gone; send on what it cannot have got."""
        self.placement_changed()
        peer = self.give_up(name)
        if peer is not None:
            left = peer.abandon(why)
            if peer.in_doubt:
                self.in_doubt(peer, peer.in_doubt)
            spared = {id(item.reply) for item in left if _may_ask_again(item)}
            self._pending.node_left(name, why, spared)
            for item in left:
                self.send_elsewhere(item, name, why)

    def close(self, reason: str, why: str) -> None:
        """This node leaves: what was not sent yet, and what comes from now on, becomes dead letters."""
        self._closed = why
        self._routes = {}
        self._pending.close(why)
        left = [item for peer in self.peers for item in peer.abandon(why)]
        for item in left:
            self.refuse(item, reason, TransportError(why))
        if left:
            messages = sum(item.count for item in left)
            logger.warning("%d messages were not sent and are dead letters: %s", messages, why)

    def send_elsewhere(self, item: Item, name: str, why: str) -> None:
        """An envelope cannot reach the node that it was for: its agent may live elsewhere now."""
        header = item.header
        asked = _may_ask_again(item)
        movable = asked or (not header.node_name and _is_whole(item))
        cell = self._node.directory.find(header.address) if movable else None
        route = self._find_route(header.address, "") if movable else None
        if cell is not None:
            self._put(cell, item)
        elif route is None or route.peer.name == name:
            self.refuse(item, "node left", gone(str(header.address), name, why))
        elif asked and isinstance(item, Outgoing):
            self.ask(header.address, "", item.item, item.reply)
        else:
            gate = route.peer.gate(header.address)
            if not gate.offer(item):
                gate.refuse(item, gate.full_error())

    def _put(self, cell: Cell, item: Item) -> None:
        try:
            for mail in item.mail():
                if not cell.offer(mail):
                    cell.refuse(mail, cell.full_error())
        except MailboxFullError:
            pass  # the mailbox's policy is to fail: it has told the asker, and kept a dead letter
        except UndecodableError as error:
            item.refuse(self._node, "undecodable", error)


def _is_whole(item: Item) -> bool:
    """Whether it can go to another node as it is: nobody waits here for its answer."""
    if type(item) is PassedOn:
        return not isinstance(item.reply, ForwardedReply)
    return item.reply is None and type(item) in (Run, Outgoing)


def _may_ask_again(item: Item) -> bool:
    """Whether it is an ask of this node for an agent that may live elsewhere now; it reached nobody."""
    return type(item) is Outgoing and isinstance(item.reply, Reply) and not item.header.node_name
