from __future__ import annotations

import enum
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.framework.errors import NotSerializableError, UndecodableError
from covey.framework.messages.codec import decode, encode, is_message, resolve, type_name
from covey.framework.messages.message import field, message
from covey.framework.proto import envelope_pb2
from tests.framework.generated_messages import message_classes, values_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5
    NEGATIVE = -3


@message
class Inner:
    text: str = ""
    number: int = 0


@message
class Everything:
    text: str = ""
    raw: bytes = b""
    flag: bool = False
    count: int = 0
    ratio: float = 0.0
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    maybe: int | None = None
    maybe_inner: Inner | None = None
    inner: Inner = field(default_factory=Inner)
    texts: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    flags: list[bool] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    inners: list[Inner] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)


@message
class Link:
    next: Link | None = None


EVERYTHING = type_name(Everything)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_message_comes_back_as_it_was(data: st.DataObject) -> None:
    cls = data.draw(message_classes())
    for value in data.draw(st.lists(values_of(cls), min_size=1, max_size=4)):
        back = decode(*encode(value))
        assert type(back) is cls
        assert back == value


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_bytes_give_a_value_or_undecodable_and_nothing_else(data: st.DataObject) -> None:
    value = data.draw(values_of(Everything))
    payload = bytearray(encode(value)[1])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    for mutated in (bytes(payload), data.draw(st.binary(max_size=60))):
        try:
            decoded = decode(EVERYTHING, mutated)
        except UndecodableError:
            continue
        assert type(decoded) is Everything
        # equal bytes, not equal values: a mutated float may be NaN
        assert encode(decode(*encode(decoded))) == encode(decoded)


@given(st.text(), st.binary(max_size=30))
@settings(deadline=None)
def test_unknown_type_names_are_undecodable(name: str, payload: bytes) -> None:
    with pytest.raises(UndecodableError, match="known on this node: import the module"):
        decode(f"nowhere.{name}", payload)


def test_unknown_type_names_the_module_to_import() -> None:
    with pytest.raises(UndecodableError, match=r"'shop.orders.Order' .* \(probably 'shop.orders'\)"):
        decode("shop.orders.Order", b"")
    assert resolve("shop.orders.Order") is None


def test_none_travels_as_empty() -> None:
    assert encode(None) == ("google.protobuf.Empty", b"")
    assert decode("google.protobuf.Empty", b"") is None
    assert encode(Empty()) == encode(None)
    assert resolve("google.protobuf.Empty") is type(None)
    with pytest.raises(UndecodableError, match="no valid protobuf"):
        decode("google.protobuf.Empty", b"\xff")


def test_generated_messages_are_equal_citizens() -> None:
    schema = envelope_pb2.Schema(type="a")
    assert encode(schema) == ("covey.v1.Schema", schema.SerializeToString())
    assert decode(*encode(schema)) == schema
    assert resolve("covey.v1.Schema") is envelope_pb2.Schema
    with pytest.raises(UndecodableError, match=r"no covey\.v1\.Schema"):
        decode("covey.v1.Schema", b"\x0a\x01\xff")


def test_what_is_a_message_is_told_of_values_and_types() -> None:
    class Special(Inner):
        pass

    for it in (Inner(), Inner, Struct(), Struct, None, type(None)):
        assert is_message(it)
    for it in (3, int, Special(), Special, "text", object()):
        assert not is_message(it)


def test_type_name_is_the_protobuf_name_and_the_python_name_of_what_is_no_message() -> None:
    assert type_name(Inner()) == type_name(Inner) == f"{__name__}.Inner"
    assert type_name(Struct()) == type_name(Struct) == "google.protobuf.Struct"
    assert type_name(None) == type_name(type(None)) == "google.protobuf.Empty"
    assert type_name(3) == "builtins.int"


@pytest.mark.parametrize("value", [3, "text", {"a": 1}, object(), Inner, [Inner()]])
def test_value_that_is_no_message_cannot_leave(value: Any) -> None:
    with pytest.raises(NotSerializableError, match="make it a @message"):
        encode(value)


def test_undecorated_subclass_of_a_message_cannot_leave() -> None:
    class Special(Inner):
        pass

    with pytest.raises(NotSerializableError, match=r"Special cannot leave .* inherits from the message"):
        encode(Special())
    with pytest.raises(NotSerializableError, match="no subclass"):
        encode(Everything(inner=Special()))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("text", b"bytes", "a str"),
        ("text", "\ud800", "UTF-8"),
        ("text", None, "a str"),
        ("raw", "text", "bytes"),
        ("flag", 1, "True or False"),
        ("count", 2**63, "an int from"),
        pytest.param("count", 10**5000, "a very large int", id="count-huge"),
        ("count", 1.0, "an int"),
        ("ratio", "1", "a float"),
        ("ratio", "nan", "a float"),
        ("ratio", 2**53 + 1, "a float holds exactly"),
        pytest.param("ratio", 10**400, "a float", id="ratio-huge"),
        ("colour", "red", "a member of Colour"),
        ("level", 1, "a member of Level"),
        ("at", datetime(2026, 1, 1), "a datetime with a time zone"),
        ("at", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "the years 1 to 9999"),
        ("at", "2026", "a datetime"),
        ("maybe", "1", "or None"),
        ("inner", None, "an instance of Inner"),
        ("inner", {"text": ""}, "an instance of Inner"),
        ("texts", "abc", "a list"),
        ("texts", ("a",), "a list"),
        ("texts", [b"a"], "each item is a str"),
        ("flags", [1], "each item is True or False"),
        ("times", [None], "each item is a datetime"),
        ("inners", [None], "each item is an instance of Inner"),
    ],
)
def test_value_that_its_field_cannot_hold_is_refused_by_name(name: str, value: Any, expected: str) -> None:
    with pytest.raises(
        NotSerializableError, match=f"Everything cannot leave .* field {name} must be"
    ) as caught:
        encode(Everything(**{name: value}))
    assert expected in str(caught.value)


