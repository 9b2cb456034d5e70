"""Messages as JSON, by protobuf's own mapping (the ProtoJSON guide): for people and for `nats req`.

A `message` class has no protobuf class with the names of its fields, because nothing else needs one: it is
made here, at first use, from the descriptors that the exported `.proto` shows.
"""

from __future__ import annotations

from functools import lru_cache
from types import NoneType
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from covey.framework.errors import UndecodableError
from covey.framework.messages import codec
from covey.framework.messages.enum_numbers import enum_descriptor
from covey.framework.messages.message_descriptor import message_descriptor
from covey.framework.messages.message_spec import is_generated, spec_of
from covey.framework.messages.proto_name import name_of

__all__ = ["from_json", "to_json"]

MAX_DEPTH = 64
"""How deep messages may be nested in JSON; protobuf itself allows 100."""
_PACKAGE = "covey_json"


def to_json(message: Any) -> tuple[str, bytes]:
    """The type name and the JSON of a message, fields with default values included, in one line.

    Raises:
        NotSerializableError: as `codec.encode`.
    """
    name, payload = codec.encode(message)
    cls: type = type(message)
    parsed = _json_class(cls).FromString(payload)
    text = json_format.MessageToJson(parsed, always_print_fields_with_no_presence=True, indent=None)
    return name, text.encode()


def from_json(cls: type, text: bytes) -> Any:
    """The message of a class in some JSON; no text at all stands for `{}`.

    Raises:
        UndecodableError: it is no such JSON; says where and why.
    """
    json_class = _json_class(cls)
    try:
        parsed = json_format.Parse(text.decode() or "{}", json_class(), max_recursion_depth=MAX_DEPTH)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError, ValueError) as error:
        name = codec.type_name(cls)
        reason = str(error or type(error).__name__).replace(f"{_PACKAGE}.", "")
        raise UndecodableError(f"the JSON is no {name}: {reason}") from error
    return codec.decode(codec.type_name(cls), parsed.SerializeToString())


@lru_cache(maxsize=1024)
def _json_class(cls: type) -> type[Message]:
    """A protobuf class with the bytes of the message and the names of its fields."""
    if cls is NoneType:
        return Empty
    if is_generated(cls):
        return cls
    pool = DescriptorPool()
    file = FileDescriptorProto(name="covey_json.proto", package=_PACKAGE, syntax="proto3")
    renamed: dict[str, str] = {}
    _add_message(cls, file, pool, renamed)
    for message in file.message_type:
        for field in message.field:
            if field.type_name in renamed:
                field.type_name = renamed[field.type_name]
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(renamed[f".{codec.type_name(cls)}"][1:]))


def _add_message(cls: type, file: FileDescriptorProto, pool: DescriptorPool, renamed: dict[str, str]) -> None:
    spec = spec_of(cls)
    assert spec is not None
    described = message_descriptor(spec)
    described.name = _free_name(spec.proto_name.path[-1], file)
    renamed[f".{spec.type_name}"] = f".{_PACKAGE}.{described.name}"
    file.message_type.append(described)
    for field in spec.fields:
        python, kind = field.type.python, field.type.kind
        if kind == "datetime":
            _add_file(Timestamp.DESCRIPTOR.file, file, pool)
        elif kind == "enum" and f".{name_of(python).full}" not in renamed:
            # In a message of its own: values of two enums may have one name.
            scope = file.message_type.add(name=_free_name("Scope", file))
            enum = enum_descriptor(python)
            enum.name = "E"
            scope.enum_type.append(enum)
            renamed[f".{name_of(python).full}"] = f".{_PACKAGE}.{scope.name}.E"
        elif kind == "message":
            nested = spec_of(python)
            if nested is None:
                _add_file(python.DESCRIPTOR.file, file, pool)  # type: ignore[attr-defined]
            elif f".{nested.type_name}" not in renamed:
                _add_message(python, file, pool, renamed)


def _free_name(name: str, file: FileDescriptorProto) -> str:
    taken = {message.name for message in file.message_type}
    return name if name not in taken else f"{name}_{len(taken)}"


def _add_file(descriptor: Any, file: FileDescriptorProto, pool: DescriptorPool) -> None:
    """Make generated types known to the pool of the new class."""
    if descriptor.name not in file.dependency:
        file.dependency.append(descriptor.name)
        _add_to_pool(descriptor, pool)


def _add_to_pool(descriptor: Any, pool: DescriptorPool) -> None:
    for needed in descriptor.dependencies:
        _add_to_pool(needed, pool)
    pool.AddSerializedFile(descriptor.serialized_pb)
