"""Message classes as a `.proto` file, for other languages and for those who like to read one.

protoc makes from it types with the same full names and the same bytes. All types that the exported ones refer
to are in the same file, except those that protoc generated, which are imported from their own. If the types
have several packages, the file has their common part as its package, and messages stand for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

from covey.framework.errors import ConfigurationError
from covey.framework.messages.enum_numbers import enum_descriptor
from covey.framework.messages.message_descriptor import message_descriptor
from covey.framework.messages.message_spec import FieldType, is_generated, spec_of
from covey.framework.messages.proto_name import ProtoName, name_of

__all__ = ["export"]

_HEADER = "// A field's number is its meaning on the wire: never give it to another field.\n"
_TIMESTAMP_FILE = "google/protobuf/timestamp.proto"


@dataclass
class _Scope:
    """A name in the file: a message, an enum, or only what encloses other names."""

    definition: DescriptorProto | EnumDescriptorProto | None = None
    inner: dict[str, _Scope] = field(default_factory=dict)


def export(types: Iterable[type]) -> str:
    """A proto3 file with these message classes and all that they refer to.

    Raises ConfigurationError for a class that is no message, and for two classes of one name.
    """
    definitions: dict[ProtoName, type] = {}
    imports: set[str] = set()
    for cls in types:
        if spec_of(cls) is None:
            own_file = f", it has its own: {cls.DESCRIPTOR.file.name}" if is_generated(cls) else ""  # type: ignore[attr-defined]
            raise ConfigurationError(
                f"{cls.__qualname__} is no @message class{own_file}: it cannot be exported"
            )
        _collect(cls, definitions, imports)
    package = _common([name.package.split(".") for name in definitions if name.package] or [[]])
    if any(not name.package for name in definitions):
        package = []
    root = _Scope()
    for name, cls in definitions.items():
        scope = root
        for part in name.full.split(".")[len(package) :]:
            scope = scope.inner.setdefault(part, _Scope())
        scope.definition = _describe(cls)
    lines = ['syntax = "proto3";', ""]
    if package:
        lines += [f"package {'.'.join(package)};", ""]
    if imports:
        lines += [*(f'import "{file}";' for file in sorted(imports)), ""]
    for name_in_file, scope in root.inner.items():
        lines += [*_render(name_in_file, scope), ""]
    return _HEADER + "\n".join(lines)


def _collect(cls: type, definitions: dict[ProtoName, type], imports: set[str]) -> None:
    """Add a class and what it refers to, unless it is there already."""
    spec = spec_of(cls)
    if spec is None and is_generated(cls):
        imports.add(cls.DESCRIPTOR.file.name)  # type: ignore[attr-defined]
        return
    name = spec.proto_name if spec is not None else name_of(cls)
    same = next((known for known in definitions if known.full == name.full), None)
    if same is not None:
        if definitions[same] is not cls:
            raise ConfigurationError(
                f"two different classes are called {name.full}: give one of them another name, "
                'with @message(name="...") if it is a message'
            )
        return
    definitions[name] = cls
    for entry in spec.fields if spec is not None else ():
        _collect_field(entry.type, definitions, imports)


def _collect_field(type_: FieldType, definitions: dict[ProtoName, type], imports: set[str]) -> None:
    if type_.kind == "datetime":
        imports.add(_TIMESTAMP_FILE)
    elif type_.kind in ("enum", "message"):
        _collect(type_.python, definitions, imports)


def _describe(cls: type) -> DescriptorProto | EnumDescriptorProto:
    spec = spec_of(cls)
    return message_descriptor(spec) if spec is not None else enum_descriptor(cls)


def _common(paths: Sequence[Sequence[str]]) -> list[str]:
    """The longest common beginning."""
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return common


def _render(name: str, scope: _Scope) -> Iterator[str]:
    if isinstance(scope.definition, EnumDescriptorProto):
        yield f"enum {name} {{"
        for value in scope.definition.value:
            yield f"  {value.name} = {value.number};"
    else:
        yield f"message {name} {{"
        for inner_name, inner in scope.inner.items():
            for line in _render(inner_name, inner):
                yield f"  {line}"
        if scope.definition is not None:
            for entry in scope.definition.field:
                yield f"  {_render_field(entry)}"
    yield "}"


def _render_field(entry: FieldDescriptorProto) -> str:
    label = "optional " if entry.proto3_optional else ""
    if entry.label == FieldDescriptorProto.LABEL_REPEATED:
        label = "repeated "
    type_ = entry.type_name or FieldDescriptorProto.Type.Name(entry.type).removeprefix("TYPE_").lower()
    return f"{label}{type_} {entry.name} = {entry.number};"
