"""Inputs with the structure of real ones: some valid, most of them with something that no node sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from google.protobuf.descriptor_pb2 import DescriptorProto

from covey.framework.cluster.schemas import schema_of
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import (
    Beacon,
    Envelope,
    Failure,
    Frame,
    Hello,
    Range,
    Registry,
    RegistryRequest,
    Schema,
    Schemas,
)
from tests.fuzz.agents import Count, Shade, Tree
from tests.fuzz.json_bodies import BODIES, JSON_TYPES

__all__ = ["SOURCES", "STRANGERS", "Samples"]

T = TypeVar("T")

SOURCES = tuple(f"s{number}" for number in range(12))
"""Nodes that are in no swarm, and send frames all the same."""
STRANGERS = tuple(f"m{number}" for number in range(12))
"""Nodes that say hello."""

NUMBERS = (0, 1, 2, 127, 2**31 - 1, 2**32, 2**53, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
TYPES = (
    "",
    ".",
    "no.such.Type",
    "tests.fuzz.never_imported.Evil",
    "os.system",
    "builtins.eval",
    "../../etc/passwd",
    "fuzz.Count\x00",
    "fuzz.count",
    "google.protobuf.Empty",
    "google.protobuf.Timestamp",
    "google.protobuf.FileDescriptorSet",
    "covey.v1.Envelope",
    "x" * 3000,
)
NEAR = tuple(f"near/{number}" for number in range(8))
FAR = tuple(f"far/{number}" for number in range(4))
NOWHERE = (
    "",
    "/",
    "near",
    "near/",
    "/0",
    "ne ar/0",
    "near\x00/0",
    "0near/0",
    "near/" + "k" * 257,
    "near/" + "ü" * 200,
    "n" * 65 + "/0",
    "nobody/0",
    "x" * 5000,
)


@dataclass
class _End:
    epoch: int
    sequence: int = 0
    sent_bytes: int = 0
    sent_messages: int = 0


class Samples:
    """Everything is drawn from the random numbers.

    Args:
        epoch_of: the epoch of the fuzzed node's end of its link to a source.
    """

    def __init__(self, random: Random, epoch_of: Callable[[str], int]) -> None:
        self._random = random
        self._epoch_of = epoch_of
        self._ends: dict[str, _End] = {}

    def _one(self, choices: Sequence[T]) -> T:
        return choices[int(self._random.random() * len(choices))]

    def _is(self, odds: float) -> bool:
        return self._random.random() < odds

    # -- payloads ----------------------------------------------------------------------------------

    def tree(self, depth: int = 3) -> Tree:
        random = self._random
        children = [self.tree(depth - 1) for _ in range(random.randint(0, 2))] if depth else []
        return Tree(
            label="ä" * random.randint(0, 5),
            shade=self._one(tuple(Shade)),
            ratio=random.random(),
            data=random.randbytes(random.randint(0, 9)),
            flag=self._is(0.5),
            numbers=[random.randint(-(2**63), 2**63 - 1) for _ in range(random.randint(0, 3))],
            children=children,
        )

    def message(self) -> tuple[str, bytes]:
        if self._is(0.1):
            made_up = f"made.up.T{self._random.getrandbits(40)}"
            name = made_up if self._is(0.5) else self._one(TYPES)
            return name, self._random.randbytes(self._random.randint(0, 12))
        if self._is(0.25):
            return codec.encode(self.tree())
        return codec.encode(Count(number=self._random.randint(-5, 1 << 40)))

    def address(self) -> str:
        pick = self._random.random()
        if pick < 0.75:
            return self._one(NEAR)
        if pick < 0.9:
            return self._one(FAR)
        return f"k{self._random.getrandbits(40)}/0" if pick < 0.93 else self._one(NOWHERE)

    # -- envelopes ---------------------------------------------------------------------------------

    def envelope(self, source: str = "") -> bytes:
        """What one node may tell another, or a client an agent."""
        type_name, payload = self.message()
        wire = Envelope(type=type_name, target=self.address(), payload=payload)
        if self._is(0.4):
            wire.kind = Envelope.ASK
            wire.message_id = self._random.getrandbits(30)
            wire.remaining_ms = self._one((0, 1, 1000, 2**32 - 1))
            made_up = f"n{self._random.getrandbits(40)}"
            wire.reply_to = self._one(("", source, source, source, made_up if self._is(0.1) else source))
        if self._is(0.5):
            self._adorn(wire)
        return wire.SerializeToString()

    def _adorn(self, wire: Envelope) -> None:
        random = self._random
        if self._is(0.2):
            wire.kind = self._one((2, 3, 4, 5, 99, -1, 2**31 - 1))  # type: ignore[assignment]
            if self._is(0.3):
                wire.payload = Failure(type="KeyError", message="x", data=["1", "x"]).SerializeToString()
        if self._is(0.3):
            wire.sender = self._one((*NEAR, *NOWHERE))
        if self._is(0.2):
            others = [self._one((*NEAR, "far/0")) for _ in range(self._one((1, 3, 64, 65, 200)))]
            wire.chain.extend(others if self._is(0.8) else [self._one(NOWHERE)])
        if self._is(0.2):
            wire.trace = random.randbytes(self._one((1, 24, 25, 25, 26, 300)))
        if self._is(0.1):
            wire.hops = self._one((1, 2, 3, 4, 2**32 - 1))
        if self._is(0.1):
            wire.attempt = 2**32 - 1
        wire.bound = self._is(0.1)
        if self._is(0.2):
            wire.more.extend(self._payloads())

    def _payloads(self) -> list[bytes]:
        count = self._one((1, 2, 20))
        return [codec.encode(Count(number=number))[1] for number in range(count)]

    # -- frames ------------------------------------------------------------------------------------

    def frame(
        self, source: str, envelopes: Sequence[bytes] | None = None, *, is_odd: bool | None = None
    ) -> bytes:
        """The next frame of a source; one in three is odd."""
        end = self._ends.get(source)
        if end is None or self._is(0.02):
            end = self._ends[source] = _End(self._random.getrandbits(63) | 1)
        end.sequence += 1 if self._is(0.95) else self._random.randint(2, 5)
        if envelopes is None:
            envelopes = [self.envelope(source) for _ in range(self._one((0, 1, 1, 1, 2, 3)))]
        end.sent_bytes += sum(map(len, envelopes))
        end.sent_messages += len(envelopes)
        frame = Frame(
            epoch=end.epoch,
            sequence=end.sequence,
            envelopes=envelopes,
            sent_bytes=end.sent_bytes,
            sent_messages=end.sent_messages,
        )
        if self._is(0.3) if is_odd is None else is_odd:
            self._adorn_frame(frame, source)
        return frame.SerializeToString()

    def _adorn_frame(self, frame: Frame, source: str) -> None:
        random = self._random
        frame.target_epoch = self._one((0, 1, self._epoch_of(source), self._epoch_of(source), 2**64 - 1))
        for name in _COUNTERS:
            if self._is(0.3):
                setattr(frame, name, self._one(NUMBERS))
        if self._is(0.05):
            frame.sequence = self._one(NUMBERS)
        if self._is(0.05):
            frame.epoch = self._one(NUMBERS)
        if self._is(0.05):
            frame.sent_messages = self._one(NUMBERS)
        if self._is(0.1):
            frame.probe = True
        if self._is(0.2):
            pairs = [(self._one(NUMBERS), self._one(NUMBERS)) for _ in range(random.randint(1, 4))]
            frame.lost.extend(Range(first=first, last=last) for first, last in pairs)
        if self._is(0.2):
            (frame.paused if self._is(0.6) else frame.resumed).extend((self.address(), self.address()))
        if self._is(0.2):
            frame.schemas.append(self.schema())
        if self._is(0.2):
            frame.chunk = random.randbytes(self._one((1, 10, 100)))
            frame.chunk_of = self._one((0, 1, 10, 100, 2**20, 2**40, *NUMBERS))
            frame.chunk_at = self._one((0, 0, 1, 10, *NUMBERS))
            frame.chunk_from = self._one((0, frame.sequence, *NUMBERS))

    def chunks(self, source: str, envelope: bytes) -> list[bytes]:
        """Frames with an envelope in parts."""
        begun = [Frame.FromString(self.frame(source, (), is_odd=False)) for _ in range(self._one((2, 3, 4)))]
        size = -(-len(envelope) // len(begun))
        for number, frame in enumerate(begun):
            frame.chunk_at, frame.chunk_from = number * size, begun[0].sequence
            frame.chunk = envelope[number * size :][:size]
        begun[0].chunk_of = len(envelope)
        return [frame.SerializeToString() for frame in begun]

    def schema(self) -> Schema:
        """How a source knows a type: as it is here, otherwise, or no description at all."""
        name = self._one(("fuzz.Count", "fuzz.Tree", *TYPES))
        descriptor = schema_of(name) or b""
        if self._is(0.2):
            described = DescriptorProto.FromString(descriptor)
            for field in described.field:
                field.type = self._one((1, 5, 9, 12))  # type: ignore[assignment]
            descriptor = described.SerializeToString()
        return Schema(type=name, descriptor=descriptor if self._is(0.8) else self._random.randbytes(20))

    # -- beacons, publications, JSON ---------------------------------------------------------------

    def beacon(self, source: str) -> bytes:
        """Of a node that hosts what nobody asks for."""
        random, pick = self._random, self._random.random()
        node = source if self._is(0.9) else self._one(("", "a", "b", "x" * 300))
        kinds = [f"ghost{number}" for number in range(random.randint(0, 3))]
        if pick < 0.4:
            hello = Hello(
                node=node,
                incarnation=self._one((1, 2, 3)) if self._is(0.9) else self._one(NUMBERS),
                hosts=kinds if self._is(0.95) else self._one((["no kind"], ["x" * 65], [""])),
                weight=self._one((0, 1, 2**32 - 1)),
                wire_version=1 if self._is(0.95) else self._one((0, 2, 2**32 - 1)),
                joining=self._is(0.2),
                leaving=self._is(0.1),
                agents=random.getrandbits(32),
                pid=random.getrandbits(32),
                refused_incarnation=self._one(NUMBERS),
                registry_version=self._one(NUMBERS),
            )
            return Beacon(hello=hello).SerializeToString()
        if pick < 0.7:
            parts = self._one((1, 1, 1, 2, 3)) if self._is(0.9) else random.getrandbits(32)
            registry = Registry(
                node=node,
                incarnation=self._one((1, 2, 3)) if self._is(0.9) else self._one(NUMBERS),
                version=random.randint(1, 50) if self._is(0.9) else self._one(NUMBERS),
                part=random.randrange(parts or 1) if self._is(0.9) else random.getrandbits(32),
                parts=parts,
                addresses=[f"ghost/{random.getrandbits(20)}" for _ in range(random.randint(0, 5))],
            )
            return Beacon(registry=registry).SerializeToString()
        if pick < 0.85:
            return Beacon(schemas=Schemas(schemas=[self.schema()])).SerializeToString()
        return Beacon(
            registry_request=RegistryRequest(node=self._one(("a", "b", source)))
        ).SerializeToString()

    def publication(self) -> bytes:
        """Of a node or of a client."""
        type_name, payload = self.message()
        wire = Envelope(type=type_name, payload=payload)
        if self._is(0.3):
            wire.reply_to = self._one(("a", "b", "c", "d"))
        if self._is(0.3):
            self._adorn(wire)
        return wire.SerializeToString()

    def json(self) -> tuple[str, bytes]:
        """A type's name as a subject has it, and a body."""
        name = self._one(("Count", "fuzz.Count", "Tree", "fuzz.Tree", *JSON_TYPES))
        if self._is(0.3):
            return name, self._one(BODIES)
        body = {"label": "x", "shade": "SHADE_LIGHT", "at": "2030-01-31T12:00:00Z", "data": "QUJD"}
        if name.endswith("Count"):
            return name, json.dumps({"number": self._one((1, "2", -3, 1.0))}).encode()
        children = [{"label": "y", "numbers": ["1", 2]}, {"ratio": self._one((1, "NaN", "Infinity", 1e300))}]
        return name, json.dumps({**body, "children": children}).encode()


_COUNTERS = (
    "credited_bytes",
    "seen_sequence",
    "newest_sequence",
    "read_bytes",
    "published_bytes",
    "sent_bytes",
)
