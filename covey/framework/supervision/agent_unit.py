"""A supervised agent of this node: its cell, and what its supervisor does to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from covey.framework.error_text import error_text
from covey.framework.state import FAILED, NEW, PASSIVE, STOPPED
from covey.framework.supervision.unit import Superior, Unit
from covey.framework.supervision.verdict import Verdict, verdict_of

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.supervision.child import Child

__all__ = ["AgentUnit"]

logger = logging.getLogger("covey.supervisor")


class AgentUnit(Unit):
    """The guardian of one cell. The cell is kept through every restart, and with it address and mail."""

    __slots__ = ("_alarm", "_is_announced", "_is_awaited", "_is_made", "_seen", "cell")

    parent: Superior
    spec: Child

    def __init__(self, parent: Superior, spec: Child, *, is_dynamic: bool = False) -> None:
        super().__init__(parent, spec, is_dynamic=is_dynamic)
        self.cell: Cell | None = None
        self._seen = -1
        """Number of the last instance whose going down was told: the same may be told of twice."""
        self._alarm: asyncio.TimerHandle | None = None
        self._is_made = False
        """Whether its first instance was constructed, by whoever supervises."""
        self._is_announced = False
        """Whether the swarm knows that its address is supervised: then no other agent may answer for it."""
        self._is_awaited = False
        """Whether it is its turn to start, and it was not constructed yet."""

    def construct(self) -> None:
        self._spawn(construct_here=True)
        self.parent.node.dispatcher.call(self._made)

    def renew(self, *, is_made: bool) -> None:
        self._is_made = is_made

    def _made(self) -> None:
        self._is_made = True
        if self.parent.retired or self.state in ("ending", "ended"):
            assert self.cell is not None
            self._in_executor(self.parent.node.life.finish, self.cell, "its supervisor has ended")
        elif self._is_awaited:
            self._is_awaited = False
            self.begin("")

    # -- what the supervisor does ------------------------------------------------------------------

    def begin(self, cause: str) -> None:
        node, cell = self.parent.node, self.cell
        if not self._is_made:
            self._is_awaited = True
            return
        if cell is None or cell.state == STOPPED:
            try:
                self._spawn(construct_here=False)
                self.announce()  # its end has freed the address
            except Exception as error:  # noqa: BLE001 - the address may be taken by now: a failed start
                self._failed_to_start(error)
                return
            cell = self.cell
            assert cell is not None
        if cell.state == PASSIVE:
            self.parent.child_up(self)  # its next message makes an instance
        elif cell.state == NEW:
            self._in_executor(node.life.start, cell)
        else:
            self._in_executor(node.life.restart, cell, self.parent.path, cause)

    def halt(self) -> None:
        cell = self.cell
        if cell is None or not self._is_made:
            self._is_awaited = False
            self.parent.child_down(self, None, "restart")
            return
        life = self.parent.node.life
        if self.spec.shutdown_s == 0:
            life.cut(cell, f"{self.parent.path} restarts it")
            return
        self._in_executor(life.halt, cell, f"{self.parent.path} restarts it")
        if self.state == "halting":
            self._set_alarm(life.cut)

    def end(self, reason: str) -> None:
        cell = self.cell
        if cell is None or cell.state == STOPPED or not self._is_made:
            self.parent.child_ended(self)
            return
        life = self.parent.node.life
        if self.spec.shutdown_s == 0:
            life.force_end(cell, reason)
            return
        self._in_executor(life.stop, cell, reason)
        if self.state == "ending":
            self._set_alarm(life.force_end)

    def _spawn(self, *, construct_here: bool) -> None:
        spec = self.spec
        self._seen = -1
        self.parent.node.directory.spawn(
            spec.cls,
            spec.key,
            spec.args,
            spec.kwargs,
            None,
            self,
            self._take,
            construct_here=construct_here,
            start=False,
        )

    def _take(self, cell: Cell) -> None:
        self.cell = cell

    def _failed_to_start(self, error: Exception) -> None:
        logger.error("%s of supervisor %s could not start: %s", self.id, self.parent.path, error_text(error))
        self.last_error = error_text(error)
        self.parent.child_down(self, error, "restart")

    def _in_executor(self, function: Callable[..., object], cell: Cell, *args: Any) -> None:
        if cell.executor is self.parent.node.dispatcher:
            function(cell, *args)  # between two turns of it: this is the loop thread
        else:
            cell.post(function, cell, *args)

    def _set_alarm(self, too_late: Callable[[Cell, str], object]) -> None:
        """Kill what has not stopped in its time."""
        node, shutdown_s = self.parent.node, self.spec.shutdown_s

        def ring() -> None:
            self._alarm, cell = None, self.cell  # which may be another one by then
            assert cell is not None
            logger.error("%s did not stop within %g s and is killed", self.id, shutdown_s)
            too_late(cell, f"it did not stop within {shutdown_s:g} s")

        self._clear_alarm()
        self._alarm = node.dispatcher.call_at(node.now() + shutdown_s, ring)

    def _clear_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # -- the guardian, in the cell's executor ------------------------------------------------------

    @property
    def path(self) -> str:
        return self.parent.path

    def verdict(self, cell: Cell, error: BaseException) -> Verdict:  # noqa: ARG002 - it has one
        return self.by_type(verdict_of(error, self.spec.verdicts) or self.parent.decide(self, error))

    def by_type(self, verdict: Verdict) -> Verdict:
        """The verdict, in so far as the child's restart type allows it."""
        return "stop" if verdict == "restart" and self.restart == "temporary" else verdict

    def replaces(self, cell: Cell) -> bool:
        if cell is not self.cell or self.parent.retired:
            return False
        if self.state == "halting":
            return True
        return (
            self.restart == "permanent"
            and self.state in ("starting", "running")
            and self.parent.phase == "running"
        )

    def awaits(self, cell: Cell) -> bool:
        return cell is self.cell and self.state == "starting"

    def preserves_state(self, cell: Cell) -> bool:  # noqa: ARG002 - it has one
        return self.spec.preserve_state

    def child_up(self, cell: Cell) -> None:
        if self.parent.node.dispatcher.here:
            self._up(cell)
        else:
            self.parent.node.dispatcher.call(self._up, cell)

    def child_down(self, cell: Cell, error: BaseException | None, verdict: Verdict) -> None:
        born = -1 if cell.state in (PASSIVE, NEW) else cell.restarts
        if self.parent.is_performing and self.parent.node.dispatcher.here:
            self._down(cell, error, verdict, born)
        else:  # it may be within a turn of the cell, which must end before the next instance begins
            self.parent.node.dispatcher.call(self._down, cell, error, verdict, born)

    def child_ended(self, cell: Cell) -> None:
        if self.parent.is_performing and self.parent.node.dispatcher.here:
            self._ended(cell)
        else:
            self.parent.node.dispatcher.call(self._ended, cell)

    def child_replaced(self, old: Cell, new: Cell) -> None:
        if self.cell is old:
            self.cell = new

    # -- what it tells the supervisor, on the loop thread -------------------------------------------

    def _up(self, cell: Cell) -> None:
        if cell is self.cell:
            self.parent.child_up(self)

    def _down(self, cell: Cell, error: BaseException | None, verdict: Verdict, born: int) -> None:
        if cell is not self.cell:
            return
        if error is not None:
            self.last_error = error_text(error)
        # One that has failed, and was to start, may have to go down with its group instead.
        goes_down = self.state == "halting" and cell.state == FAILED and cell.restarts == born
        if 0 <= born <= self._seen and not goes_down:
            return
        if born >= 0:
            self._seen = born
        if self.state != "ending":  # its end is still to come
            self._clear_alarm()
        if self.parent.retired:
            reason = "stopped" if error is None else f"failed: {error_text(error)}"
            self._in_executor(self.parent.node.life.finish, cell, reason)
            return
        self.parent.child_down(self, error, verdict)

    def _ended(self, cell: Cell) -> None:
        if cell is not self.cell:
            return
        self._clear_alarm()
        node = self.parent.node
        if self._is_announced and not node.stopping and not self.parent.retired:
            node.trees.release(cell.address)
        self.parent.child_ended(self)

    # -- what it knows -----------------------------------------------------------------------------

    def cells(self) -> Iterator[Cell]:
        if self.cell is not None and self.cell.state != STOPPED:
            yield self.cell

    def addresses(self) -> list[str]:
        return [self.id]

    def announce(self) -> None:
        """Make its address known to the swarm."""
        self._is_announced = True
        self.parent.node.presence.register([self.id])

    def registered(self) -> None:
        self._is_announced = True
        if self.state == "ended":
            self.parent.node.trees.release(self.spec.address)
        else:  # again: the end of the one before it may just have freed the address
            self.parent.node.presence.register([self.id])
