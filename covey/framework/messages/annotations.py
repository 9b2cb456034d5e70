"""From Python annotations to field types: which travel, and what to write instead of one that does not."""

from __future__ import annotations

import collections.abc
import enum
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from types import FrameType
from typing import Any

from covey.framework.messages.enum_numbers import enum_numbers
from covey.framework.messages.message_spec import FieldType, Kind, is_generated, spec_of

__all__ = ["Scope", "field_type"]

_SCALARS: dict[type, Kind] = {
    str: "str",
    bytes: "bytes",
    bool: "bool",
    int: "int",
    float: "float",
    datetime: "datetime",
}

_INSTEAD = {
    "dict": "use a list of a message with a key and a value",
    "set": "use list[...]",
    "frozenset": "use list[...]",
    "tuple": "use list[T], or a message with one field for each position",
    "list": "say what is in it: list[str], list[Item]",
    "bytearray": "use bytes",
    "memoryview": "use bytes",
    "object": "name one type; for arbitrary data use str or bytes with an encoding of your own, such as JSON",
    "NoneType": "use Optional[T] with a type T",
    "date": "use datetime, or str in ISO format",
    "time": "use str in ISO format, or int microseconds",
    "timedelta": "use float seconds",
    "Decimal": "use str, or int in the smallest unit",
    "Fraction": "use str",
    "UUID": "use str or bytes",
    "complex": "use a message with two floats",
}


class Scope:
    """Where a class was defined: the names that its annotations may use, also those bound later.

    It keeps the defining function's frame, so drop it once the annotations are resolved.
    """

    late: bool
    """Whether an annotation contained a string, which may mean another class when it is used."""

    def __init__(self, cls: type, frame: FrameType | None = None) -> None:
        self.late = False
        self._cls = cls
        self._frames: list[FrameType] = []
        while frame is not None and frame.f_locals is not frame.f_globals:
            self._frames.append(frame)
            is_class_body = not frame.f_code.co_flags & inspect.CO_OPTIMIZED
            frame = frame.f_back if is_class_body else None

    def evaluate(self, annotation: Any) -> Any:
        """The annotation with all strings in it evaluated. Raises NameError for a name not bound yet."""
        was_late = self.late
        module = sys.modules.get(self._cls.__module__)
        holder = types.SimpleNamespace(__annotations__={"field": annotation})
        self.late = True
        names = vars(module) if module else {}
        evaluated = typing.get_type_hints(holder, names, dict(self._locals()))["field"]
        self.late = was_late or evaluated != annotation
        return evaluated

    def _locals(self) -> Mapping[str, Any]:
        names: dict[str, Any] = {}
        for frame in reversed(self._frames):
            names |= frame.f_locals
        # only classes: a field's default may bear the name of the field's type
        names |= {name: value for name, value in vars(self._cls).items() if isinstance(value, type)}
        # while a class is being redefined its name still means the old one
        names[self._cls.__name__] = self._cls
        return names


def field_type(annotation: Any) -> FieldType:
    """The field type of an evaluated annotation. Raises ValueError that says what to use instead."""
    annotation = _unwrap(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        alternatives = [_unwrap(a) for a in arguments if a is not types.NoneType]
        if len(alternatives) != 1:
            raise ValueError("a field holds one type: use one Optional field for each alternative")
        if len(alternatives) == len(arguments):
            return field_type(alternatives[0])
        if typing.get_origin(alternatives[0]) is list:
            raise ValueError(
                "protobuf cannot tell None from an empty list: use list[...] with default_factory=list"
            )
        kind, python = _one(alternatives[0])
        return FieldType(kind, "optional", python)
    if origin is list:
        item = _unwrap(arguments[0])
        if typing.get_origin(item) is list:
            raise ValueError("protobuf has no list of lists: use a list of a message that holds a list")
        if typing.get_origin(item) in (typing.Union, types.UnionType):
            raise ValueError("the items of a list have one type and are never None: use a list of a message")
        kind, python = _one(item)
        return FieldType(kind, "repeated", python)
    kind, python = _one(annotation)
    return FieldType(kind, "single", python)


def _unwrap(annotation: Any) -> Any:
    """What NewType, `type X = ...` and Annotated stand for."""
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif typing.get_origin(annotation) is typing.Annotated:
            annotation = annotation.__origin__
        else:
            return annotation


def _one(annotation: Any) -> tuple[Kind, type]:
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        if annotation in _SCALARS:
            return _SCALARS[annotation], annotation
        if issubclass(annotation, enum.Enum):
            enum_numbers(annotation)
            return "enum", annotation
        if spec_of(annotation) is not None or is_generated(annotation):
            return "message", annotation
    raise ValueError(_instead(annotation))


def _instead(annotation: Any) -> str:
    if annotation is typing.Any or isinstance(annotation, typing.TypeVar):
        return _INSTEAD["object"]
    if typing.get_origin(annotation) is typing.Literal:
        return "use an Enum"
    kind = typing.get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return "use str, bytes, bool, int, float, datetime, an Enum, a message, or Optional or list of these"
    for name in (base.__name__ for base in kind.__mro__[:-1] or (object,)):
        if name in _INSTEAD:
            return _INSTEAD[name]
    if issubclass(kind, collections.abc.Mapping):
        return _INSTEAD["dict"]
    if issubclass(kind, collections.abc.Iterable) and kind.__module__ in ("collections.abc", "collections"):
        return "use list[...]"
    return f"decorate {kind.__name__} with @message, or use a type that travels"
