"""Turns a message class into two functions, `encode` and `decode`, specialised to its fields.

Their source is generated, as `dataclasses` does for `__init__`: one assignment per field between the instance
and the protobuf class of `wire_class`, and no loop over field objects. The bytes are those of the class that
protoc makes from the exported `.proto`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from covey.framework.errors import MessageTypeError, NotSerializableError, UndecodableError
from covey.framework.messages import field_values
from covey.framework.messages.message_spec import Kind, MessageField, MessageSpec
from covey.framework.messages.wire_class import wire_class

__all__ = ["FieldValueError", "install"]

# expressions over one value v of field n; a kind that is absent is taken as it is
_ENCODED: dict[Kind, str] = {
    "str": "(v if v.__class__ is str else text(v))",
    "bool": "(v if v.__class__ is bool else truth(v))",
    "float": "(v if v.__class__ is float else real(v))",
    "enum": "number{n}(v)",
    "message": "pack{n}(v)",
}
_DECODED: dict[Kind, str] = {
    "datetime": "instant(v)",
    "enum": "member{n}[v]",
    "message": "unpack{n}(v)",
}
_ENCODE_ERRORS = (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError, EncodeError)
_UNSET = object()
_REPR = reprlib.Repr()
_REPR.maxother = _REPR.maxstring = _REPR.maxlong = 80


class FieldValueError(NotSerializableError):
    """A field of a message holds a value that its type cannot carry."""

    def __init__(self, value_type: type, detail: str) -> None:
        name = f"{value_type.__module__}.{value_type.__qualname__}"
        TypeError.__init__(self, f"{name} cannot leave this process: {detail}")
        self.value_type = value_type
        self.detail = detail


def install(spec: MessageSpec) -> None:
    """Give the spec its `encode` and `decode`, compiled at the first call of either."""

    def encode(value: Any) -> bytes:
        _compile(spec)
        return spec.encode(value)

    def compile_to_decode() -> None:
        try:
            _compile(spec)
        except MessageTypeError as error:  # a forward reference that nobody defined
            raise UndecodableError(str(error)) from error

    def decode(payload: bytes) -> Any:
        compile_to_decode()
        return spec.decode(payload)

    spec.encode, spec.decode, spec.install = encode, decode, compile_to_decode


def _compile(spec: MessageSpec) -> None:
    fields = spec.fields
    wire = wire_class(fields)
    names: dict[str, Any] = {
        **{name: getattr(field_values, name) for name in field_values.__all__},
        "wire": wire,
        "parse": wire.FromString,
        "serialize": wire.SerializeToString,
        "cls": spec.cls,
        "new": object.__new__,
        "set_": object.__setattr__,
        "join": b"".join,
        "unknown": UnknownFieldSet,
        "check_unknown": _unknown_check(fields),
        "explained_already": (NotSerializableError, MessageTypeError),
        "undecodable": UndecodableError,
        "encode_errors": _ENCODE_ERRORS,
    }
    for f in fields:
        names |= _field_names(f)
    spec.encode, spec.decode = _encoder(spec, names), _decoder(spec, names)
    spec.install = None


def _encoder(spec: MessageSpec, names: dict[str, Any]) -> Callable[[Any], bytes]:
    head = ["def encode(o):", " try:", "  m = wire()"]
    tail = [
        "  return serialize(m)",
        " except explained_already:",
        "  raise",
        " except encode_errors as error:",
        "  raise explained(o, error) from error",
    ]
    fields, run = _function(head, [(f, _encode_lines(f)) for f in spec.fields], tail, names)

    def explained(value: Any, error: Exception) -> NotSerializableError:
        if isinstance(error, RecursionError):
            return FieldValueError(spec.cls, "it contains itself, or is nested too deep: send a reference")
        failed = fields.get(error.__traceback__.tb_lineno) if error.__traceback__ else None
        if failed is None:
            return FieldValueError(spec.cls, str(error))
        held = getattr(value, failed.name, _UNSET)
        shown = "unset" if held is _UNSET else _shown(held)
        return FieldValueError(
            spec.cls, f"its field {failed.name} must be {failed.type.expected()}, but is {shown}"
        )

    names["explained"] = explained
    return run


def _decoder(spec: MessageSpec, names: dict[str, Any]) -> Callable[[bytes], Any]:
    head = ["def decode(payload):", " try:", "  m = parse(payload)", "  o = new(cls)"]
    tail = [
        "  u = unknown(m)",
        "  if u: check_unknown(u)",
        *(["  o.__post_init__()"] if hasattr(spec.cls, "__post_init__") else []),
        "  return o",
        " except undecodable:",
        "  raise",
        " except Exception as error:",  # __post_init__ and default factories may raise anything
        "  raise unexplained(error) from error",
    ]
    frozen = vars(spec.cls)["__dataclass_params__"].frozen
    fields, run = _function(head, [(f, _decode_lines(f, frozen)) for f in spec.fields], tail, names)

    def unexplained(error: Exception) -> UndecodableError:
        failed = fields.get(error.__traceback__.tb_lineno) if error.__traceback__ else None
        where = f"field {failed.name}: " if failed else ""
        reason = (
            "they are no valid protobuf" if isinstance(error, DecodeError) else error or type(error).__name__
        )
        return UndecodableError(f"the bytes are no {spec.type_name} as this node knows it: {where}{reason}")

    names["unexplained"] = unexplained
    return run


def _function(
    head: list[str],
    body: list[tuple[MessageField, Iterator[str]]],
    tail: list[str],
    names: dict[str, Any],
) -> tuple[dict[int, MessageField], Callable[[Any], Any]]:
    """Compile a function of one argument; tell of each line of it which field it is about."""
    lines = list(head)
    fields: dict[int, MessageField] = {}
    for f, field_lines in body:
        for line in field_lines:
            lines.append(f"  {line}")
            fields[len(lines)] = f
    scope: dict[str, Any] = {}
    exec("\n".join(lines + tail), names, scope)
    return fields, next(iter(scope.values()))


def _encode_lines(f: MessageField) -> Iterator[str]:
    n, kind, label = f.number, f.type.kind, f.type.label
    one = _ENCODED.get(kind, "v").format(n=n)
    if label == "repeated":
        if kind == "datetime":
            yield f"for v in listed(o.{f.name}): stamp(m.f{n}.add(), v)"
        else:
            items = f"listed(o.{f.name})"
            yield f"m.f{n}.extend({items if one == 'v' else f'[{one} for v in {items}]'})"
        return
    yield f"v = o.{f.name}"
    if kind == "datetime":
        write = f"stamp(m.f{n}, v)"
    else:
        write = f"m.f{n}.append({one})" if kind == "message" else f"m.f{n} = {one}"
    yield f"if v is not None: {write}" if label == "optional" else write


def _decode_lines(f: MessageField, frozen: bool) -> Iterator[str]:
    n, kind, label = f.number, f.type.kind, f.type.label
    one = _DECODED.get(kind, "v").format(n=n)
    value = one
    if label == "repeated":
        value = f"m.f{n}[:]" if one == "v" else f"[{one} for v in m.f{n}]"
    else:
        yield f"v = m.f{n}"
        if kind == "message":
            value = f"unpack{n}(v[0] if len(v) == 1 else join(v)) if v else missing{n}()"
        elif label == "optional" or kind == "datetime":
            value = f"{one} if m.HasField('f{n}') else missing{n}()"
        elif kind == "enum":
            value = f"{one} if v else missing{n}()"
    yield f"set_(o, {f.name!r}, {value})" if frozen else f"o.{f.name} = {value}"


def _field_names(f: MessageField) -> dict[str, Any]:
    """What the lines of one field refer to."""
    n, python = f.number, f.type.python
    missing = f.default
    names: dict[str, Any] = {}
    if f.type.kind == "enum":
        members = names[f"member{n}"] = field_values.members_by_number(python)
        names[f"number{n}"] = field_values.member_to_number(python)
        missing = (lambda: members[0]) if 0 in members else missing
    elif f.type.kind == "message":
        names[f"pack{n}"] = field_values.packer(python)
        unpack = names[f"unpack{n}"] = field_values.unpacker(python)
        missing = missing or (lambda: unpack(b""))
    if f.type.label == "optional":
        names[f"missing{n}"] = lambda: None
    else:
        names[f"missing{n}"] = missing or _refuse_missing
    return names


def _refuse_missing() -> Any:
    raise ValueError("it is missing, and there is no default for it here")


def _unknown_check(fields: tuple[MessageField, ...]) -> Callable[[Iterable[Any]], None]:
    by_number = {f.number: f for f in fields}

    def check(unknown: Iterable[Any]) -> None:
        # protobuf takes a field of another wire type for an unknown one, and we would give its default
        for entry in unknown:
            known = by_number.get(entry.field_number)
            if known is not None:
                raise ValueError(
                    f"field {known.number} ({known.name}) came with another type than it has here"
                )

    return check


def _shown(value: object) -> str:
    try:
        return _REPR.repr(value)
    except ValueError:  # an int with more digits than Python prints
        return f"a very large {type(value).__name__}"
