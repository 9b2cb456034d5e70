"""Envelopes in parts: whatever the sizes they come out whole, and what does not fit is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.framework.cluster.chunks import ChunkedEnvelope, ChunkReader
from covey.framework.cluster.packing import Urgent
from covey.framework.errors import UndecodableError
from covey.framework.proto.envelope_pb2 import Frame

LIMIT_BYTES = 10_000


sequences = itertools.count(1)


def parts_of(data: bytes, part_bytes: int) -> list[Frame]:
    chunked = ChunkedEnvelope(Urgent(data), data)
    frames = []
    while not chunked.is_done:
        frame = Frame(sequence=next(sequences))
        assert chunked.fill(frame, part_bytes) == len(frame.chunk) <= part_bytes
        frames.append(Frame.FromString(frame.SerializeToString()))
    return frames


def read(reader: ChunkReader, frames: list[Frame]) -> list[bytes]:
    envelopes = (reader.take(frame, LIMIT_BYTES) for frame in frames)
    return [envelope for envelope in envelopes if envelope is not None]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=500), st.integers(1, 200)), max_size=5))
def test_envelopes_in_parts_of_any_size_come_out_whole_and_in_order(
    envelopes: list[tuple[bytes, int]],
) -> None:
    reader = ChunkReader()
    frames = [frame for data, part_bytes in envelopes for frame in parts_of(data, part_bytes)]
    assert read(reader, frames) == [data for data, _ in envelopes]


@given(st.binary(min_size=30, max_size=300), st.integers(1, 10), st.data())
def test_without_one_of_its_parts_an_envelope_never_comes_out_and_the_next_one_does(
    data: bytes, part_bytes: int, draw: st.DataObject
) -> None:
    reader = ChunkReader()
    frames = parts_of(data, part_bytes)
    missing = draw.draw(st.integers(0, len(frames) - 1))
    for frame in frames[:missing]:
        assert reader.take(frame, LIMIT_BYTES) is None
    for frame in frames[missing + 1 :]:
        with pytest.raises(UndecodableError, match="other parts did not come"):
            reader.take(frame, LIMIT_BYTES)
    assert read(reader, parts_of(b"the next one", 5)) == [b"the next one"]


def test_the_end_of_one_envelope_is_never_joined_to_the_start_of_another() -> None:
    reader = ChunkReader()
    one, other = parts_of(b"a" * 10, 5), parts_of(b"b" * 10, 5)
    assert reader.take(one[0], LIMIT_BYTES) is None
    with pytest.raises(UndecodableError, match="other parts did not come"):
        reader.take(other[1], LIMIT_BYTES)


def test_an_envelope_above_the_limit_is_refused_at_its_first_part() -> None:
    reader = ChunkReader()
    first, *_ = parts_of(bytes(LIMIT_BYTES + 1), 100)
    with pytest.raises(UndecodableError, match="this node takes at most 10000"):
        reader.take(first, LIMIT_BYTES)
    assert read(reader, parts_of(bytes(LIMIT_BYTES), 9_999)) == [bytes(LIMIT_BYTES)]


@given(
    st.lists(
        st.builds(
            Frame,
            chunk=st.binary(max_size=50),
            chunk_of=st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 2**64 - 1)),
            chunk_at=st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 2**64 - 1)),
            chunk_from=st.integers(0, 3),
        ),
        max_size=20,
    )
)
def test_parts_that_make_no_sense_are_refused_and_nothing_above_the_limit_is_kept(
    frames: list[Frame],
) -> None:
    reader = ChunkReader()
    for frame in frames:
        try:
            envelope = reader.take(frame, LIMIT_BYTES)
        except UndecodableError:
            continue
        assert envelope is None or len(envelope) <= LIMIT_BYTES
        assert len(reader._data) <= LIMIT_BYTES
    assert read(reader, parts_of(b"the next one", 5)) == [b"the next one"]
