"""Fencing: what a handler that was given up still does has no effect, and is counted.

Python cannot end a thread. A handler that holds one for ever is left behind with its cell, whose class
becomes `FencedCell`; another cell, which shares the mailbox, stands at the address. A coroutine that goes on
after it was cancelled is left behind with its `Handling`. Whoever sends from there runs into `Fenced`, which
costs those that are not fenced nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable
from copy import copy
from time import monotonic
from typing import TYPE_CHECKING, Any

from covey.framework.backpressure import DONE
from covey.framework.cell import Cell
from covey.framework.current import WHY_FENCED, Fenced, FencedHandling
from covey.framework.dispatch_loop import cancel, cancel_from_outside
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError
from covey.framework.linking import end_links
from covey.framework.reply import Reply
from covey.framework.state import FAILED, STOPPED
from covey.framework.thread_executor import ThreadExecutor
from covey.framework.watching import move_watches

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.node import Node

__all__ = ["FencedCell", "Fencing", "take_reply"]


class FencedCell(Cell):
    """The cell of a thread that was left behind; its mailbox is its successor's."""

    __slots__ = ()

    @property
    def cell(self) -> Cell:  # type: ignore[override]
        """Nobody's: what the handler sends is discarded."""
        raise Fenced

    def _raised(self, error: BaseException, message: Any, envelope: Envelope, fatal: bool) -> None:
        """Its failure was told when it was given up."""

    def bury(self) -> None:
        """A sender came by an old ref: its message lies in the successor's mailbox already."""
        successor = self.node.directory.find(self.address, activate=False)
        if successor is None or successor is self or successor.mail is not self.mail:
            super().bury()
        elif not successor.scheduled:
            successor.resume()


class Fencing:
    """Leaves behind what cannot be ended, for one node; on the loop thread unless it says so."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.has_left = False
        """Whether anything was ever left behind: what nobody else has to look for."""
        self._left: list[ThreadExecutor] = []

    @property
    def threads(self) -> int:
        """Threads of handlers that were left behind and still run; from any thread."""
        return sum(not thread.join(0) for thread in tuple(self._left))

    def supersede(self, old: Cell) -> Cell:
        """Put another cell, without an instance, in the place of one whose thread is held up."""
        node = self._node
        executor = old.executor
        new = type(old)(
            node,
            old.actor_class,
            old.address,
            node.directory.executor_for(old.actor_class, old.address),
            old.args,
            old.kwargs,
            placed=old.placed,
            parent=old.parent,
            supervisor=old.supervisor,
        )
        new.state = FAILED
        new.failed_at = node.now()
        new.actor_ref, new.registered = old.actor_ref, old.registered
        new.restarts, new.failures = old.restarts, old.failures
        new.handled, new.dropped = old.handled, old.dropped
        new.stop_ports, old.stop_ports = old.stop_ports, None
        # One queue for both: nothing has to be moved, and no sender's messages can change places.
        new.mail = old._make_mail()
        new.waiters = old._make_waiters()
        # In this order: a sender that sees it stopped finds its successor.
        old.__class__ = FencedCell
        node.directory.replace(old, new)
        self._leave_behind(old)
        move_watches(old, new)
        end_links(old, WHY_FENCED, has_failed=True)
        node.life.cancel_timers(old)
        new.children, old.children = old.children, None
        for child in new.children or ():
            child.parent = new  # the next instance waits for their end
        node.life.stop_children(new, "its parent was given up")
        if isinstance(executor, ThreadExecutor):
            executor.end()
        if new.supervisor is not None:
            new.supervisor.child_replaced(old, new)
        return new

    def hand_over(self, old: Cell, new: Cell) -> None:
        """A cell that only held mail gives its queue to the agent's own; under the directory's lock."""
        new.mail = old._make_mail()
        new.waiters = old._make_waiters()
        old.__class__ = FencedCell
        self._node.directory.replace(old, new)
        old.scheduled = True
        old.state = STOPPED
        move_watches(old, new)

    def give_up(self, cell: Cell) -> None:
        """The end of an agent whose thread is held up."""
        cell.__class__ = FencedCell
        self._leave_behind(cell)
        self._node.life.abandon(cell)

    def leave_tasks(self, cell: Cell) -> None:
        """What the coroutines of an agent that has ended still do has no effect; in the cell's executor."""
        for handling in list((cell.tasks or {}).values()):
            self.has_left = True
            handling.__class__ = FencedHandling

    def detach(self, cell: Cell, handling: Any) -> None:
        """Cancel a coroutine and go on as if it had ended; in the cell's executor."""
        tasks = cell.tasks
        if tasks is None or tasks.pop(handling.task, None) is None:
            return
        handling.__class__ = FencedHandling
        self.has_left = True
        cell.running -= 1
        if cell.concurrency == 1:
            cell.context = None  # it goes on in the old one, and is what that says is current
        cancel(handling.task)

    def detach_all(self, cell: Cell, born: int) -> None:
        """Those that an earlier instance has left, if it is still the same one that came after it."""
        if cell.restarts == born:
            for handling in list((cell.tasks or {}).values()):
                if handling.born < born or cell.actor is None:
                    self.detach(cell, handling)
            if cell.stalled:
                cell.resume()

    def _leave_behind(self, cell: Cell) -> None:
        """Stop a cell whose thread is held up; who asked what it is at is told so, and nothing else."""
        self.has_left = True
        cell.end_reason = cell.end_reason or WHY_FENCED
        cell.scheduled = True
        cell.state = STOPPED
        error = AgentDeadError(str(cell.address), f"it was killed: {cell.end_reason}")
        _answer(cell.envelope, error)
        for handling in list((cell.tasks or {}).values()):
            _answer(handling.envelope, error)
            handling.__class__ = FencedHandling
            if handling.task is not None:
                cancel_from_outside(handling.task)
        self._left = [thread for thread in self._left if not thread.join(0)]
        if isinstance(cell.executor, ThreadExecutor):
            self._left.append(cell.executor)

    # -- what a fenced handler sends; from its thread -----------------------------------------------

    def refuse_tell(self, target: Address, message: Any) -> Awaitable[None]:
        """Discard a message, with a dead letter."""
        self._node.dead_letter(target, Envelope(message), "fenced", WHY_FENCED)
        return DONE

    def refusal(self, what: str) -> AgentDeadError:
        """The error for whatever else it tries, with a dead letter that counts it."""
        self._node.dead_letter(what, None, "fenced", WHY_FENCED)
        return AgentDeadError(what, f"the sender is fenced: {WHY_FENCED}")

    def join(self, timeout_s: float) -> list[str]:
        """Wait for the threads that were left behind; the names of those that still run."""
        end = monotonic() + timeout_s
        return [thread.name for thread in self._left if not thread.join(max(0.0, end - monotonic()))]


def take_reply(envelope: Any, error: BaseException) -> Envelope | None:
    """Answer an ask with an error, for a handler that is given up: what it answers later is a dead letter.

    Returns the mail as it was, for whoever retries it.
    """
    if type(envelope) is not Envelope or envelope.reply is None:
        return envelope if type(envelope) is Envelope else None
    taken = copy(envelope)
    envelope.reply = Reply()
    envelope.reply.fail(error)
    return taken


def _answer(envelope: Any, error: BaseException) -> None:
    taken = take_reply(envelope, error)
    if taken is not None and taken.reply is not None:
        taken.reply.fail(error)
