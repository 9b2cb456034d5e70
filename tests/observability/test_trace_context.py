from hypothesis import given
from hypothesis import strategies as st

from covey.framework.events import is_sampled
from covey.observability.context import CONTEXT_BYTES, pack, unpack

ids128 = st.integers(1, 2**128 - 1)
ids64 = st.integers(1, 2**64 - 1)
flag_bytes = st.integers(0, 255)


@given(ids128, ids64, flag_bytes)
def test_unpacking_gives_what_was_packed(trace_id: int, span_id: int, flags: int) -> None:
    context = pack(trace_id, span_id, flags)
    assert len(context) == CONTEXT_BYTES
    assert unpack(context) == (trace_id, span_id, flags)


@given(ids128, ids64, flag_bytes)
def test_the_frameworks_flag_test_and_ours_agree(trace_id: int, span_id: int, flags: int) -> None:
    context = pack(trace_id, span_id, flags)
    found = unpack(context)
    assert found is not None
    assert is_sampled(context) == found.sampled == bool(flags & 1)


@given(st.binary(max_size=60).filter(lambda data: len(data) != CONTEXT_BYTES))
def test_bytes_of_another_length_are_no_context(data: bytes) -> None:
    assert unpack(data) is None


@given(ids128, ids64, flag_bytes)
def test_an_id_of_zero_is_no_context(trace_id: int, span_id: int, flags: int) -> None:
    assert unpack(pack(0, span_id, flags)) is None
    assert unpack(pack(trace_id, 0, flags)) is None


def test_ids_are_written_as_w3c_writes_them() -> None:
    context = pack(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, 1)
    assert context.hex() == "4bf92f3577b34da6a3ce929d0e0e4736" + "00f067aa0ba902b7" + "01"
