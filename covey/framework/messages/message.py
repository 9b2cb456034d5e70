"""`message`: a dataclass that travels as protobuf, without protoc.

    @message
    class Order:
        sku: str
        amount: int
        note: str | None = None
        lines: list[Line] = field(default_factory=list)

Fields may be str, bytes, bool, int (64 bits), float, datetime, Enum, another message, a generated `_pb2`
message, and Optional or list of these. A datetime needs a time zone and comes back in UTC; a naive one is
refused when it is sent, because two machines would read it differently. `Optional` keeps None apart from 0.
`__post_init__` runs after decoding too, so it must leave decoded values as they are.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, TypeVar, dataclass_transform, overload

from covey.framework.errors import MessageTypeError
from covey.framework.messages import message_codec
from covey.framework.messages.annotations import Scope, field_type
from covey.framework.messages.message_registry import register
from covey.framework.messages.message_spec import FieldType, MessageField, MessageSpec, spec_of
from covey.framework.messages.proto_name import ProtoName, name_of

__all__ = ["field", "message"]

T = TypeVar("T")
_NUMBER = "covey.number"
_LARGEST_NUMBER = 2**29 - 1
_RESERVED = range(19_000, 20_000)


@overload
def field(*, number: int | None = None, default: T) -> T: ...
@overload
def field(*, number: int | None = None, default_factory: Callable[[], T]) -> T: ...
@overload
def field(*, number: int | None = None) -> Any: ...
def field(
    *,
    number: int | None = None,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
) -> Any:
    """A message field with a protobuf number, a default, or both.

    Without a number a field has its position, from 1, base classes first. Give numbers when a field is
    removed or inserted: a number keeps its meaning forever.
    """
    metadata = {} if number is None else {_NUMBER: number}
    if default_factory is not dataclasses.MISSING:
        if default is not dataclasses.MISSING:
            raise MessageTypeError("field() takes default= or default_factory=, not both")
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@overload
@dataclass_transform(field_specifiers=(field, dataclasses.field))
def message(cls: type[T], /) -> type[T]: ...
@overload
@dataclass_transform(field_specifiers=(field, dataclasses.field))
def message(*, name: str | None = None, frozen: bool = False) -> Callable[[type[T]], type[T]]: ...
def message(cls: type | None = None, /, *, name: str | None = None, frozen: bool = False) -> Any:
    """Make a class a dataclass that travels as protobuf.

    `name` is its full protobuf name, by default its module and qualified name. `frozen` makes instances
    immutable and hashable, as in `dataclasses.dataclass`. A class that is a dataclass already stays as it is.

    Raises MessageTypeError, naming the class, the field and the way out, for what cannot travel, and for
    the name of another class.
    """
    frame = sys._getframe(1)
    if cls is not None:
        return _define(cls, name, frozen, frame)
    return lambda decorated: _define(decorated, name, frozen, frame)


def _define(cls: type, name: str | None, frozen: bool, frame: FrameType) -> type:
    if not isinstance(cls, type):
        raise MessageTypeError(f"@message decorates classes, {cls!r} is none")
    if "__init__" in vars(cls) and "__dataclass_params__" not in vars(cls):
        raise MessageTypeError(
            f"{_label(cls)} cannot become a message: it has an __init__ of its own, and what that sets would "
            "not travel: declare its fields with annotations (and defaults, or __post_init__) instead"
        )
    try:
        proto_name = ProtoName.parse(name) if name is not None else name_of(cls)
        if "__dataclass_params__" not in vars(cls):
            dataclasses.dataclass(frozen=frozen)(cls)
        object.__new__(cls)  # decoding makes instances this way
    except (TypeError, ValueError) as error:
        raise MessageTypeError(f"{_label(cls)} cannot become a message: {error}") from error
    numbers = _numbers(cls)
    scope = Scope(cls, frame)
    spec = MessageSpec(cls, proto_name, lambda: _resolve(cls, numbers, scope))
    message_codec.install(spec)
    cls.__covey_message__ = spec  # type: ignore[attr-defined]
    try:
        _resolve(cls, numbers, scope, later=True)
        register(spec)
    except MessageTypeError:
        del cls.__covey_message__  # type: ignore[attr-defined]
        raise
    if not scope.late:
        scope = Scope(cls)  # lets go of the frame
    return cls


def _label(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _numbers(cls: type) -> Mapping[str, int]:
    """Field name to number. Raises MessageTypeError for numbers that protobuf refuses."""
    for pseudo in vars(cls)["__dataclass_fields__"].values():
        if pseudo._field_type is dataclasses._FIELD_INITVAR:  # type: ignore[attr-defined]
            raise MessageTypeError(
                f"{_label(cls)}.{pseudo.name} is an InitVar, which does not travel: make it a field"
            )
    numbers: dict[str, int] = {}
    for position, entry in enumerate(dataclasses.fields(cls), start=1):
        number = entry.metadata.get(_NUMBER, position)
        where = f"{_label(cls)}.{entry.name}"
        if type(number) is not int or not 1 <= number <= _LARGEST_NUMBER:
            raise MessageTypeError(
                f"{where} has the number {number!r}: use an int from 1 to {_LARGEST_NUMBER}"
            )
        if number in _RESERVED:
            raise MessageTypeError(f"{where} has the number {number}: protobuf reserves 19000 to 19999")
        taken = next((other for other, used in numbers.items() if used == number), None)
        if taken is not None:
            raise MessageTypeError(
                f"{where} and {taken} have the same number {number}: "
                "give one of them another with field(number=n)"
            )
        numbers[entry.name] = number
    return numbers


def _resolve(
    cls: type, numbers: Mapping[str, int], scope: Scope, *, later: bool = False
) -> tuple[MessageField, ...]:
    """The fields with their types. With `later`, names that are not bound yet are left out."""
    resolved: list[MessageField] = []
    for entry in dataclasses.fields(cls):
        try:
            type_ = _type_of(cls, entry, scope, later=later)
        except (AttributeError, NameError) as error:
            if later:
                continue
            raise MessageTypeError(
                f"{_label(cls)}.{entry.name}: {entry.type} is unknown: {error}: define or import it, in the "
                "module or function that defines the message, before the message is first used"
            ) from error
        except (SyntaxError, TypeError, ValueError) as error:
            if isinstance(error, MessageTypeError):
                raise
            raise MessageTypeError(
                f"{_label(cls)}.{entry.name}: {_spelled(entry.type)} cannot travel: {error}"
            ) from error
        if type_ is not None:
            name = entry.name
            resolved.append(MessageField(name, numbers[name], type_, _default(entry)))
    return tuple(resolved)


def _type_of(cls: type, entry: dataclasses.Field[Any], scope: Scope, *, later: bool) -> FieldType | None:
    """The type of a field, by the names that the class which declares it sees; None if that is for later."""
    owner = [c for c in cls.__mro__ if vars(c).get("__dataclass_fields__", {}).get(entry.name) is entry][-1]
    base = spec_of(owner) if owner is not cls else None
    if base is not None:
        return None if later else next(f.type for f in base.fields if f.name == entry.name)
    return field_type((scope if owner is cls else Scope(owner)).evaluate(entry.type))


def _spelled(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not hasattr(annotation, "__args__")
    return annotation.__qualname__ if plain else str(annotation)


def _default(entry: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory
    default = entry.default
    return None if default is dataclasses.MISSING else lambda: default
