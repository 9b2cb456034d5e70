"""Supervisors at work: what happens when a child fails. Everything here runs on the node's loop thread."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from covey.framework.cell import Cell
from covey.framework.errors import SwarmFailedError
from covey.framework.events import AgentEscalated
from covey.framework.supervision.restart import Backoff, add_restart, delay_s
from covey.framework.supervision.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Guardian", "PlacedGuardian", "SupervisorGuardian"]

logger = logging.getLogger("covey.supervisor")

SHUTDOWN_S = 5.0
"""How long a supervisor's children may take to stop, as in Erlang/OTP's child specs."""
PLACED_INTENSITY = 5
PLACED_PERIOD_S = 10.0


class Guardian(Protocol):
    """Whom a cell reports its failure to."""

    path: str
    """Names from the root down, for reports."""

    def child_failed(self, cell: Cell, error: BaseException) -> None:
        """The cell waits, failed, with its mailbox, for what is decided."""
        ...

    def child_stopped(self, cell: Cell) -> None:
        """The cell ended without a failure."""
        ...


class _Streak:
    """How many restarts in a row one child had, for the backoff."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last = float("-inf")

    def next(self, now: float, backoff: Backoff | None) -> float:
        """Seconds to wait before the restart that is due now."""
        if backoff is not None and now - self.last >= backoff.reset_s:
            self.count = 0
        self.count += 1
        self.last = now
        return delay_s(backoff, self.count)


class SupervisorGuardian:
    """A running `Supervisor`: its children in order, their restarts, and whom it fails towards."""

    def __init__(self, node: Node, spec: Supervisor, parent: SupervisorGuardian | None = None) -> None:
        self._node = node
        self._parent = parent
        self._history: tuple[float, ...] = ()
        self._streaks: dict[str, _Streak] = {}
        self._cells: dict[Cell, Child] = {}
        self._inner: list[SupervisorGuardian] = []
        self._stopping = False
        self.spec = spec
        self.path: str = spec.name if parent is None else f"{parent.path}/{spec.name}"

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

    def stop(self, reason: str) -> None:
        """Ask all children to stop, the last started first; does not wait.

        Those that still run after 5 seconds are killed.
        """
        self._stopping = True
        for inner in reversed(self._inner):
            inner.stop(reason)
        for cell in reversed(tuple(self._cells)):
            cell.post(lambda cell=cell: self._node.life.stop(cell, reason))  # type: ignore[misc]
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

    def child_failed(self, cell: Cell, error: BaseException) -> None:
        child = self._cells.get(cell)
        if child is None or self._stopping or child.restart == "temporary":
            self._cells.pop(cell, None)
            cell.post(lambda: self._node.life.finish(cell, f"failed: {error!r}"))
            return
        if not self._may_restart():
            self._escalate(str(cell.address), error)
            return
        streak = self._streaks.setdefault(str(cell.address), _Streak())
        wait_s = streak.next(monotonic(), self.spec.backoff)
        self._node.later(wait_s, lambda: cell.post(lambda: self._node.life.restart(cell, self.path)))

    def child_stopped(self, cell: Cell) -> None:
        child = self._cells.pop(cell, None)
        if child is None or self._stopping or child.restart != "permanent":
            return
        if self._may_restart():
            try:
                self._start_child(child)
            except Exception as error:  # noqa: BLE001 - a constructor may raise anything
                self._escalate(str(child.address), error)
        else:
            self._escalate(
                str(child.address), RuntimeError("it stops again and again although it is permanent")
            )

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
        try:
            inner.start()
        except Exception as error:  # noqa: BLE001 - a constructor may raise anything
            self._escalate(inner.path, error)

    def addresses(self) -> list[str]:
        """Addresses of all agents that the spec names, at any depth."""
        found: list[str] = []
        pending: list[Child | Supervisor] = list(self.spec.children)
        while pending:
            child = pending.pop()
            if isinstance(child, Child):
                found.append(str(child.address))
            else:
                pending.extend(child.children)
        return found

    def _may_restart(self) -> bool:
        history = add_restart(self._history, monotonic(), self.spec.intensity, self.spec.period_s)
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


class PlacedGuardian:
    """Supervises the agents that placement activated on this node, each by itself.

    One that fails more than 5 times within 10 s is stopped and its mail becomes dead letters; the next
    message activates it afresh. It never takes the node down.
    """

    path = "placed"

    def __init__(self, node: Node) -> None:
        self._node = node
        self._histories: dict[Cell, tuple[float, ...]] = {}
        self._streaks: dict[Cell, _Streak] = {}

    def child_failed(self, cell: Cell, error: BaseException) -> None:
        now = monotonic()
        if self._node.stopping:
            self._forget(cell)
            cell.post(lambda: self._node.life.finish(cell, f"failed: {error!r}"))
            return
        history = add_restart(self._histories.get(cell, ()), now, PLACED_INTENSITY, PLACED_PERIOD_S)
        if history is None:
            self._forget(cell)
            logger.error(
                "%s failed more than %d times within %g s and is stopped",
                cell.address,
                PLACED_INTENSITY,
                PLACED_PERIOD_S,
            )
            self._node.emit(AgentEscalated(self.path, self._node.name, str(cell.address), error))
            cell.post(lambda: self._node.life.finish(cell, f"failed: {error!r}"))
            return
        self._histories[cell] = history
        wait_s = self._streaks.setdefault(cell, _Streak()).next(now, Backoff())
        self._node.later(wait_s, lambda: cell.post(lambda: self._node.life.restart(cell, self.path)))

    def child_stopped(self, cell: Cell) -> None:
        self._forget(cell)

    def _forget(self, cell: Cell) -> None:
        self._histories.pop(cell, None)
        self._streaks.pop(cell, None)
