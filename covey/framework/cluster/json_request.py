"""A client's request in JSON on its way to the node of the agent, which knows the type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.cluster.failures import unpack_failure
from covey.framework.errors import UndecodableError
from covey.framework.messages import codec
from covey.framework.messages.message import message

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.cluster.outside_port import OutsidePort

__all__ = ["JsonAnswer", "JsonPort", "JsonRequest", "message_type_of"]


@message(name="covey.v1.JsonRequest")
class JsonRequest:
    type: str
    json: bytes
    wants_answer: bool


@message(name="covey.v1.JsonAnswer")
class JsonAnswer:
    type: str
    json: bytes


class JsonPort:
    """Answers a client in JSON once the agent's node has; nobody, where the client waits for nothing."""

    __slots__ = ("_port", "deadline", "timeout_s")

    def __init__(self, port: OutsidePort | None, deadline: float, timeout_s: float) -> None:
        self._port = port
        self.deadline: float | None = deadline
        self.timeout_s = timeout_s

    def fail(self, error: BaseException) -> bool:
        return self._port is not None and self._port.fail(error)

    def fail_with(self, failure: bytes) -> bool:
        return self.fail(unpack_failure(failure))

    def resolve_with(self, type_name: str, payload: bytes) -> bool:
        if self._port is None:
            return False
        try:
            answer = codec.decode(type_name, payload)
        except UndecodableError as error:
            return self._port.fail(error)
        if not isinstance(answer, JsonAnswer):
            return self._port.fail(UndecodableError(f"{type_name} came instead of an answer in JSON"))
        return self._port.resolve_with(answer.type, answer.json)


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
