"""A client's request in JSON on its way to the node of the agent, which knows the type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.errors import UndecodableError
from covey.framework.messages import codec
from covey.framework.messages.message import message

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["JsonAnswer", "JsonRequest", "message_type_of"]


@message(name="covey.v1.JsonRequest")
class JsonRequest:
    type: str
    json: bytes
    wants_answer: bool


@message(name="covey.v1.JsonAnswer")
class JsonAnswer:
    type: str
    json: bytes


def message_type_of(cell: Cell, name: str) -> type:
    """The class that a client means: a full protobuf name, or the last part of one that the agent handles.

    Raises:
        UndecodableError: there is none, or more than one; says which the agent handles.
    """
    cell.routes.resolve(final=True)
    handled = {codec.type_name(cls): cls for cls in cell.routes.message_types if codec.is_message(cls)}
    if name in handled:
        return handled[name]
    short = [full for full in handled if full.rpartition(".")[2] == name]
    if len(short) == 1:
        return handled[short[0]]
    known = codec.resolve(name)
    if known is not None:
        return known
    what = f"{name} may be {' or '.join(sorted(short))}" if short else f"{name} is no message type here"
    raise UndecodableError(f"{what}: {cell.address} handles {', '.join(sorted(handled)) or 'nothing'}")
