"""What a message type looks like on this node, as bytes, and how that differs from another node's.

A description covers everything that is reachable from a type, so that a change in a nested message or in an
enum is seen too.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from covey.framework.errors import NotSerializableError, UndecodableError
from covey.framework.messages.enum_numbers import enum_descriptor
from covey.framework.messages.message_descriptor import message_descriptor
from covey.framework.messages.message_spec import is_generated, spec_of
from covey.framework.messages.proto_name import name_of

__all__ = ["descriptor_bytes", "differences"]


def descriptor_bytes(cls: type) -> bytes:
    """The type as a serialized google.protobuf.DescriptorProto; the same bytes on every call.

    The messages and enums that it refers to are in `nested_type` and `enum_type`, by their full names.
    Raises NotSerializableError for a class that is no message.
    """
    root: Any = Empty if cls is NoneType else cls
    found: dict[str, DescriptorProto | EnumDescriptorProto] = {}
    if spec_of(root) is not None:
        top = _describe_message(root, found)
    elif is_generated(root):
        top = _describe_generated(root.DESCRIPTOR, found)
    else:
        raise NotSerializableError(cls)
    for name, nested in sorted(found.items()):
        if nested is top:
            continue
        nested.name = name
        if isinstance(nested, EnumDescriptorProto):
            top.enum_type.append(nested)
        else:
            top.nested_type.append(nested)
    return top.SerializeToString(deterministic=True)


def differences(local: bytes, remote: bytes) -> list[str]:
    """What makes values of the two descriptions mean different things; empty if protobuf reads both alike.

    Fields added, removed or renamed are alike, and so is optional or not. Raises UndecodableError if either
    is no description.
    """
    try:
        return _differences(DescriptorProto.FromString(local), DescriptorProto.FromString(remote))
    except (DecodeError, TypeError, ValueError) as error:
        raise UndecodableError("the bytes are no serialized google.protobuf.DescriptorProto") from error


def _differences(here: DescriptorProto, there: DescriptorProto) -> list[str]:
    found = [f"field {text}" for text in _field_differences(here, there)]
    nested = {message.name: message for message in there.nested_type}
    for message in here.nested_type:
        if message.name in nested:
            found += [
                f"{message.name} field {text}" for text in _field_differences(message, nested[message.name])
            ]
    enums = {enum.name: enum for enum in there.enum_type}
    for enum in here.enum_type:
        if enum.name in enums:
            found += _enum_differences(enum, enums[enum.name])
    return found


def _field_differences(here: DescriptorProto, there: DescriptorProto) -> list[str]:
    remote = {field.number: field for field in there.field}
    return [
        f'{field.number}: {_type(field)} here ("{field.name}"), '
        f'{_type(remote[field.number])} there ("{remote[field.number].name}")'
        for field in sorted(here.field, key=lambda f: f.number)
        if field.number in remote and _type(field) != _type(remote[field.number])
    ]


def _type(field: FieldDescriptorProto) -> str:
    keyword = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = field.type_name.lstrip(".") or keyword
    return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _enum_differences(here: EnumDescriptorProto, there: EnumDescriptorProto) -> list[str]:
    remote = {value.name: value.number for value in there.value}
    return [
        f"enum {here.name}: {value.name} is {value.number} here, {remote[value.name]} there"
        for value in here.value
        if remote.get(value.name, value.number) != value.number
    ]


def _describe_message(cls: type, found: dict[str, DescriptorProto | EnumDescriptorProto]) -> DescriptorProto:
    """Describe a `message` class; put it and what it refers to into `found`."""
    spec = spec_of(cls)
    assert spec is not None
    described = found[spec.type_name] = message_descriptor(spec)
    for field in spec.fields:
        python = field.type.python
        if field.type.kind == "enum":
            found[name_of(python).full] = enum_descriptor(python)
        elif field.type.kind == "message":
            nested = spec_of(python)
            if nested is None:
                _describe_generated(python.DESCRIPTOR, found)  # type: ignore[attr-defined]
            elif nested.type_name not in found:
                _describe_message(python, found)
    return described


def _describe_generated(
    descriptor: Descriptor, found: dict[str, DescriptorProto | EnumDescriptorProto]
) -> DescriptorProto:
    known = found.get(descriptor.full_name)
    if isinstance(known, DescriptorProto):
        return known
    described = DescriptorProto()
    descriptor.CopyToProto(described)
    described.ClearField("nested_type")
    described.ClearField("enum_type")
    found[descriptor.full_name] = described
    for field in descriptor.fields:
        _describe_referred(field, found)
    return described


def _describe_referred(
    field: FieldDescriptor, found: dict[str, DescriptorProto | EnumDescriptorProto]
) -> None:
    enum: EnumDescriptor | None = field.enum_type
    if field.message_type is not None:
        _describe_generated(field.message_type, found)
    elif enum is not None:
        described = found[enum.full_name] = EnumDescriptorProto()
        enum.CopyToProto(described)
