"""Topics: what `publish` sends and `@subscribes` methods get.

The transport gets one subscription for each pattern that live agents of this node have, and one for each
group and pattern. So it is the server that finds out who wants a publication, and clients that are no nodes
may publish and subscribe as well.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from covey.framework.address import Address
from covey.framework.backpressure import DONE, send_or_wait
from covey.framework.cell import Cell
from covey.framework.cluster.publication_gate import Publication, PublicationGate
from covey.framework.cluster.refusals import dead_letter_reason
from covey.framework.cluster.topic_message import TopicMessage
from covey.framework.cluster.topics import check_topic, matches
from covey.framework.current import CURRENT
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError, PayloadTooLargeError, SchemaChangedError, UndecodableError
from covey.framework.handlers import Subscription
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Beacon, Schema, Schemas
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.ref import may_trace

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Publishing"]

logger = logging.getLogger("covey.node")

Key = tuple[str, str]
"""Pattern and group; the group is empty where every subscriber gets everything."""
Member = tuple[Cell, tuple[Subscription, ...]]


class Publishing:
    """The subscriptions of this node's agents."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscribers: dict[Key, dict[Cell, tuple[Subscription, ...]]] = {}
        """There are as many keys as classes declare, however many agents there are."""
        self._wired: set[Key] = set()
        """What the transport was asked for; on the loop thread."""
        self._turns: dict[str, int] = {}
        """How many publications each group had; the next goes to the next member."""
        self.gate = PublicationGate(node, self._send)
        self._told_types: set[str] = set()
        self._foreign: dict[tuple[str, str], SchemaChangedError] = {}
        """By node and type: what means something else there than here."""

    # -- agents come and go, in their executors ----------------------------------------------------

    def agent_started(self, cell: Cell) -> None:
        """An agent began to run: remember its subscriptions."""
        keys: dict[Key, list[Subscription]] = {}
        for subscription in cell.routes.subscriptions:
            keys.setdefault((subscription.pattern, subscription.group), []).append(subscription)
        for key, subscriptions in keys.items():
            self._subscribers.setdefault(key, {})[cell] = tuple(subscriptions)
            self._wire_soon(key)

    def forget(self, cell: Cell) -> None:
        """An agent has stopped."""
        for subscription in cell.routes.subscriptions:
            key = (subscription.pattern, subscription.group)
            cells = self._subscribers.get(key, {})
            if cells.pop(cell, None) is not None and not cells:
                self._wire_soon(key)

    def connected(self) -> None:
        """There is a transport now: subscribe to what agents have asked for meanwhile."""
        for key in tuple(self._subscribers):
            self._wire(key)

    def _wire_soon(self, key: Key) -> None:
        if self._node.alone:
            return
        if self._node.dispatcher.here:  # at once: what the agent sends from now on comes after it
            self._wire(key)
        else:
            self._node.dispatcher.call(self._wire, key)

    def _wire(self, key: Key) -> None:
        transport = self._node.transport
        is_wanted = bool(self._subscribers.get(key))
        if transport is None or is_wanted == (key in self._wired):
            return
        try:
            if is_wanted:
                transport.subscribe(*key)
                self._wired.add(key)
            else:
                transport.unsubscribe(*key)
                self._wired.discard(key)
        except CoveyError as error:
            logger.error("node %s cannot subscribe to %s: %s", self._node.name, key[0], error)

    # -- publishing, from any thread ---------------------------------------------------------------

    def publish(self, topic: str, message: Any) -> Awaitable[None]:
        """Deliver here and send to all others who want it.

        In a swarm of one process any object is published; elsewhere only what others may hear.

        Raises:
            NotSerializableError, PayloadTooLargeError: it cannot leave this node.
        """
        check_topic(topic)
        node = self._node
        current = CURRENT.get()
        sender = None if current is None else current.cell.address
        context = b""
        if node.sink is not None and (current is None or may_trace(current)):
            context = node.sink.outgoing("publish", topic, message)
        envelope = Envelope(message, None, sender, context)
        item = None if node.alone else self._packed(topic, envelope)
        for key in self._matching(topic):
            if not key[1]:
                self._deliver(key, envelope)
        if item is None:
            self._deliver_to_groups(topic, envelope)
            return DONE
        gate = self.gate
        # Who waits for room already is not overtaken: order is kept per publisher.
        if not gate.is_waited_for and gate.offer(item):
            return DONE
        return send_or_wait(gate, item, node.ask_timeout_s, gate.wait_for_room)

    def _packed(self, topic: str, envelope: Envelope) -> Publication:
        node, sender = self._node, envelope.sender
        type_name, payload = node.outbound.encode(envelope.message)
        data = WireEnvelope(
            type=type_name,
            payload=payload,
            sender="" if sender is None else str(sender),
            reply_to=node.name,
            trace=envelope.context,
        ).SerializeToString()
        if len(data) > node.max_frame_bytes:
            raise PayloadTooLargeError(type_name, len(data), node.max_frame_bytes)
        return Publication(topic, type_name, data)

    def _send(self, publication: Publication) -> None:
        topic, type_name, data = publication
        transport = self._node.transport
        if transport is None:
            self._node.dead_letter_wire(topic, type_name, "no link", "the node has left its server")
            return
        if type_name not in self._told_types:
            self._told_types.add(type_name)
            descriptor = self._node.outbound.schema_of(type_name)
            if descriptor is not None:
                schema = Schema(type=type_name, descriptor=descriptor)
                self._node.broadcast(Beacon(schemas=Schemas(schemas=[schema])))
        try:
            transport.publish(topic, data)
        except CoveyError as error:
            self._node.dead_letter_wire(topic, type_name, "no link", str(error))

    # -- what others say, on the loop thread -------------------------------------------------------

    def node_joined(self) -> None:
        """Somebody is new: tell the types anew."""
        self._told_types.clear()

    def node_left(self, name: str) -> None:
        """What a node said of its types means nothing any more, and nobody waits until it has read."""
        self.gate.read()
        self._foreign = {key: error for key, error in self._foreign.items() if key[0] != name}

    def heard_schemas(self, source: str, schemas: Schemas) -> None:
        """A node is about to publish messages of these types."""
        if source == self._node.name or not self._node.presence.sees(source):
            return
        for schema in schemas.schemas:
            found = self._node.outbound.schema_differences(schema.type, schema.descriptor)
            self._foreign.pop((source, schema.type), None)
            if found:
                self._foreign[source, schema.type] = SchemaChangedError(schema.type, found)

    def heard(self, pattern: str, group: str, topic: str, data: bytes) -> None:
        """A publication came in; own ones come back too, and were delivered before unless to a group."""
        key = (pattern, group)
        if not self._subscribers.get(key):
            return
        try:
            wire = WireEnvelope.FromString(data)
        except DecodeError as error:
            detail = f"{len(data)} bytes that are no envelope: {error}"
            self._node.dead_letter_wire(topic, "publication", "undecodable", detail)
            return
        if wire.reply_to == self._node.name and not group:
            return
        try:
            changed = self._foreign.get((wire.reply_to, wire.type)) if self._foreign else None
            if changed is not None:
                raise changed
            if wire.kind not in (WireEnvelope.TELL, WireEnvelope.ASK) or wire.more:
                raise UndecodableError("an envelope that is no tell of one payload")
            if self._node.inbound.is_for_runtime(wire.type):
                raise UndecodableError(f"{wire.type} is for nodes of the swarm alone")
            message = codec.decode(wire.type, wire.payload)
            sender = Address.parse(wire.sender) if wire.sender else None
        except CoveyError as error:
            self._node.dead_letter_wire(topic, wire.type, dead_letter_reason(error), str(error))
            return
        context = wire.trace if len(wire.trace) == 25 else b""
        self._deliver(key, Envelope(message, None, sender, context))

    # -- to the subscribers of this node -----------------------------------------------------------

    def _matching(self, topic: str) -> Iterator[Key]:
        return (key for key in tuple(self._subscribers) if matches(key[0], topic))

    def _deliver_to_groups(self, topic: str, envelope: Envelope) -> None:
        """To one member of each group: on a node that is alone, for else the transport chooses."""
        groups: dict[str, list[Member]] = {}
        for key in self._matching(topic):
            if key[1]:
                groups.setdefault(key[1], []).extend(self._members(key))
        for group, members in groups.items():
            self._deliver_to(self._next_of(group, members), envelope)

    def _deliver(self, key: Key, envelope: Envelope) -> None:
        members = self._members(key)
        self._deliver_to(self._next_of(key[1], members) if key[1] else members, envelope)

    def _members(self, key: Key) -> list[Member]:
        return list(self._subscribers.get(key, {}).items())

    def _next_of(self, group: str, members: list[Member]) -> list[Member]:
        turn = self._turns[group] = self._turns.get(group, 0) + 1
        return [members[turn % len(members)]] if members else []

    def _deliver_to(self, members: list[Member], envelope: Envelope) -> None:
        for cell, subscriptions in members:
            for subscription in subscriptions:
                self._offer(cell, subscription, envelope)

    def _offer(self, cell: Cell, subscription: Subscription, envelope: Envelope) -> None:
        item = Envelope(TopicMessage(envelope.message, subscription), None, envelope.sender, envelope.context)
        try:
            if not subscription.accepts(envelope.message):
                self._node.dead_letter(
                    cell.address, envelope, "unhandled", f"{subscription.handler.name} takes another type"
                )
            elif not cell.offer(item):
                # A publisher waits for nobody: one slow subscriber must not hold up a topic.
                cell.refuse(item, cell.full_error())
        except CoveyError as error:
            logger.warning("%s missed a publication: %s", cell.address, error)