def test_field_that_was_never_set_is_refused_by_name() -> None:
    inner = Everything()
    del inner.inner
    with pytest.raises(NotSerializableError, match=r"its field inner must be .*, but is unset"):
        encode(inner)


def test_message_that_contains_itself_is_refused() -> None:
    link = Link()
    link.next = link
    with pytest.raises(NotSerializableError, match="contains itself"):
        encode(link)


def test_endless_nesting_in_bytes_is_undecodable() -> None:
    payload = encode(Link(Link()))[1]
    assert decode(type_name(Link), payload) == Link(Link())
    with pytest.raises(UndecodableError):
        decode(type_name(Link), nested(sys.getrecursionlimit()))


def nested(depth: int) -> bytes:
    payload = b""
    for _ in range(depth):
        size, length = len(payload), b""
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        payload = b"\x0a" + length + bytes([size]) + payload
    return payload


def test_numbers_that_a_float_holds_travel_as_floats() -> None:
    assert decode(*encode(Everything(ratio=3, ratios=[1, 2.5]))) == Everything(ratio=3.0, ratios=[1.0, 2.5])


def test_none_and_zero_stay_apart_in_an_optional_field() -> None:
    for value in (None, 0, 7):
        assert decode(*encode(Everything(maybe=value))).maybe == value
    assert decode(*encode(Everything(maybe_inner=Inner()))).maybe_inner == Inner()


def test_datetime_of_any_zone_comes_back_in_utc() -> None:
    zone = timezone(timedelta(hours=-3))
    back = decode(*encode(Everything(at=datetime(2026, 5, 1, 22, tzinfo=zone)))).at
    assert (back.tzinfo, back.isoformat()) == (UTC, "2026-05-02T01:00:00+00:00")


def everything_at(stamp: Timestamp) -> bytes:
    content = stamp.SerializeToString()
    return bytes([8 << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("nanos", [1, 999, 1_500, -1_000, 1_000_000_000])
def test_timestamp_that_a_datetime_cannot_hold_is_undecodable(nanos: int) -> None:
    with pytest.raises(UndecodableError, match=r"field at: its .* nanoseconds"):
        decode(EVERYTHING, everything_at(Timestamp(nanos=nanos)))


def test_timestamp_beyond_the_year_9999_is_undecodable() -> None:
    with pytest.raises(UndecodableError, match="field at: "):
        decode(EVERYTHING, everything_at(Timestamp(seconds=253_402_300_800)))


@pytest.mark.parametrize(
    "number", [b"\x07", b"\x82\x80\x80\x80\x10", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
)
def test_enum_number_that_this_node_does_not_know_is_undecodable(number: bytes) -> None:
    with pytest.raises(UndecodableError, match=r"field colour: no member of Colour .* newer"):
        decode(EVERYTHING, b"\x30" + number)


def test_enum_without_zero_takes_its_default_when_the_sender_did_not_know_the_field() -> None:
    @message
    class Required:
        level: Level

    assert decode(EVERYTHING, b"").level is Level.LOW
    with pytest.raises(UndecodableError, match="field level: it is missing"):
        decode(type_name(Required), b"")


def test_message_from_a_sender_that_knows_fewer_fields_takes_defaults() -> None:
    @message
    class Now:
        text: str
        inner: Inner
        at: datetime | None = None
        many: list[int] = field(default_factory=list)

    assert decode(type_name(Now), b"") == Now("", Inner())


def test_field_that_came_with_another_wire_type_is_undecodable() -> None:
    with pytest.raises(UndecodableError, match=r"field 4 \(count\) came with another type"):
        decode(EVERYTHING, b"\x22\x01a")


def test_unknown_field_numbers_are_ignored() -> None:
    assert decode(EVERYTHING, b"\xa0\x06\x01") == Everything()


def test_nested_message_that_came_in_pieces_is_merged() -> None:
    pieces = [Everything(inner=Inner("a")), Everything(inner=Inner(number=3))]
    payload = b"".join(encode(piece)[1] for piece in pieces)
    assert decode(EVERYTHING, payload).inner == Inner("a", 3)


def test_text_that_is_no_utf8_is_undecodable() -> None:
    with pytest.raises(UndecodableError, match="no valid protobuf"):
        decode(EVERYTHING, b"\x0a\x01\xff")
