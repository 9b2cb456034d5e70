"""Single values on their way into and out of protobuf: what protobuf would bend silently is refused here.

Every function raises TypeError or ValueError for a value that would not come back as it was.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from covey.framework.errors import MessageTypeError
from covey.framework.messages.enum_numbers import enum_numbers
from covey.framework.messages.message_spec import MessageSpec, spec_of

__all__ = [
    "instant",
    "listed",
    "member_to_number",
    "members_by_number",
    "packer",
    "real",
    "stamp",
    "text",
    "truth",
    "unpacker",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
MAX_DEPTH = 100
_NANOS = range(1_000_000_000)


class Stamp(Protocol):
    """A protobuf message with the fields of google.protobuf.Timestamp."""

    seconds: int
    nanos: int

    def SetInParent(self) -> None: ...


def text(value: Any) -> str:
    """A str; protobuf would take bytes for one."""
    if not isinstance(value, str):
        raise TypeError("not a str")
    return value


def truth(value: Any) -> bool:
    """A bool; protobuf would take any int for one."""
    if not isinstance(value, bool):
        raise TypeError("not a bool")
    return value


def real(value: Any) -> float:
    """A float of the same value."""
    number = float(value)
    if number != value and value == value:
        raise ValueError("no float has this value")
    return number


def listed(value: Any) -> list[Any]:
    """A list; protobuf would take a str for a list of its characters."""
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def stamp(target: Stamp, value: Any) -> None:
    """Write an aware datetime as a Timestamp."""
    if value.utcoffset() is None:
        raise ValueError("a datetime without a time zone: use datetime.now(UTC) or .astimezone()")
    if getattr(value, "nanosecond", 0):
        raise ValueError("a datetime carries whole microseconds, not nanoseconds")
    since = value.astimezone(UTC) - _EPOCH
    target.seconds = since.days * _DAY_S + since.seconds
    target.nanos = since.microseconds * 1000
    target.SetInParent()


def instant(source: Stamp) -> datetime:
    """The datetime of a Timestamp, in UTC."""
    nanos = source.nanos
    if nanos not in _NANOS or nanos % 1000:
        raise ValueError(
            f"its {nanos} nanoseconds are no whole microseconds, and a datetime holds nothing finer"
        )
    return _EPOCH + timedelta(seconds=source.seconds, microseconds=nanos // 1000)


class MembersByNumber(dict[int, enum.Enum]):
    """The members of an enum by protobuf number; an unknown number is a ValueError with a reason."""

    def __init__(self, kind: type[enum.Enum]) -> None:
        super().__init__((number, kind[name]) for name, number in enum_numbers(kind).items())
        self._kind = kind

    def __missing__(self, number: int) -> enum.Enum:
        kind = self._kind
        raise ValueError(
            f"no member of {kind.__qualname__} has the number {number}: "
            f"the sender's version of {kind.__module__} is probably newer than this node's"
        )


def members_by_number(kind: type[enum.Enum]) -> MembersByNumber:
    """Decodes the enum."""
    return MembersByNumber(kind)


def member_to_number(kind: type[enum.Enum]) -> Callable[[Any], int]:
    """Encodes the enum."""
    numbers = enum_numbers(kind)

    def number_of(value: Any) -> int:
        if not isinstance(value, kind):
            raise TypeError("not a member")
        return numbers[value.name]

    return number_of


def packer(cls: Any) -> Callable[[Any], bytes]:
    """Encodes a nested message; an instance of a subclass would lose its own fields, so it is refused."""
    spec = spec_of(cls)

    def pack(value: Any) -> bytes:
        if value.__class__ is not cls:
            raise TypeError("another class")
        return spec.encode(value) if spec is not None else value.SerializeToString()

    return pack


def unpacker(cls: Any) -> Callable[[bytes], Any]:
    """Decodes a nested message."""
    spec = spec_of(cls)
    if spec is None:
        generated: Callable[[bytes], Any] = cls.FromString
        return generated

    # late, because the spec's decode replaces itself when it is compiled
    def unpack(payload: bytes) -> Any:
        return spec.decode(payload)

    return _bounded(unpack) if _may_hold_itself(spec) else unpack


class _Depth(threading.local):
    """How deep the message is nested that this thread decodes."""

    value = 0


_DEPTH = _Depth()


def _bounded(unpack: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Only as deep as protobuf itself goes: each level reads all below it, so a deep one takes long."""

    def unpack_bounded(payload: bytes) -> Any:
        if _DEPTH.value >= MAX_DEPTH:
            raise ValueError(f"messages are nested in it more than {MAX_DEPTH} deep")
        _DEPTH.value += 1
        try:
            return unpack(payload)
        finally:
            _DEPTH.value -= 1

    return unpack_bounded


def _may_hold_itself(spec: MessageSpec) -> bool:
    seen: set[str] = set()
    waiting = [spec]
    while waiting:
        try:
            fields = waiting.pop().fields
        except MessageTypeError:
            return True  # what it holds is not known yet
        for held in (spec_of(field.type.python) for field in fields if field.type.kind == "message"):
            if held is spec:
                return True
            if held is not None and held.type_name not in seen:
                seen.add(held.type_name)
                waiting.append(held)
    return False
