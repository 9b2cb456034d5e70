"""Topics: what `publish` sends and `@subscribes` methods get.

A publication goes to every node, which matches it against the patterns of its live agents.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.cell import Cell
from covey.framework.cluster.refusals import dead_letter_reason
from covey.framework.cluster.topic_message import TopicMessage
from covey.framework.cluster.topics import check_topic, matches
from covey.framework.current import CURRENT
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError, SchemaChangedError
from covey.framework.handlers import Subscription
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Beacon, Publication, Schema
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.ref import may_trace

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Publishing"]

logger = logging.getLogger("covey.node")


class Publishing:
    """The subscriptions of this node's agents."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscribers: dict[str, dict[Cell, tuple[Subscription, ...]]] = {}
        """By pattern: there are as many as classes declare, however many agents there are."""
        self._told_types: set[str] = set()
        self._foreign: dict[tuple[str, str], SchemaChangedError] = {}
        """By node and type: what means something else there than here."""

    def agent_started(self, cell: Cell) -> None:
        """An agent began to run: remember its subscriptions."""
        patterns: dict[str, list[Subscription]] = {}
        for subscription in cell.routes.subscriptions:
            patterns.setdefault(subscription.pattern, []).append(subscription)
        for pattern, subscriptions in patterns.items():
            self._subscribers.setdefault(pattern, {})[cell] = tuple(subscriptions)

    def forget(self, cell: Cell) -> None:
        """An agent has stopped."""
        for subscription in cell.routes.subscriptions:
            self._subscribers.get(subscription.pattern, {}).pop(cell, None)

    def node_joined(self) -> None:
        """Somebody is new: tell the types anew."""
        self._told_types.clear()

    def node_left(self, name: str) -> None:
        """What a node said of its types means nothing any more."""
        self._foreign = {key: error for key, error in self._foreign.items() if key[0] != name}

    def publish(self, topic: str, message: Any) -> None:
        """Deliver here and send to all other nodes.

        Any object reaches the subscribers of this node; only a message reaches those of others.

        Raises:
            NotSerializableError, PayloadTooLargeError: there are other nodes, and it cannot leave this one.
        """
        check_topic(topic)
        wire = None if self._node.presence.alone else self._encode(message)
        current = CURRENT.get()
        sender = None if current is None else current.cell.address
        context = b""
        if self._node.sink is not None and (current is None or may_trace(current)):
            context = self._node.sink.outgoing("publish", topic, message)
        self._deliver(topic, Envelope(message, None, sender, context))
        if wire is not None:
            wire.sender = "" if sender is None else str(sender)
            wire.trace = context
            publication = Publication(topic=topic, source=self._node.name, envelope=wire)
            self._node.dispatcher.call(self._send, publication)

    def _encode(self, message: Any) -> WireEnvelope:
        type_name, payload = self._node.outbound.encode(message)
        return WireEnvelope(type=type_name, payload=payload)

    def _send(self, publication: Publication) -> None:
        type_name = publication.envelope.type
        if type_name not in self._told_types:
            self._told_types.add(type_name)
            descriptor = self._node.outbound.schema_of(type_name)
            if descriptor is not None:
                publication.schema.type, publication.schema.descriptor = type_name, descriptor
        self._node.broadcast(Beacon(publication=publication))

    def heard(self, publication: Publication) -> None:
        """Another node's publication came in; this node's own come back and were delivered before."""
        source = publication.source
        if source == self._node.name:
            return
        if publication.HasField("schema"):
            self._compare(source, publication.schema)
        wire = publication.envelope
        topic = publication.topic
        if not any(cells and matches(pattern, topic) for pattern, cells in tuple(self._subscribers.items())):
            return
        try:
            changed = self._foreign.get((source, wire.type))
            if changed is not None:
                raise changed
            message = codec.decode(wire.type, wire.payload)
            sender = Address.parse(wire.sender) if wire.sender else None
        except CoveyError as error:
            self._node.dead_letter_wire(topic, wire.type, dead_letter_reason(error), str(error))
            return
        self._deliver(topic, Envelope(message, None, sender, bytes(wire.trace)))

    def _compare(self, source: str, schema: Schema) -> None:
        found = self._node.outbound.schema_differences(schema.type, schema.descriptor)
        self._foreign.pop((source, schema.type), None)
        if found:
            self._foreign[source, schema.type] = SchemaChangedError(schema.type, found)

    def _deliver(self, topic: str, envelope: Envelope) -> None:
        for pattern, subscribers in tuple(self._subscribers.items()):
            if matches(pattern, topic):
                for cell, subscriptions in tuple(subscribers.items()):
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
