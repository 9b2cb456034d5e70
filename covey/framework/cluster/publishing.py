"""Topics: what `publish` sends and `@subscribes` methods get.

A publication goes to every node, which matches it against the patterns of its live agents.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address
from covey.framework.cell import Cell
from covey.framework.cluster.refusals import dead_letter_reason
from covey.framework.cluster.topics import check_topic, matches
from covey.framework.current import CURRENT
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError, PayloadTooLargeError, SchemaChangedError
from covey.framework.handlers import Subscription
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Beacon, Publication, Schema
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.ref import may_trace

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Publishing", "TopicMessage"]

logger = logging.getLogger("covey.node")


class TopicMessage:
    """A published message in the mailbox of one subscriber."""

    __slots__ = ("message", "subscription")

    def __init__(self, message: Any, subscription: Subscription) -> None:
        self.message = message
        self.subscription = subscription

    def __repr__(self) -> str:
        return f"TopicMessage({self.message!r})"


class Publishing:
    """The subscriptions of this node's agents."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscribers: dict[Cell, tuple[Subscription, ...]] = {}

    def agent_started(self, address: str) -> None:
        """An agent began to run: remember its subscriptions."""
        cell = self._node.directory.find(Address.parse(address), activate=False)
        if cell is not None and cell.routes.subscriptions:
            self._subscribers[cell] = cell.routes.subscriptions

    def forget(self, cell: Cell) -> None:
        """An agent has stopped."""
        self._subscribers.pop(cell, None)

    def publish(self, topic: str, message: Any) -> None:
        """Deliver here and send to all other nodes.

        Raises:
            NotSerializableError, PayloadTooLargeError: the message cannot leave the process.
        """
        check_topic(topic)
        type_name, payload = codec.encode(message)
        if len(payload) > self._node.max_payload_bytes:
            raise PayloadTooLargeError(type_name, len(payload), self._node.max_payload_bytes)
        current = CURRENT.get()
        sender = None if current is None else current.cell.address
        context = b""
        if self._node.sink is not None and (current is None or may_trace(current)):
            context = self._node.sink.outgoing("publish", topic, type_name)
        self._deliver(topic, Envelope(message, None, sender, context))
        wire = WireEnvelope(
            type=type_name, payload=payload, sender="" if sender is None else str(sender), trace=context
        )
        schema = Schema(type=type_name, descriptor=self._node.outbound.schema_of(type_name))
        beacon = Beacon(
            publication=Publication(topic=topic, source=self._node.name, envelope=wire, schema=schema)
        )
        self._node.dispatcher.call(self._node.broadcast, beacon)

    def heard(self, publication: Publication) -> None:
        """Another node's publication came in; this node's own come back and were delivered before."""
        if publication.source == self._node.name or not self._subscribers:
            return
        wire = publication.envelope
        schema = publication.schema
        try:
            found = self._node.outbound.schema_differences(schema.type, schema.descriptor)
            if found:
                raise SchemaChangedError(wire.type, found)
            message = codec.decode(wire.type, wire.payload)
            sender = Address.parse(wire.sender) if wire.sender else None
        except CoveyError as error:
            self._node.dead_letter_wire(publication.topic, wire.type, dead_letter_reason(error), str(error))
            return
        self._deliver(publication.topic, Envelope(message, None, sender, bytes(wire.trace)))

    def _deliver(self, topic: str, envelope: Envelope) -> None:
        for cell, subscriptions in tuple(self._subscribers.items()):
            for subscription in subscriptions:
                if matches(subscription.pattern, topic):
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
