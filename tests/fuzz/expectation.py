"""What has to become of each input, decided apart from the code that is fuzzed: a counter of outcomes.

Types, addresses and JSON are read by the functions that have tests of their own; what is decided here is
which inputs count, as what, and that nothing else happens.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from covey.framework.address import Address, check_kind
from covey.framework.cluster.schemas import schema_differences
from covey.framework.errors import ConfigurationError, UndecodableError
from covey.framework.messages import codec
from covey.framework.messages.json_codec import from_json
from covey.framework.proto.envelope_pb2 import Beacon, Envelope, Frame
from covey.framework.transport import OutsideRequest
from tests.fuzz.agents import Count, Tree
from tests.fuzz.samples import SOURCES

__all__ = ["Expectation"]

PLAUSIBLE = 2**62
"""No counter of a frame gets there: each frame adds a few megabytes at most."""
LARGEST_ENVELOPE = 1 << 20


@dataclass
class _Link:
    """One source as the fuzzed node has to see it."""

    epoch: int = 0
    retired: deque[int] = field(default_factory=lambda: deque(maxlen=8))
    seen: set[int] = field(default_factory=set)
    floor: int = 0
    foreign: set[str] = field(default_factory=set)
    part: bytearray = field(default_factory=bytearray)
    part_of: int = 0
    part_from: int = 0


class Expectation:
    """`outcomes` counts dead letters by reason, messages by the agent's kind, and answers by who gets them.

    Args:
        own_epoch: the epoch of the fuzzed node's end of a link.
        orders: types that the runtime takes itself, from nodes.
    """

    def __init__(self, own_epoch: Callable[[str], int], orders: Container[str]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.links: dict[str, _Link] = defaultdict(_Link)
        self._own_epoch = own_epoch
        self._orders = orders
        self._alive: set[str] = set()
        self._open: dict[tuple[str, int], Counter[str]] = {}
        """Asks that nobody has begun with, and what they add to the outcomes."""

    def _letter(self, reason: str, count: int = 1) -> None:
        if count:
            self.outcomes[f"dead letter: {reason}"] += count

    def _handled(self, kind: str) -> None:
        self.outcomes[f"handled by {kind}"] += 1

    def _answer(self, asker: str, payload: bytes = b"") -> None:
        if asker in SOURCES:
            self.outcomes[f"answer to {asker}"] += 1
        elif asker in ("a", "b"):  # a node that has not asked
            self._letter("late reply", bool(payload))

    def settled(self) -> None:
        """Agents have handled what there was."""
        self._open.clear()

    def ticked(self) -> None:
        """Time has passed: what is missing is given up."""
        for link in self.links.values():
            link.floor = max(link.seen, default=link.floor)

    # -- frames ------------------------------------------------------------------------------------

    def frame(self, source: str, data: bytes) -> None:
        try:
            frame = Frame.FromString(data)
        except DecodeError:
            self._letter("undecodable")
            return
        if _is_no_frame(frame):
            self._letter("undecodable")
            return
        link = self.links[source]
        if not self._is_new(link, source, frame):
            self._letter("replayed")
            return
        for schema in frame.schemas:
            if schema_differences(schema.type, schema.descriptor):
                link.foreign.add(schema.type)
            else:
                link.foreign.discard(schema.type)
        for envelope in frame.envelopes:
            self.envelope(source, link, envelope)
        if frame.chunk:
            self._chunk(source, link, frame)

    def replay(self, data: bytes) -> None:
        """A frame that has been taken, or what is left of one when its end is cut off."""
        try:
            is_frame = not _is_no_frame(Frame.FromString(data))
        except DecodeError:
            is_frame = False
        self._letter("replayed" if is_frame else "undecodable")

    def _is_new(self, link: _Link, source: str, frame: Frame) -> bool:
        if frame.epoch != link.epoch:
            if frame.epoch in link.retired:
                return False
            if link.epoch:
                link.retired.append(link.epoch)
            link.epoch, link.seen, link.foreign = frame.epoch, set(), set()
            link.part, link.part_of = bytearray(), 0
            was_known = frame.target_epoch not in (0, self._own_epoch(source))
            link.floor = frame.sequence - 1 if was_known else 0
        if frame.sequence <= link.floor or frame.sequence in link.seen:
            return False
        link.seen.add(frame.sequence)
        return True

    def _chunk(self, source: str, link: _Link, frame: Frame) -> None:
        if frame.chunk_of:
            link.part, link.part_of, link.part_from = bytearray(), frame.chunk_of, frame.chunk_from
        fits = frame.chunk_at == len(link.part) and frame.chunk_from == link.part_from
        fits = fits and len(link.part) + len(frame.chunk) <= link.part_of
        if not fits or link.part_of > LARGEST_ENVELOPE:
            link.part, link.part_of = bytearray(), 0
            self._letter("undecodable")
            return
        link.part += frame.chunk
        if len(link.part) == link.part_of:
            whole = bytes(link.part)
            link.part, link.part_of = bytearray(), 0
            self.envelope(source, link, whole)

    def envelope(self, source: str, link: _Link, data: bytes) -> None:
        try:
            wire = Envelope.FromString(data)
        except DecodeError:
            self._letter("undecodable")
            return
        if wire.kind == Envelope.REPLY:
            self._letter("late reply", bool(wire.payload))
        elif wire.kind == Envelope.CANCEL:
            undone = self._open.pop((source, wire.message_id), None)
            if undone is not None:  # nobody has begun with it: agents run after the inputs of a batch
                self.outcomes -= undone
                self._letter("expired")
        elif wire.kind == Envelope.FAILURE:
            pass
        elif wire.kind not in (Envelope.TELL, Envelope.ASK):
            self._letter("undecodable")
        else:
            self._delivered(source, link, wire)

    def _delivered(self, source: str, link: _Link, wire: Envelope) -> None:
        # Nobody answers himself: then it goes to whom the ask came from.
        asker = source if wire.reply_to in ("", "a") else wire.reply_to
        asker = asker if wire.kind == Envelope.ASK else ""
        assert wire.type not in self._orders, "orders have a test of their own"
        try:
            address = Address.parse(wire.target)
        except ConfigurationError:
            self._refused("undecodable", asker)
            return
        if address.kind == "far" and not wire.bound and wire.hops < 3:
            # The other node takes it from this one, and answers whom it is told to.
            asker = asker and ("a" if wire.reply_to in ("", "b") else wire.reply_to)
            self._at(address, _Link(), wire, asker)
        elif address.kind in ("near", "far"):
            is_here = address.kind == "near" and (not wire.bound or wire.target in self._alive)
            if not is_here:
                self._refused("stopped", asker)
            else:
                self._at(address, link, wire, asker)
        else:
            self._refused("no host", asker)

    def _refused(self, reason: str, asker: str) -> None:
        self._letter(reason)
        if asker:
            self._answer(asker)

    def _at(self, address: Address, link: _Link, wire: Envelope, asker: str) -> None:
        """On the node where the agent lives."""
        self._alive.add(str(address))
        if wire.type in link.foreign:
            self._refused("schema changed", asker)
        elif wire.more:
            self._run(address, wire, asker)
        else:
            self._one(address, wire, asker)

    def _run(self, address: Address, wire: Envelope, asker: str) -> None:
        is_run = wire.kind == Envelope.TELL and not wire.trace and codec.resolve(wire.type) is not None
        if not is_run or not _is_address(wire.sender):
            self._refused("undecodable", asker)
            return
        for payload in (wire.payload, *wire.more):
            self._put(address.kind, wire.type, payload)

    def _one(self, address: Address, wire: Envelope, asker: str) -> None:
        is_ask = wire.kind == Envelope.ASK
        chain_is_bad = is_ask and (len(wire.chain) > 64 or not all(map(_is_named, wire.chain)))
        if not _decodes(wire.type, wire.payload) or not _is_address(wire.sender) or chain_is_bad:
            self._refused("undecodable", asker)
            return
        before = Counter(self.outcomes)
        closes_cycle = is_ask and str(address) in wire.chain
        answer = b"" if closes_cycle else self._put(address.kind, wire.type, wire.payload)
        if asker:
            self._answer(asker, answer)
        if is_ask and not closes_cycle and address.kind == "near":
            self._open[asker, wire.message_id] = self.outcomes - before

    def _put(self, kind: str, type_name: str, payload: bytes) -> bytes:
        """What an agent of the kind answers."""
        try:
            message = codec.decode(type_name, payload)
        except UndecodableError:
            self._letter("undecodable")
            return b""
        if isinstance(message, Count) or (isinstance(message, Tree) and kind != "listener"):
            self._handled(kind)
            return codec.encode(message)[1]
        self._letter("unhandled")
        return b""

    # -- beacons and publications ------------------------------------------------------------------

    def beacon(self, source: str, data: bytes) -> None:
        try:
            beacon = Beacon.FromString(data)
        except DecodeError:
            self._letter("undecodable")
            return
        content = beacon.WhichOneof("content")
        if content is None:
            self._letter("undecodable")
        elif content == "hello":
            hello = beacon.hello
            if hello.node != source:
                self._letter("forged")
            elif not (hello.incarnation and hello.wire_version == 1 and all(map(_is_kind, hello.hosts))):
                self._letter("undecodable")
        elif content == "registry":
            part = beacon.registry
            if part.node != source:
                self._letter("forged")
            elif not (part.incarnation and part.version and part.part < part.parts <= 100_000):
                self._letter("undecodable")

    def publication(self, data: bytes) -> None:
        try:
            wire = Envelope.FromString(data)
        except DecodeError:
            self._letter("undecodable")
            return
        if wire.reply_to == "a":
            return  # its own: delivered before it was sent
        is_one_tell = wire.kind in (Envelope.TELL, Envelope.ASK) and not wire.more
        if not is_one_tell or is_order(wire.type) or not _is_address(wire.sender):
            self._letter("undecodable")
        else:
            self._put("listener", wire.type, wire.payload)

    # -- clients -----------------------------------------------------------------------------------

    def request(self, request: OutsideRequest) -> None:
        if request.json_type is not None:
            self._json(request, request.json_type)
            return
        try:
            wire = Envelope.FromString(request.data)
        except DecodeError:
            self._letter("undecodable")
            return
        is_request = wire.kind in (Envelope.TELL, Envelope.ASK) and not wire.more
        if not is_request or is_order(wire.type) or wire.target not in ("", request.address):
            self._letter("undecodable")
            return
        kind = self._kind(request.address)
        if kind:
            self._put(kind, wire.type, wire.payload)

    def _json(self, request: OutsideRequest, name: str) -> None:
        if is_order(name):
            self._letter("undecodable")
            return
        kind = self._kind(request.address)
        if not kind:
            return
        handled = {"Count": Count, "Tree": Tree}
        cls = handled.get(name) or codec.resolve(name)
        if cls is None or is_order(codec.type_name(cls)):
            self._letter("undecodable")
            return
        try:
            from_json(cls, request.data)
        except UndecodableError:
            self._letter("undecodable")
            return
        if cls in (Count, Tree):
            self._handled(kind)
        else:
            self._letter("unhandled")

    def _kind(self, text: str) -> str:
        if not _is_named(text):
            self._letter("undecodable")
            return ""
        kind = Address.parse(text).kind
        if kind not in ("near", "far"):
            self._letter("no host")
            return ""
        self._alive.add(text)
        return kind


def is_order(type_name: str) -> bool:
    """What only nodes may order each other, and the runtime does by itself."""
    return type_name.startswith(("covey.v1.", "covey.framework."))


def _is_no_frame(frame: Frame) -> bool:
    counters = (frame.sequence, frame.sent_bytes, frame.sent_messages, frame.published_bytes)
    return (
        not frame.epoch
        or not frame.sequence
        or max(counters) >= PLAUSIBLE
        or len(frame.envelopes) > 512
        or len(frame.schemas) > 512
        or len(frame.lost) > 512
        or len(frame.paused) + len(frame.resumed) > 64
    )


def _is_named(text: str) -> bool:
    try:
        Address.parse(text)
    except ConfigurationError:
        return False
    return True


def _is_address(text: str) -> bool:
    return not text or _is_named(text)


def _is_kind(text: str) -> bool:
    try:
        check_kind(text)
    except ConfigurationError:
        return False
    return True


def _decodes(type_name: str, payload: bytes) -> bool:
    try:
        codec.decode(type_name, payload)
    except UndecodableError:
        return False
    return True
