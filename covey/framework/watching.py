"""Death watch: `ref.watch()` tells of an agent's end, once, wherever it lives."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from covey.framework.errors import AgentDeadError
from covey.framework.reply import Reply
from covey.framework.state import STOPPED
from covey.framework.terminated import Terminated

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cell import Cell
    from covey.framework.envelope import ReplyPort

__all__ = [
    "end_watches",
    "move_watches",
    "notify_watches",
    "relay",
    "unwatch",
    "watch_elsewhere",
    "watch_here",
    "watch_of",
]

_LOCK = threading.RLock()


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.RLock()  # a thread of the parent may have held it at the fork


os.register_at_fork(after_in_child=_renew_lock)


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
            cell.watches = {}
        cell.watches[reply] = None
    if isinstance(reply, Reply):
        reply._on_cancel = lambda reply: unwatch(cell, reply)
    if cell.state == STOPPED:
        notify_watches(cell, "stopped")


def move_watches(old: Cell, new: Cell) -> None:
    """Another cell stands for the agent: those who watch it go on, and so does what it watches."""
    with _LOCK:
        new.watches, old.watches = old.watches, None
        new.watching, old.watching = old.watching, None
        watching = dict(new.watching or {})
    for target, reply in watching.items():
        reply.add_done_callback(partial(_tell, new, target, reply))


def notify_watches(cell: Cell, reason: str) -> None:
    """An agent has ended: tell those who watch it."""
    for watch in _taken(cell):
        watch.resolve(Terminated(address=str(cell.address), reason=reason))


def watch_elsewhere(cell: Cell) -> None:
    """A placed agent has moved to another node: those who watch it go on watching it there."""
    for watch in _taken(cell):
        if not cell.node.outbound.watch(cell.address, "", watch):
            watch.resolve(Terminated(address=str(cell.address), reason="it is not alive"))


def relay(asked: Reply[Any], target: Address, watch: ReplyPort) -> None:
    """Pass on what another node tells of an agent's end; that the node is gone is an end too."""

    def tell() -> None:
        error = asked.error()
        if error is None:
            watch.resolve(asked.get())
        elif isinstance(error, AgentDeadError):
            watch.resolve(Terminated(address=str(target), reason=error.reason))
        else:
            watch.fail(error)

    asked.add_done_callback(tell)
    if isinstance(watch, Reply):
        watch._on_cancel = lambda _watch: asked.cancel()


def _taken(cell: Cell) -> list[Any]:
    with _LOCK:
        watches, cell.watches = cell.watches, None
    return list(watches or ())


def end_watches(watcher: Cell) -> None:
    """A watcher has ended: it is told nothing any more."""
    with _LOCK:
        watching, watcher.watching = watcher.watching, None
    for reply in (watching or {}).values():
        reply.cancel()


def unwatch(cell: Cell, reply: Any) -> None:
    """Nobody waits for this reply any more."""
    with _LOCK:
        if cell.watches is not None:
            cell.watches.pop(reply, None)


def _tell(watcher: Cell, target: Address, reply: Reply[Terminated]) -> None:
    with _LOCK:
        if watcher.watching is None or watcher.watching.pop(target, None) is None:
            return
    if reply.error() is None:
        watcher.put((reply.get(), target))
