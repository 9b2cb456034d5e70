"""What Covey knows of one `message` class: its name, its fields, and how it becomes bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.message import Message

from covey.framework.messages.proto_name import ProtoName

__all__ = ["FieldType", "MessageField", "MessageSpec", "is_generated", "spec_of"]

Kind = Literal["str", "bytes", "bool", "int", "float", "datetime", "enum", "message"]
Label = Literal["single", "optional", "repeated"]

_EXPECTED: dict[Kind, str] = {
    "str": "a str that UTF-8 can encode",
    "bytes": "bytes",
    "bool": "True or False",
    "int": "an int from -2**63 to 2**63 - 1",
    "float": "a float, or a number that a float holds exactly",
    "datetime": "a datetime with a time zone, in the years 1 to 9999 and in whole microseconds",
}


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field."""

    kind: Kind
    label: Label
    python: type
    """The type of one value: `str`, a message class, an enum."""

    def expected(self) -> str:
        """What a value must be, for error messages."""
        if self.kind == "enum":
            one = f"a member of {self.python.__qualname__}"
        elif self.kind == "message":
            one = f"an instance of {self.python.__qualname__} itself, no subclass"
        else:
            one = _EXPECTED[self.kind]
        if self.label == "repeated":
            return f"a list in which each item is {one}"
        return f"{one}, or None" if self.label == "optional" else one


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field of a message."""

    name: str
    number: int
    type: FieldType
    default: Callable[[], Any] | None
    """Makes the dataclass default; None where the constructor demands a value."""


class MessageSpec:
    """One message class. `encode` and `decode` are made at first use, when all its types are known."""

    __slots__ = ("_fields", "_resolve", "cls", "decode", "encode", "install", "proto_name", "type_name")

    encode: Callable[[Any], bytes]
    """Raises NotSerializableError for a field whose value its type cannot hold."""
    decode: Callable[[bytes], Any]
    """Raises UndecodableError and nothing else."""

    def __init__(
        self, cls: type, proto_name: ProtoName, resolve: Callable[[], tuple[MessageField, ...]]
    ) -> None:
        self.cls = cls
        self.proto_name = proto_name
        self.type_name = proto_name.full
        self._resolve: Callable[[], tuple[MessageField, ...]] | None = resolve
        self._fields: tuple[MessageField, ...] = ()
        self.install: Callable[[], None] | None = None
        """Makes `encode` and `decode`; None once they are made.

        Raises UndecodableError for an annotation that nobody has defined."""

    def compile(self) -> None:
        """Make `encode` and `decode` now, unless they are made."""
        if self.install is not None:
            self.install()

    @property
    def fields(self) -> tuple[MessageField, ...]:
        """The fields, base classes first. Raises MessageTypeError while an annotation is unknown."""
        resolve = self._resolve
        if resolve is not None:
            self._fields = resolve()
            self._resolve = None
        return self._fields


def spec_of(cls: type) -> MessageSpec | None:
    """The spec of a class that `message` itself decorated; None for others, its subclasses included."""
    spec = getattr(cls, "__covey_message__", None)
    return spec if isinstance(spec, MessageSpec) and spec.cls is cls else None


def is_generated(cls: type) -> bool:
    """Whether the class is a message that protoc generated (a `_pb2` class)."""
    return issubclass(cls, Message) and getattr(cls, "DESCRIPTOR", None) is not None
