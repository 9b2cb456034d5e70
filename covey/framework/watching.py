"""Death watch: `ref.watch()` tells of an agent's end, once, wherever it lives."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from covey.framework.errors import AgentDeadError
from covey.framework.messages.message import message
from covey.framework.reply import Reply
from covey.framework.state import STOPPED

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cell import Cell
    from covey.framework.envelope import ReplyPort

__all__ = ["Terminated", "end_watches", "notify_watches", "watch_here", "watch_of"]

_LOCK = threading.RLock()


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.RLock()  # a thread of the parent may have held it at the fork


os.register_at_fork(after_in_child=_renew_lock)


@message
class Terminated:
    """An agent that was watched has ended for good: a restart, a move and passivation are no end."""

    address: str
    reason: str
    """`stopped`, `failed: ...`, or why nothing is known of it any more."""


def watch_of(watcher: Cell | None, target: Address) -> tuple[Reply[Terminated], bool]:
    """The reply of a watch, and whether it is a new one: an agent watches another once at a time.

    A watcher gets the `Terminated` as a message as well.
    """
    if watcher is None:
        return Reply(target, message_type="watch"), True
    with _LOCK:
        if watcher.watching is None:
            watcher.watching = {}
        known = watcher.watching.get(target)
        if known is not None:
            return known, False
        reply = watcher.watching[target] = Reply[Terminated](target, message_type="watch")
    reply.add_done_callback(lambda: _tell(watcher, target, reply))
    if watcher.state == STOPPED:
        end_watches(watcher)
    return reply, True


def watch_here(cell: Cell, reply: Reply[Any] | ReplyPort) -> None:
    """Resolve the reply, or another node's reply port, when the agent of this node ends."""
    with _LOCK:
        if cell.watches is None:
            cell.watches = []
        cell.watches.append(reply)
    if isinstance(reply, Reply):
        reply._on_cancel = lambda reply: _forget(cell, reply)
    if cell.state == STOPPED:
        notify_watches(cell, "stopped")


def notify_watches(cell: Cell, reason: str) -> None:
    """An agent has ended: tell those who watch it."""
    with _LOCK:
        watches, cell.watches = cell.watches, None
    if watches:
        told = Terminated(address=str(cell.address), reason=reason)
        for reply in watches:
            reply.resolve(told)


def end_watches(watcher: Cell) -> None:
    """A watcher has ended: it is told nothing any more."""
    with _LOCK:
        watching, watcher.watching = watcher.watching, None
    for reply in (watching or {}).values():
        reply.cancel()


def _forget(cell: Cell, reply: Any) -> None:
    with _LOCK:
        if cell.watches is not None and reply in cell.watches:
            cell.watches.remove(reply)


def _tell(watcher: Cell, target: Address, reply: Reply[Terminated]) -> None:
    with _LOCK:
        if watcher.watching is None or watcher.watching.pop(target, None) is None:
            return
    error = reply.error()
    if error is None:
        watcher.put((reply.get(), target))
    elif isinstance(error, AgentDeadError):  # its node is gone
        watcher.put((Terminated(address=str(target), reason=error.reason), target))
