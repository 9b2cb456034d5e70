"""An envelope that is larger than a frame, in parts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.cluster.packing import Urgent
from covey.framework.errors import UndecodableError

if TYPE_CHECKING:
    from covey.framework.cluster.outbox import Item
    from covey.framework.proto.envelope_pb2 import Frame

__all__ = ["ChunkReader", "ChunkedEnvelope"]


class ChunkedEnvelope:
    """One that is being sent: `fill` puts its next part into a frame."""

    __slots__ = ("_at", "_data", "_from", "recalled", "what")

    def __init__(self, what: Item | Urgent, data: bytes) -> None:
        self.what = what
        self.recalled = False
        """Whether a part of it did not arrive, so that the others are of no use."""
        self._data = data
        self._at = self._from = 0

    def fill(self, frame: Frame, limit_bytes: int) -> int:
        """Put in at most so much; returns how much."""
        part = self._data[self._at : self._at + limit_bytes]
        frame.chunk, frame.chunk_at = part, self._at
        if not self._at:
            frame.chunk_of = len(self._data)
            self._from = frame.sequence
        frame.chunk_from = self._from
        self._at += len(part)
        return len(part)

    @property
    def is_done(self) -> bool:
        """Whether all of it was put into frames."""
        return self._at >= len(self._data)

    @property
    def type_name(self) -> str:
        """Of its message."""
        return self.what.type_name if isinstance(self.what, Urgent) else self.what.header.type_name

    @property
    def count(self) -> int:
        """How many messages and answers it is."""
        return 1 if isinstance(self.what, Urgent) else self.what.count

    @property
    def in_doubt(self) -> int:
        """How many messages may have arrived with it; an answer is none."""
        return self.count if self.is_done and not self.recalled and not isinstance(self.what, Urgent) else 0


class ChunkReader:
    """Joins the parts that come from one node: one envelope at a time, and none above a limit."""

    __slots__ = ("_data", "_from", "_size")

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = self._from = 0

    def take(self, frame: Frame, limit_bytes: int) -> bytes | None:
        """The next part came; the envelope once it is complete.

        Raises:
            UndecodableError: it fits nothing that came before, or makes more than the limit.
        """
        if frame.chunk_of:
            self._data, self._size, self._from = bytearray(), frame.chunk_of, frame.chunk_from
        size, at = self._size, len(self._data)
        fits = (frame.chunk_from, frame.chunk_at) == (self._from, at) and at + len(frame.chunk) <= size
        if size > limit_bytes or not fits:
            self._data, self._size = bytearray(), 0
            if size > limit_bytes:
                raise UndecodableError(
                    f"an envelope of {size} bytes, and this node takes at most {limit_bytes}: "
                    "give it a larger max_message_bytes"
                )
            raise UndecodableError("a part of a large envelope whose other parts did not come")
        self._data += frame.chunk
        if len(self._data) < size:
            return None
        envelope = bytes(self._data)
        self._data, self._size = bytearray(), 0
        return envelope
