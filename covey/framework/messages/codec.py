"""Messages to a type name and bytes, and back. Nothing is pickled, and nothing is imported by name.

What travels: instances of classes that `message` decorated, instances of generated `_pb2` messages, and None,
which travels as google.protobuf.Empty.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, EncodeError, Message

from covey.framework.errors import NotSerializableError, UndecodableError
from covey.framework.messages.message_registry import registered
from covey.framework.messages.message_spec import is_generated, spec_of

__all__ = ["decode", "decoder", "encode", "is_message", "resolve", "type_name"]

_EMPTY = "google.protobuf.Empty"


def is_message(value_or_type: object) -> bool:
    """Whether `encode` takes values of this type: a message, a generated message, or None."""
    kind = value_or_type if isinstance(value_or_type, type) else type(value_or_type)
    return kind is NoneType or spec_of(kind) is not None or is_generated(kind)


def type_name(value_or_type: object) -> str:
    """The full protobuf name; of what is no message, its Python module and qualified name."""
    kind = value_or_type if isinstance(value_or_type, type) else type(value_or_type)
    try:
        spec = kind.__covey_message__  # type: ignore[attr-defined]
        if spec.cls is kind:
            name: str = spec.type_name
            return name
    except AttributeError:
        if kind is NoneType:
            return _EMPTY
        if issubclass(kind, Message) and is_generated(kind):
            return kind.DESCRIPTOR.full_name
    return f"{kind.__module__}.{kind.__qualname__}"


def encode(value: Any) -> tuple[str, bytes]:
    """The type name and the bytes of a message.

    Raises NotSerializableError for a value that is no message, or with a field that its type cannot hold.
    """
    kind = type(value)
    try:
        spec = kind.__covey_message__
    except AttributeError:
        return _encode_other(value)
    if spec.cls is not kind:
        raise NotSerializableError(kind, f"it inherits from the message {spec.type_name} but is none itself")
    return spec.type_name, spec.encode(value)


def _encode_other(value: Any) -> tuple[str, bytes]:
    if value is None:
        return _EMPTY, b""
    if not isinstance(value, Message):
        raise NotSerializableError(type(value))
    try:
        return value.DESCRIPTOR.full_name, value.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise NotSerializableError(type(value), str(error)) from error


def decode(name: str, payload: bytes) -> Any:
    """The message of that type name in those bytes; None for google.protobuf.Empty.

    Raises UndecodableError, and nothing else, for a type that no module imported here defines, for bytes that
    are no such message, and for values that would differ from what was sent.
    """
    spec = registered(name)
    return decoder(name)(payload) if spec is None else spec.decode(payload)


def decoder(name: str) -> Callable[[bytes], Any]:
    """What `decode` does for one type; for many messages of it.

    Raises UndecodableError for a type that no module imported here defines.
    """
    spec = registered(name)
    if spec is not None:
        spec.compile()
        return spec.decode
    cls = Empty if name == _EMPTY else _generated(name)
    if cls is None:
        module = name.rpartition(".")[0]
        hint = f" (probably {module!r})" if module else ""
        raise UndecodableError(
            f"no message type {name!r} is known on this node: import the module that defines it{hint} here"
        )

    def decode_generated(payload: bytes) -> Any:
        try:
            message = cls.FromString(payload)
        except (DecodeError, TypeError, ValueError) as error:
            raise UndecodableError(f"the bytes are no {name}: they are no valid protobuf") from error
        return None if cls is Empty else message

    return decode_generated


def resolve(name: str) -> type | None:
    """The class of that type name, if its module was imported here; NoneType for google.protobuf.Empty."""
    spec = registered(name)
    if spec is not None:
        return spec.cls
    return NoneType if name == _EMPTY else _generated(name)


def _generated(name: str) -> type[Message] | None:
    """A `_pb2` class: importing its module put it into the default pool."""
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    except (KeyError, TypeError, ValueError):
        return None
    return message_factory.GetMessageClass(descriptor)
