"""How the members of a Python enum become protobuf numbers.

If every value is an int, the values are the numbers, and a 0 that is missing is added to the `.proto` as
`<ENUM>_UNSPECIFIED`, because proto3 demands one. Otherwise members number from 0 in the order of their
definition: append new ones at the end. What cannot be mapped without loss is refused.
"""

from __future__ import annotations

import enum
import re

from google.protobuf.descriptor_pb2 import EnumDescriptorProto

from covey.framework.messages.proto_name import distinct, identifier

__all__ = ["enum_descriptor", "enum_numbers"]

_INT32 = range(-(2**31), 2**31)


def enum_numbers(kind: type[enum.Enum]) -> dict[str, int]:
    """Python member name to protobuf number, in the order of definition.

    Raises ValueError, with what to do instead, for an enum that has no equivalent.
    """
    if issubclass(kind, enum.Flag):
        raise ValueError(
            "a Flag may hold combinations that no protobuf enum has: use int, or list of an Enum"
        )
    members = list(kind)
    if not members:
        raise ValueError("the enum has no members: give it at least one")
    if not all(isinstance(m.value, int) and not isinstance(m.value, bool) for m in members):
        return {member.name: position for position, member in enumerate(members)}
    too_large = [m.name for m in members if m.value not in _INT32]
    if too_large:
        raise ValueError(
            f"{too_large[0]} does not fit the 32 bits of a protobuf enum: use int, or smaller values"
        )
    return {member.name: int(member.value) for member in members}


def enum_descriptor(kind: type[enum.Enum]) -> EnumDescriptorProto:
    """The enum as protobuf describes it: 0 first, then in the order of definition."""
    numbers = enum_numbers(kind)
    name = identifier(kind.__name__)
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
    named = sorted(numbers.items(), key=lambda item: item[1] != 0)
    if 0 not in numbers.values():
        named.insert(0, ("UNSPECIFIED", 0))
    descriptor = EnumDescriptorProto(name=name)
    for value_name, number in distinct(named):
        descriptor.value.add(name=f"{prefix}_{value_name}", number=number)
    return descriptor
