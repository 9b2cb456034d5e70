"""The life of an agent on its node: start and restart. How it ends is `Ending`.

Every function runs in the cell's executor, between two messages of the cell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pykka

from covey.framework.cell import Cell
from covey.framework.construction import construct, state_of
from covey.framework.ending import Ending
from covey.framework.errors import AgentStuckError
from covey.framework.events import NO_CONTEXT, AgentRestarted
from covey.framework.hooks import run_hook
from covey.framework.state import FAILED, NEW, RUNNING, STARTING
from covey.framework.timers import PeriodicTimer

if TYPE_CHECKING:
    pass

__all__ = ["Life"]

logger = logging.getLogger("covey.agent")

CHILDREN_S = 5.0
"""How long the restart of an agent waits for its children to stop before they are killed."""
CHILDREN_POLL_S = 0.005
CANCEL_S = 1.0
"""How long a new instance waits for the cancelled handlers of the one before."""
KILL_S = 0.2
"""How long a thread is waited for that was told to end."""


class Life(Ending):
    """Moves the cells of one node from state to state."""

    # -- start -------------------------------------------------------------------------------------

    def start(self, cell: Cell) -> None:
        """Construct the instance if need be, run `on_start`, then handle messages."""
        if cell.state != NEW:
            return
        self._bring_up(cell, self._node.started)

    def restart(self, cell: Cell, supervisor: str, cause: str = "") -> None:
        """Put a fresh instance behind the address; the mailbox stays.

        `cause` says why, where it is not its own failure.
        """
        if cell.state != FAILED or (cell.supervisor is not None and not cell.supervisor.awaits(cell)):
            return
        if cell.children and self._node.now() < cell.failed_at + CHILDREN_S:
            # Their addresses have to be free for the new instance to start them again.
            self._node.later(CHILDREN_POLL_S, lambda: cell.post(self.restart, cell, supervisor, cause))
            return
        for child in tuple(cell.children or ()):
            self.request_kill(child, "its parent restarts")
        if cell.actor is not None and _hands_on_state(cell):
            cell.kept_state = state_of(cell.actor)
        cell.actor = None
        cell.context = None  # variables that the old instance set are no state of the new one
        cell.restarts += 1
        if cell.tasks:  # cancelled ones: the new instance waits for them, but not for ever
            self._node.later(CANCEL_S, partial(cell.post, self._node.fencing.detach_all, cell, cell.restarts))

        def ready(cell: Cell) -> None:
            if cell.last_error is None and not cause:  # it had stopped by itself
                self._node.started(cell)
                return
            down_s = self._node.now() - cell.failed_at
            self._node.dispatcher.call(  # writing it down would keep the mail waiting: after the next turn
                logger.info,
                "%s restarted by %s after %.1f ms (restart %d%s)",
                cell.address,
                supervisor,
                down_s * 1e3,
                cell.restarts,
                f": {cause}" if cause else "",
            )
            cell.last_error = None  # its traceback keeps the old instance, and all that the handler had
            self._node.emit(
                AgentRestarted(
                    str(cell.address),
                    self._node.name,
                    supervisor,
                    cell.restarts,
                    down_s,
                    NO_CONTEXT if cause else cell.failed_context,
                    cause,
                )
            )

        self._bring_up(cell, ready)

    def _bring_up(self, cell: Cell, announce: Callable[[Cell], None]) -> None:
        cell.state = STARTING
        if cell.actor is None:
            try:
                construct(cell)
                state, cell.kept_state = cell.kept_state, None
                if state is not None and cell.actor is not None:
                    cell.call_hook(cell.actor.restore_state, (state,))
            except BaseException as error:  # noqa: BLE001 - a constructor may raise anything
                cell.actor = None  # so that a state which could not be restored is not handed on again
                self._node.failing.fail(cell, error, None, None)
                return
        assert cell.actor is not None
        if cell.actor_class.on_start is pykka.Actor.on_start:
            self._up(cell, announce)
        else:
            ended = partial(self._on_start_ended, cell, cell.restarts, announce)
            run_hook(cell, cell.actor.on_start, (), ended)

    def _on_start_ended(
        self, cell: Cell, born: int, announce: Callable[[Cell], None], error: BaseException | None
    ) -> None:
        if cell.state != STARTING or cell.restarts != born:  # a hook that was cut off may end late
            if error is not None and not isinstance(error, asyncio.CancelledError):
                logger.error("%s: on_start raised after it was stopped", cell.address, exc_info=error)
        elif error is not None:
            self._node.failing.fail(cell, error, None, None)
        else:
            self._up(cell, announce)

    def _up(self, cell: Cell, announce: Callable[[Cell], None]) -> None:
        cell.state = RUNNING
        for timer in cell.routes.timers:
            cell.add_timer(PeriodicTimer(cell, timer.handler, timer.period_s, self._node.dispatcher))
        announce(cell)
        self._node.passivation.watch(cell)
        cell.rest()
        if cell.supervisor is not None:
            cell.supervisor.child_up(cell)


def _hands_on_state(cell: Cell) -> bool:
    # What is stuck may still write to it.
    supervisor = cell.supervisor
    return (
        supervisor is not None
        and supervisor.preserves_state(cell)
        and not isinstance(cell.last_error, AgentStuckError)
    )
