"""Asks to other nodes that wait for their answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.errors import AgentDeadError

if TYPE_CHECKING:
    from covey.framework.reply import Reply

__all__ = ["PendingReplies", "gone"]


class PendingReplies:
    """By number; each leaves when it resolves, at its deadline at the latest. From any thread."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[Reply[Any], str]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def new_id(self) -> int:
        """A number that no other ask of this node has."""
        return next(self._ids)

    def add(self, message_id: int, reply: Reply[Any], destination: str, cancel: Callable[[], None]) -> None:
        """Wait for the answer of a node; `cancel` tells it that nobody waits any more."""
        self._pending[message_id] = (reply, destination)

        def settled() -> None:
            self._pending.pop(message_id, None)

        reply.add_done_callback(settled)
        reply._on_cancel = lambda _reply: cancel()

    def get(self, message_id: int) -> Reply[Any] | None:
        """The reply that waits for this answer; None when it waits no longer."""
        entry = self._pending.get(message_id)
        return None if entry is None else entry[0]

    def node_left(self, name: str, why: str) -> None:
        """No answer will come from there."""
        for reply, destination in list(self._pending.values()):
            if destination == name:
                reply.fail(gone(reply.target, name, why))

    def close(self, why: str) -> None:
        """This node leaves: no answer will come any more."""
        for reply, _destination in list(self._pending.values()):
            reply.fail(AgentDeadError(reply.target, why))


def gone(target: str, name: str, why: str) -> AgentDeadError:
    """The error of an ask whose node has left."""
    return AgentDeadError(target, f"its node {name} is gone ({why})")
