"""The ends of a link between nodes, without nodes: a peer, its owner, and a receiver that keeps a tally."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Container
from typing import Any

from covey.framework.address import Address
from covey.framework.cluster.outbox import Item
from covey.framework.cluster.packing import Header, Outgoing, Run, pack_payload
from covey.framework.cluster.peer import Packed, Peer
from covey.framework.envelope import Envelope
from covey.framework.errors import CoveyError, UndecodableError
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.proto.envelope_pb2 import Frame
from covey.framework.reply import Reply

__all__ = [
    "End",
    "Owner",
    "deliver",
    "flushed",
    "numbers_in",
    "numbers_of",
    "outgoing",
    "parsed",
    "payload_of",
    "peers",
    "tick",
]

LARGEST_ENVELOPE = LIMIT_BYTES = 1 << 20


def payload_of(number: int, size: int = 8) -> bytes:
    """Something that tells its number."""
    return f"{number:08d}".encode().ljust(size, b".")


def outgoing(header: Header, number: int, size: int = 8, reply: Reply[Any] | None = None) -> Outgoing:
    """An envelope that travels alone."""
    return Outgoing(header.data + pack_payload(payload_of(number, size)), header, Envelope(None, reply))


def numbers_in(envelope: bytes) -> list[int]:
    """Of an envelope on the wire."""
    wire = WireEnvelope.FromString(envelope)
    return [int(payload[:8]) for payload in (wire.payload, *wire.more)]


def numbers_of(item: Item) -> list[int]:
    """Of an envelope that did not leave."""
    return numbers_in(item.pack())


class Owner:
    """Keeps what a peer tells its node."""

    def __init__(self, window_bytes: int = 4 << 20) -> None:
        self.window_bytes = window_bytes
        self.refused: list[tuple[int, str]] = []
        self.late: list[int] = []
        self.lost_frames = self.lost_messages = self.in_doubt_messages = 0
        self.max_frame_bytes = 1 << 20
        self.published_bytes = 0
        self.parked: Container[str] = ()
        """Addresses."""
        self.descriptor = b"descriptor of "

    def schedule_flush(self, peer: Peer) -> None:
        peer.armed = True

    def crowded(self, peer: Peer) -> None:
        peer.armed = True

    def has_read(self, peer: Peer) -> None:
        """Nothing is published here."""

    def parse_address(self, text: str) -> Address | None:
        try:
            return Address.parse(text)
        except CoveyError:
            return None

    def is_parked(self, address: str) -> bool:
        return address in self.parked

    def lost(self, peer: Peer, frames: int, messages: int) -> None:
        self.lost_frames += frames
        self.lost_messages += messages

    def in_doubt(self, peer: Peer, messages: int) -> None:
        self.in_doubt_messages += messages

    def schema_of(self, type_name: str) -> bytes | None:
        return self.descriptor + type_name.encode()

    def schema_differences(self, type_name: str, descriptor: bytes) -> tuple[str, ...]:
        return ("it differs",) if descriptor == b"other" else ()

    def refuse(self, item: Item, reason: str, error: CoveyError) -> None:
        assert str(error)
        self.refused.extend((number, reason) for number in numbers_of(item))

    def too_late(self, item: Item, name: str, why: str) -> None:
        self.late.extend(numbers_of(item))


class EndingPeer(Peer):
    """Fails where a flush would never end."""

    made = 0

    def frames(self, limit_bytes: int) -> list[Packed]:
        self.made = 0
        return super().frames(limit_bytes)

    def _next(self, largest_bytes: int, window: int) -> Packed:
        self.made += 1
        assert self.made < 1_000, "this flush makes frames for ever"
        return super()._next(largest_bytes, window)


class End:
    """One node: its peer, and agents with mailboxes that can be shut.

    What comes for an agent that is shut is parked, as `Parking` does it; what is taken gives its credits back
    at once, or when `take` is called.
    """

    def __init__(self, name: str, window_bytes: int) -> None:
        self.name = name
        self.owner = Owner(window_bytes)
        self.got: dict[str, list[int]] = defaultdict(list)
        """By address, in the order of the mailbox; answers have none."""
        self.shut: set[str] = set()
        self.parked: dict[str, deque[int]] = {}
        self.owner.parked = self.parked
        self.untaken: deque[int] = deque()
        """Sizes of what has come and gave no credits back yet."""
        self.begin_anew()
        self.withholding = False
        self.replayed = 0
        self.broken: list[int] = []
        """Large envelopes of which a part did not come in its place."""

    def begin_anew(self, former: Peer | None = None) -> None:
        """A new link to the other end: what is still in mailboxes stays there."""
        self.peer = EndingPeer("the other", self.owner, former and former.incoming)
        self.peer.run_bytes = 350
        self.untaken.clear()

    def flush(self, limit_bytes: int) -> list[tuple[bytes, int]]:
        """What the node would send at the end of a turn."""
        if not self.peer.armed:
            return []
        frames = self.peer.frames(limit_bytes)
        self.peer.admit()
        return frames

    def receive(self, data: bytes) -> None:
        """As `Inbound.on_frame`."""
        frame = Frame.FromString(data)
        peer = self.peer
        peer.reachable()
        if not peer.received(frame):
            self.replayed += 1
            return
        for schema in frame.schemas:
            peer.compare(schema.type, schema.descriptor)
        messages = sum(self._deliver(envelope) for envelope in frame.envelopes)
        if frame.chunk:
            try:
                envelope = peer.incoming.chunk(frame, LARGEST_ENVELOPE)
            except UndecodableError:
                self.broken.append(frame.sequence)
            else:
                messages += self._deliver(envelope) if envelope is not None else 0
        peer.incoming.got(messages)
        self.untaken.append(sum(map(len, frame.envelopes)))
        if not self.withholding:
            self.take(len(self.untaken))

    def _deliver(self, data: bytes) -> int:
        address = WireEnvelope.FromString(data).target
        numbers = numbers_in(data)
        if address in self.shut:
            self.parked.setdefault(address, deque()).extend(numbers)
            self.peer.tell_of(address, is_paused=True)
        else:
            self.got[address].extend(numbers)
        return len(numbers)

    def take(self, count: int) -> None:
        """Give credits back for so many frames."""
        for _ in range(min(count, len(self.untaken))):
            self.peer.took(self.untaken.popleft())

    def open(self, address: str) -> None:
        """There is room in the mailbox: what is parked goes in."""
        self.shut.discard(address)
        if address in self.parked:
            self.got[address].extend(self.parked.pop(address))
            self.peer.tell_of(address, is_paused=False)

    def send(self, header: Header, number: int, size: int, accepted: Callable[[int], None]) -> None:
        """As `Outbound.tell`: what finds no room waits for it, and nobody overtakes who waits."""
        gate = self.peer.gate(header.address)
        payload = payload_of(number, size)
        if not gate.is_waited_for and gate.offer_tell(header, payload):
            accepted(number)
            return

        def again() -> None:
            if gate.offer(Run(header, payload)):
                accepted(number)
            else:
                gate.waiters.appendleft(again)

        gate.wait_for_room(again)


def peers() -> tuple[Peer, Peer]:
    """Two ends that know of each other."""
    one, other = Peer("b", Owner()), Peer("a", Owner())
    for sender, receiver in ((one, other), (other, one), (one, other)):
        receiver.received(Frame.FromString(sender.ping()[0]))
        deliver(receiver, sender)
    return one, other


def parsed(packed: list[Packed]) -> list[Frame]:
    return [Frame.FromString(data) for data, _number in packed]


def flushed(peer: Peer, limit_bytes: int = LIMIT_BYTES) -> list[Packed]:
    """What leaves in the next turns of the loop."""
    packed = peer.frames(limit_bytes)
    while peer.armed:
        packed += peer.frames(limit_bytes)
    return packed


def deliver(sender: Peer, receiver: Peer) -> list[int]:
    """All that may be sent arrives; returns the numbers in it."""
    got: list[int] = []
    for frame in parsed(flushed(sender)):
        if receiver.received(frame):
            for envelope in frame.envelopes:
                got.extend(numbers_in(envelope))
            receiver.incoming.got(len(frame.envelopes))
            receiver.took(sum(map(len, frame.envelopes)))
    return got


def tick(*ends: Peer) -> None:
    for end in ends:
        end.tick()
