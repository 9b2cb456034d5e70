"""Supervisors at work: what happens when a child fails or stops.

Everything runs on the node's loop thread, but for `start`, `replaces` and `retire`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from covey.framework.cell import Cell
from covey.framework.errors import SwarmFailedError
from covey.framework.events import AgentEscalated
from covey.framework.supervision.restart import add_restart
from covey.framework.supervision.streak import Streak
from covey.framework.supervision.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["SupervisorGuardian"]

logger = logging.getLogger("covey.supervisor")

SHUTDOWN_S = 5.0
"""How long a supervisor's children may take to stop, as in Erlang/OTP's child specs."""


class SupervisorGuardian:
    """A running `Supervisor`: its children in order, their restarts, and whom it fails towards.

    A child keeps its cell, and so its address and its mail, through every restart.
    """

    def __init__(self, node: Node, spec: Supervisor, parent: SupervisorGuardian | None = None) -> None:
        self._node = node
        self._parent = parent
        self._history: tuple[float, ...] = ()
        self._streaks: dict[str, Streak] = {}
        self._cells: dict[Cell, Child] = {}
        self._inner: list[SupervisorGuardian] = []
        self._stopping = False
        self.spec = spec
        self.path: str = spec.name if parent is None else f"{parent.path}/{spec.name}"

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the children in order, in the calling thread; all or none.

        Raises:
            AddressInUseError: a child's address is live already.
            Exception: what a child's constructor raises.
        """
        self._stopping = False
        try:
            for child in self.spec.children:
                if isinstance(child, Child):
                    self._start_child(child)
                else:
                    inner = SupervisorGuardian(self._node, child, self)
                    self._inner.append(inner)
                    inner.start()
        except BaseException:
            self.stop("a sibling could not start")
            raise

    def _start_child(self, child: Child) -> None:
        def know(cell: Cell) -> None:
            self._cells[cell] = child  # before it can fail

        self._node.spawn(child.cls, child.key, child.args, child.kwargs, supervisor=self, before_start=know)

    def retire(self) -> None:
        """Restart nothing any more; the children live on until they are stopped."""
        self._stopping = True
        for inner in self._inner:
            inner.retire()

    def stop(self, reason: str) -> None:
        """Ask all children to stop, the last started first; does not wait.

        Those that still run after 5 seconds are killed.
        """
        self._stopping = True
        for inner in reversed(self._inner):
            inner.stop(reason)
        for cell in reversed(tuple(self._cells)):
            cell.post(self._node.life.stop, cell, reason)
        cells = tuple(self._cells)
        if cells:
            self._node.later(SHUTDOWN_S, lambda: self._kill(cells, reason))
        self._inner.clear()
        self._cells.clear()

    def _kill(self, cells: tuple[Cell, ...], reason: str) -> None:
        for cell in cells:
            if not self._node.is_stopped(cell):
                logger.error("%s did not stop within %g s and is killed", cell.address, SHUTDOWN_S)
                self._node.life.request_kill(cell, reason)

    # -- what becomes of a child -------------------------------------------------------------------

    def replaces(self, cell: Cell) -> bool:
        child = self._cells.get(cell)
        return child is not None and child.restart == "permanent" and not self._stopping

    def child_down(self, cell: Cell, error: BaseException | None) -> None:
        child = self._cells.get(cell)
        if child is None or self._stopping or child.restart == "temporary":
            reason = "stopped" if error is None else f"failed: {error!r}"
            cell.post(self._node.life.finish, cell, reason)
            return
        if not self._may_restart():
            self._escalate(
                str(cell.address),
                error or RuntimeError("it stops again and again although it is permanent"),
            )
            return
        streak = self._streaks.setdefault(str(cell.address), Streak())
        wait_s = streak.next(self._node.now(), self.spec.backoff)
        self._node.later(wait_s, lambda: cell.post(self._node.life.restart, cell, self.path))

    def child_ended(self, cell: Cell) -> None:
        if self._cells.pop(cell, None) is not None and not self._stopping:
            self._node.release(cell.address)

    def inner_failed(self, inner: SupervisorGuardian, error: BaseException) -> None:
        """A supervisor below gave up: start it anew, within this one's own intensity."""
        if self._stopping:
            return
        if not self._may_restart():
            self._escalate(inner.path, error)
            return
        inner._history = ()
        self._node.when_stopped(inner.addresses(), lambda: self._restart_inner(inner))

    def _restart_inner(self, inner: SupervisorGuardian) -> None:
        if self._stopping:
            return
        try:
            inner.start()
        except Exception as error:  # noqa: BLE001 - a constructor may raise anything
            self._escalate(inner.path, error)

    # -- what the spec says ------------------------------------------------------------------------

    def addresses(self) -> list[str]:
        """Where the agents live that the spec names, at any depth."""
        return self.spec.addresses()

    def _may_restart(self) -> bool:
        history = add_restart(self._history, self._node.now(), self.spec.intensity, self.spec.period_s)
        if history is None:
            return False
        self._history = history
        return True

    def _escalate(self, child: str, error: BaseException) -> None:
        logger.error(
            "supervisor %s gives up: %s failed once more than %d times within %g s, last with %s: %s",
            self.path,
            child,
            self.spec.intensity,
            self.spec.period_s,
            type(error).__name__,
            error,
        )
        self._node.emit(AgentEscalated(self.path, self._node.name, child, error))
        self.stop(f"its supervisor {self.path} gave up")
        if self._parent is not None:
            self._parent.inner_failed(self, error)
            return
        failure = SwarmFailedError(
            f"supervisor {self.path} gave up on {child}: more than {self.spec.intensity} restarts within "
            f"{self.spec.period_s:g} s; the last error was {type(error).__name__}: {error}. "
            "Mend the cause, or raise the supervisor's intensity"
        )
        failure.__cause__ = error
        self._node.give_up(failure)
