"""One other node as this one sees it: what waits to be sent to it, and what became of that which was.

A frame is kept until the other end says that it came. One that reached nobody is sent again as if it had
never been sent; one that was lost is told of, and what it carried is not handled over there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from covey.framework.cluster.chunks import ChunkedEnvelope
from covey.framework.cluster.framing import WINDOW_BYTES, Framing, Packed
from covey.framework.cluster.lane import Lane
from covey.framework.cluster.outbox import OUTBOUND_BYTES, Item
from covey.framework.cluster.packing import Urgent
from covey.framework.cluster.sent_frames import SentFrame
from covey.framework.errors import CoveyError, SchemaChangedError, TransportError
from covey.framework.proto.envelope_pb2 import Frame

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cluster.incoming import Incoming
    from covey.framework.cluster.peer_owner import PeerOwner

__all__ = ["OUTBOUND_BYTES", "WINDOW_BYTES", "Gate", "Packed", "Peer"]


class Peer(Framing):
    """Queues and counters towards one node: offers from any thread, the rest on the loop's.

    Args:
        incoming: what came from the node in an earlier link, which was given up.
    """

    def __init__(self, name: str, owner: PeerOwner, incoming: Incoming | None = None) -> None:
        super().__init__(owner, incoming and incoming.go_on())
        self.name = name
        self.read_bytes = owner.published_bytes
        """Of what this node has published, what had reached the peer."""
        self._why_closed = ""
        self._has_heard = False
        """Whether anything has come in this link."""
        self._stalled_at = (-1, -1)

    # -- from any thread ---------------------------------------------------------------------------

    def gate(self, address: Address) -> Gate:
        """Where an envelope for the address has to pass: this, or a lane of its own while it is paused."""
        lanes = self.lanes
        return lanes.get(address, self) if lanes else self

    def enlist(self, item: Item) -> None:
        """Queue an envelope in its place, however much waits."""
        self.offer(item, forced=True)

    def wait_for_room(self, waiter: Callable[[], None]) -> None:
        """Call the waiter on the loop thread when there may be room, after those who wait already."""
        self.waiters.append(waiter)
        if self.closed:
            self.admit()
        elif self.has_room:
            self.wake()  # room came between the sender's look and now

    def refuse(self, item: Item, error: CoveyError) -> None:
        self._owner.refuse(item, "mailbox full", error)

    def full_error(self) -> CoveyError:
        return TransportError(
            f"{OUTBOUND_BYTES} bytes wait to be sent to node {self.name}, which takes them too slowly: "
            "await the tell, or slow the sender down"
        )

    def send_urgent(self, data: bytes, type_name: str = "") -> None:
        """Queue an answer or a cancellation, outside the credits; each answers something bounded."""
        self._urgent.append(Urgent(data, type_name))
        self.wake()

    def crowded(self) -> None:
        self._owner.crowded(self)

    def wake(self) -> None:
        if not self.armed:
            self._owner.schedule_flush(self)

    def too_late(self, item: Item) -> None:
        self._owner.too_late(item, self.name, self._why_closed)

    # -- what did not arrive -----------------------------------------------------------------------

    def tick(self) -> Packed | None:
        """Called several times a second: gives up frames that are missing, and asks after own ones.

        Returns a frame that asks for an answer where nothing has moved since the last call: the frame that
        told of credits, or of what is lost, may be lost itself.
        """
        frames, messages = self.incoming.tick()
        if frames:
            self._owner.lost(self, frames, messages)
            self.wake()
        blocked = bool(self.items) and self.in_flight_bytes >= self._owner.window_bytes
        now_at = (self._sent.oldest, self._credited_bytes) if self._sent or blocked else (-1, -1)
        stalled = now_at == self._stalled_at != (-1, -1)
        self._stalled_at = now_at
        return self.ping() if stalled and not self.silent and not self.closed else None

    def returned(self, number: int) -> bool:
        """Nobody listened for that frame; False for one that is not known here any more."""
        if not self._sent.returned(number):
            return False
        self.silent = True
        return True

    def reachable(self) -> None:
        """Somebody listens again: what reached nobody is sent again, in its order."""
        if not self.silent:
            return
        self.silent = False
        self._withdraw()
        self.wake()

    def _withdraw(self) -> None:
        again, too_late = self._sent.withdraw()
        if again:
            first = again[0]
            self._sequence = first.sequence - 1
            self._sent_bytes, self._sent_messages = first.bytes_before, first.messages_before
            self.incoming.untold(first.sequence, again[-1].sequence)
            urgent, items = self._contents(again)
            self._urgent.extendleft(reversed(urgent))
            self.put_back(items)
        self._lose(too_late)

    def _lose(self, frames: list[SentFrame]) -> None:
        """These never came, but later ones did: messages would be out of order now, answers have none."""
        if not frames:
            return
        urgent, items = self._contents(frames)
        self._urgent.extend(urgent)
        error = TransportError(
            f"it was lost on the way to node {self.name} when the link broke, and not handled: send it again"
        )
        for item in items:
            self._owner.refuse(item, "lost", error)
        self.wake()

    def _contents(self, frames: list[SentFrame]) -> tuple[list[Urgent], list[Item]]:
        """What frames carried that are not there any more; what they told is told again."""
        self._told_types.clear()
        urgent: list[Urgent] = []
        items: list[Item] = []
        for frame in frames:
            for address, _was_paused in frame.content.news:  # told by how it is now: newer news may have come
                self.incoming.news[address] = self._owner.is_parked(address)
            urgent.extend(frame.content.urgent)
            items.extend(frame.content.items)
            chunked = frame.content.chunked
            if chunked is not None and not chunked.recalled:
                what = self._recall(chunked)
                (urgent if isinstance(what, Urgent) else items).append(what)  # type: ignore[arg-type]
        return urgent, items

    def _recall(self, chunked: ChunkedEnvelope) -> Item | Urgent:
        """Without one of its parts a large envelope cannot arrive: it is sent or refused as a whole, once."""
        chunked.recalled = True
        if chunked is self._chunked:
            self._chunked = None
        return chunked.what

    # -- receiving ---------------------------------------------------------------------------------

    @property
    def foreign(self) -> dict[str, SchemaChangedError]:
        """Message types that mean something else on this peer than here."""
        return self.incoming.foreign

    @property
    def gaps(self) -> int:
        """Frames of this peer that were lost on the way."""
        return self.incoming.gaps

    def received(self, frame: Frame) -> bool:
        """Account for a frame that came in; False for one that came before, or is of an earlier life."""
        is_met = self.incoming.is_new_epoch(frame)
        if not self.incoming.take(frame, self.epoch):
            return False
        if is_met and self._has_heard:
            self._forgotten()
        self._has_heard = True
        if is_met:
            self._told_types.clear()  # it may be a new process, which was never told
            self.resume_all()
            self.wake()
        if frame.target_epoch == self.epoch:
            self._learn(frame)
        if frame.probe:
            self.wake()
        return True

    def _forgotten(self) -> None:
        """The other end began anew: what it had not confirmed may have arrived; it wants no answers."""
        half_sent = None if self._chunked is None else self._recall(self._chunked)
        messages = self.in_doubt
        self._sent.clear()
        if half_sent is not None and not isinstance(half_sent, Urgent):
            self.put_back([half_sent])
        if messages:
            self._owner.in_doubt(self, messages)

    def _learn(self, frame: Frame) -> None:
        """What the other end says of what this one has sent."""
        for lost in frame.lost:
            self._lose(self._sent.lost(lost.first, lost.last))
        self._sent.came(min(frame.seen_sequence, self._sequence))
        self.incoming.came(min(frame.newest_sequence, self._sequence))
        if self.incoming.is_due:
            self.wake()  # there is more to tell than fits into one frame
        if frame.credited_bytes > self._credited_bytes:
            self._credited_bytes = min(frame.credited_bytes, self._sent_bytes)
            if self.items or self._chunked:
                self.wake()
        read_bytes = min(frame.read_bytes, self._owner.published_bytes)
        if read_bytes > self.read_bytes:
            self.read_bytes = read_bytes
            self._owner.has_read(self)
        # A pause that comes late may be over; it is told again with the next message that is parked.
        if frame.paused and not self.incoming.is_late:
            addresses = map(self._owner.parse_address, frame.paused)
            self.pause(*(address for address in addresses if address is not None))
        for text in frame.resumed:
            address = self._owner.parse_address(text)
            if address is not None and self.resume(address):
                self.wake()

    def compare(self, type_name: str, descriptor: bytes) -> None:
        """The peer tells how it knows a type: remember where it would be read wrongly here."""
        found = self._owner.schema_differences(type_name, descriptor)
        if found:
            self.foreign[type_name] = SchemaChangedError(type_name, found)
        else:
            self.foreign.pop(type_name, None)

    def took(self, size_bytes: int) -> None:
        """Envelopes of this peer entered mailboxes, or became dead letters."""
        self.incoming.took(size_bytes)
        if self.incoming.is_due and not self.closed:
            self.wake()

    def tell_of(self, address: str, *, is_paused: bool) -> None:
        """Let the peer send nothing more to an agent of this node, or go on."""
        self.incoming.news.pop(address, None)
        self.incoming.news[address] = is_paused
        self.wake()

    def abandon(self, why: str) -> list[Item]:
        """The node is gone, for good: what it cannot have got, for others to decide on."""
        self._why_closed = why
        self._withdraw()
        half_sent = None if self._chunked is None else self._recall(self._chunked)
        left = self.close()
        if half_sent is not None and not isinstance(half_sent, Urgent):
            left.insert(0, half_sent)
        self._urgent.clear()
        self.admit()
        return left


Gate = Peer | Lane
