"""Asks to other nodes that wait for their answers."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Container
from itertools import islice
from typing import TYPE_CHECKING, Any

from covey.framework.errors import AgentDeadError, PermissionDeniedError

if TYPE_CHECKING:
    from covey.framework.reply import Reply

__all__ = ["PendingReplies", "gone"]

DEBTS_SEEN = 64


class PendingReplies:
    """By number; each leaves when it resolves, at its deadline at the latest. From any thread."""

    def __init__(self) -> None:
        # Not from 1: who is asked learns a number, and must not guess those of others.
        self._ids = itertools.count(secrets.randbits(40) + 1)
        self._pending: dict[int, tuple[Reply[Any], str]] = {}
        self._newest = 0
        """Of the debts that the last call has seen."""

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

    def debtors(self) -> set[str]:
        """The nodes that owe the oldest answers, if those were due at the last call already."""
        try:
            oldest = list(islice(self._pending.items(), DEBTS_SEEN))
        except RuntimeError:  # another thread asked just now
            return set()
        newest, self._newest = self._newest, max((number for number, _ in oldest), default=0)
        return {destination for number, (_, destination) in oldest if number <= newest}

    def node_left(self, name: str, why: str, spared: Container[int] = ()) -> None:
        """No answer will come from there; the replies spared, by their ids, are asked for elsewhere."""
        for message_id, (reply, destination) in list(self._pending.items()):
            if destination != name:
                continue
            if id(reply) in spared:
                self._pending.pop(message_id, None)
            else:
                reply.fail(gone(reply.target, name, why))

    def denied(self, error: PermissionDeniedError) -> None:
        """The server lets nothing out to the error's node."""
        for reply, destination in list(self._pending.values()):
            if destination == error.node:
                reply.fail(PermissionDeniedError(error.subject, error.detail, node=error.node))

    def close(self, why: str) -> None:
        """This node leaves: no answer will come any more."""
        for reply, _destination in list(self._pending.values()):
            reply.fail(AgentDeadError(reply.target, why))


def gone(target: str, name: str, why: str) -> AgentDeadError:
    """The error of an ask whose node has left."""
    return AgentDeadError(target, f"its node {name} is gone ({why})")
