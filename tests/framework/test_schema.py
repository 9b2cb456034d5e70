from __future__ import annotations

import enum
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.empty_pb2 import Empty
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.framework.errors import NotSerializableError, UndecodableError
from covey.framework.messages.message import field, message
from covey.framework.messages.schema import descriptor_bytes, differences
from covey.framework.proto import envelope_pb2
from tests.framework.generated_messages import message_classes


def order(**fields: Any) -> bytes:
    """A description of `shop.Order` with these fields: annotation, or annotation and field()."""
    annotations = {name: it[0] if isinstance(it, tuple) else it for name, it in fields.items()}
    defaults = {name: it[1] for name, it in fields.items() if isinstance(it, tuple)}
    return descriptor_bytes(message(type("Order", (), {"__annotations__": annotations} | defaults)))


def item(annotation: type) -> type:
    return message(type("Item", (), {"__annotations__": {"price": annotation}}))


def colour(**members: int) -> type[enum.Enum]:
    kind: type[enum.Enum] = enum.Enum("Colour", members)  # type: ignore[assignment]
    return kind


def test_description_is_a_descriptor_and_the_same_every_time() -> None:
    described = order(sku=str, amount=int | None)
    parsed = DescriptorProto.FromString(described)
    assert [(f.name, f.number, f.proto3_optional) for f in parsed.field] == [
        ("sku", 1, False),
        ("amount", 2, True),
    ]
    assert described == order(sku=str, amount=int | None)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_type_does_not_differ_from_itself(data: st.DataObject) -> None:
    described = descriptor_bytes(data.draw(message_classes()))
    assert differences(described, described) == []


def test_recursive_and_generated_types_are_described() -> None:
    @message
    class Tree:
        leaf: envelope_pb2.Envelope
        left: Tree | None = None

    parsed = DescriptorProto.FromString(descriptor_bytes(Tree))
    assert [nested.name for nested in parsed.nested_type] == ["covey.v1.Envelope"]
    assert [nested.name for nested in parsed.enum_type] == ["covey.v1.Envelope.Kind"]
    frame = DescriptorProto.FromString(descriptor_bytes(envelope_pb2.Frame))
    assert [nested.name for nested in frame.nested_type] == ["covey.v1.Range", "covey.v1.Schema"]


@pytest.mark.parametrize(
    "remote",
    [
        order(sku=str),
        order(sku=str, amount=int, more=str),
        order(name=str, count=int),
        order(sku=str | None, amount=int | None),
        order(sku=str, amount=(int, field(number=9))),
    ],
    ids=["removed", "added", "renamed", "optional", "renumbered"],
)
def test_what_protobuf_reads_alike_is_no_difference(remote: bytes) -> None:
    local = order(sku=str, amount=int)
    assert differences(local, remote) == differences(remote, local) == []


def test_changed_type_and_label_are_told_field_by_field() -> None:
    assert differences(order(sku=str, amount=int), order(sku=list[str], amount=str)) == [
        'field 1: string here ("sku"), repeated string there ("sku")',
        'field 2: int64 here ("amount"), string there ("amount")',
    ]


def test_changed_nested_type_name_is_told() -> None:
    (told,) = differences(order(it=item(int)), order(it=envelope_pb2.Schema))
    assert told.startswith("field 1: ")
    assert told.endswith('Item here ("it"), covey.v1.Schema there ("it")')


def test_change_inside_a_nested_message_is_told() -> None:
    (told,) = differences(order(it=item(int)), order(it=item(float)))
    assert told.endswith('Item field 1: int64 here ("price"), double there ("price")')


def test_enum_member_of_another_number_is_told() -> None:
    local = order(it=colour(RED=1, BLUE=2))
    assert differences(local, order(it=colour(RED=1, BLUE=2, GREEN=3))) == []
    (told,) = differences(local, order(it=colour(RED=2, BLUE=1))[:])[:1]
    assert told.endswith("Colour: COLOUR_RED is 1 here, 2 there")


def test_none_is_described_as_empty() -> None:
    assert descriptor_bytes(type(None)) == descriptor_bytes(Empty)


def test_class_that_is_no_message_has_no_description() -> None:
    with pytest.raises(NotSerializableError, match=r"builtins\.int"):
        descriptor_bytes(int)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_description_are_undecodable_or_compared(remote: bytes) -> None:
    local = order(sku=str)
    try:
        told = differences(local, remote)
    except UndecodableError:
        return
    assert all(isinstance(line, str) for line in told)
