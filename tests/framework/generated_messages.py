"""Hypothesis strategies: message classes with fields of every kind, and values of them."""

from __future__ import annotations

import enum
import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Optional

from google.protobuf.message import Message
from hypothesis import strategies as st

from covey.framework.messages.message import field, message
from covey.framework.messages.message_spec import FieldType, spec_of
from covey.framework.proto import envelope_pb2

_serial = itertools.count()

_text = st.text(st.characters(codec="utf-8"), max_size=20)
_zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
_datetimes = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=_zones)


def generated_enum(values: list[Any]) -> type[enum.Enum]:
    """A new enum with these values."""
    kind: type[enum.Enum] = enum.Enum(f"Kind{next(_serial)}", {f"M{i}": v for i, v in enumerate(values)})
    return kind


_enums = st.one_of(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4, unique=True).map(generated_enum),
    st.lists(_text, min_size=1, max_size=4, unique=True).map(generated_enum),
)


@st.composite
def message_classes(draw: st.DrawFn, depth: int = 2, generated: bool = True, min_fields: int = 0) -> type:
    """A message class with `min_fields` to 6 fields; with `generated`, some of them hold `_pb2` messages."""
    kinds: list[Any] = [st.sampled_from([str, bytes, bool, int, float, datetime]), _enums]
    if generated:
        kinds.append(st.just(envelope_pb2.Schema))
    if depth:
        kinds.append(message_classes(depth=depth - 1, generated=generated))
    numbers = draw(st.lists(st.integers(1, 15_000), min_size=min_fields, max_size=6, unique=True))
    namespace: dict[str, Any] = {"__annotations__": {}}
    for i, number in enumerate(numbers):
        one = draw(st.one_of(kinds))
        namespace["__annotations__"][f"field_{i}"] = draw(st.sampled_from([one, Optional[one], list[one]]))  # noqa: UP045
        if draw(st.booleans()) or len(numbers) > 3:
            namespace[f"field_{i}"] = field(number=number)
    name = f"Generated{next(_serial)}"
    taken = {f.metadata["covey.number"] for n, f in namespace.items() if n != "__annotations__"}
    for position, key in enumerate(namespace["__annotations__"], start=1):
        if key not in namespace and position in taken:
            namespace[key] = field(number=20_000 + position)
    return message(frozen=draw(st.booleans()))(type(name, (), namespace))


def values_of(cls: type, depth: int = 4) -> st.SearchStrategy[Any]:
    """Instances of a message class, nested at most so deep where the class allows it."""
    spec = spec_of(cls)
    assert spec is not None
    return st.builds(cls, **{f.name: _values(f.type, depth) for f in spec.fields})


def _values(type_: FieldType, depth: int) -> st.SearchStrategy[Any]:
    if type_.kind == "message" and type_.label != "single" and not depth:
        return st.builds(list) if type_.label == "repeated" else st.none()
    one = _one(type_, depth)
    if type_.label == "repeated":
        return st.lists(one, max_size=4)
    return st.none() | one if type_.label == "optional" else one


def _one(type_: FieldType, depth: int) -> st.SearchStrategy[Any]:
    if type_.kind == "message":
        if issubclass(type_.python, Message):
            return st.builds(envelope_pb2.Schema, type=_text, descriptor=st.binary(max_size=20))
        return values_of(type_.python, depth - 1)
    if type_.kind == "enum":
        return st.sampled_from(list(type_.python))
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "str": _text,
        "bytes": st.binary(max_size=20),
        "bool": st.booleans(),
        "int": st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
        "float": st.floats(allow_nan=False),
        "datetime": _datetimes | st.just(datetime(1970, 1, 1, tzinfo=UTC)),
    }
    return scalars[type_.kind]
