"""The message classes of this process by their full protobuf names. Nothing is ever imported by name."""

from __future__ import annotations

from covey.framework.errors import MessageTypeError
from covey.framework.messages.message_spec import MessageSpec
from covey.framework.messages.proto_name import name_of

__all__ = ["message_classes", "register", "registered"]

_specs: dict[str, MessageSpec] = {}


def register(spec: MessageSpec) -> None:
    """Make a class known by its name; the same class defined again (Jupyter, reload) replaces itself.

    Raises MessageTypeError if another class has the name.
    """
    known = _specs.get(spec.type_name)
    if known is not None and name_of(known.cls) != name_of(spec.cls):
        raise MessageTypeError(
            f"{_label(spec)} would travel as {spec.type_name!r}, which is {_label(known)} already: "
            'give one of them a name of its own, @message(name="...")'
        )
    _specs[spec.type_name] = spec


def registered(name: str) -> MessageSpec | None:
    """The message class of that full protobuf name, or None."""
    return _specs.get(name)


def message_classes() -> list[type]:
    """Every class that `message` decorated, in the order of definition."""
    return [spec.cls for spec in _specs.values()]


def _label(spec: MessageSpec) -> str:
    return f"{spec.cls.__module__}.{spec.cls.__qualname__}"
