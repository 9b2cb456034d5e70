"""The protobuf descriptor of one message class, as protoc would make it from the exported `.proto`."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from covey.framework.messages.message_spec import FieldType, Kind, MessageSpec, spec_of
from covey.framework.messages.proto_name import distinct, name_of

__all__ = ["TIMESTAMP", "message_descriptor"]

TIMESTAMP = "google.protobuf.Timestamp"

_TYPE: dict[Kind, FieldDescriptorProto.Type.ValueType] = {
    "str": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int": FieldDescriptorProto.TYPE_INT64,
    "float": FieldDescriptorProto.TYPE_DOUBLE,
    "datetime": FieldDescriptorProto.TYPE_MESSAGE,
    "enum": FieldDescriptorProto.TYPE_ENUM,
    "message": FieldDescriptorProto.TYPE_MESSAGE,
}


def message_descriptor(spec: MessageSpec) -> DescriptorProto:
    """Describe the message without what it refers to. Raises MessageTypeError for an unknown annotation."""
    message = DescriptorProto(name=spec.proto_name.path[-1])
    names = [name for name, _ in distinct((field.name, field.number) for field in spec.fields)]
    for field, name in zip(spec.fields, names, strict=True):
        entry = message.field.add(name=name, number=field.number, type=_TYPE[field.type.kind])
        repeated = field.type.label == "repeated"
        entry.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        referred = _type_name(field.type)
        if referred:
            entry.type_name = f".{referred}"
        if field.type.label == "optional":
            entry.proto3_optional = True
            entry.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=_synthetic_oneof(name, names))
    return message


def _synthetic_oneof(field: str, fields: list[str]) -> str:
    """The name by protoc's rule."""
    name = field if field.startswith("_") else f"_{field}"
    while name in fields:
        name = f"X{name}"
    return name


def _type_name(type_: FieldType) -> str:
    if type_.kind == "datetime":
        return TIMESTAMP
    if type_.kind == "enum":
        return name_of(type_.python).full
    if type_.kind == "message":
        spec = spec_of(type_.python)
        return spec.type_name if spec is not None else str(type_.python.DESCRIPTOR.full_name)  # type: ignore[attr-defined]
    return ""
