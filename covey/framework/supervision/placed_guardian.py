"""What happens when a placed agent fails. Decided on the node's loop thread."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from covey.framework.cell import Cell
from covey.framework.error_text import encodable, error_text
from covey.framework.events import AgentEscalated
from covey.framework.supervision.backoff import Backoff
from covey.framework.supervision.restart import Streak, decide_restart
from covey.framework.supervision.verdict import Verdict

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["PlacedGuardian"]

logger = logging.getLogger("covey.supervisor")


class PlacedGuardian:
    """Supervises the agents that placement activated on this node, each by itself.

    One that fails more than 5 times within 10 s is stopped and its mail becomes dead letters; the next
    message activates it afresh. It never takes the node down.
    """

    path = "placed"
    intensity = 5
    period_s = 10.0

    def __init__(self, node: Node) -> None:
        self._node = node
        self._past: WeakKeyDictionary[Cell, tuple[tuple[float, ...], Streak]] = WeakKeyDictionary()
        """Restarts within the period, and in a row, of those that failed of late."""
        self._errors: WeakKeyDictionary[Cell, str] = WeakKeyDictionary()
        """What they failed with last."""
        self.backoff: Backoff | None = Backoff()

    def last_error_of(self, cell: Cell) -> str:
        """What an agent failed with last, empty if it never did; from any thread."""
        return self._errors.get(cell, "")

    def verdict(self, cell: Cell, error: BaseException) -> Verdict:  # noqa: ARG002 - one rule for all
        return "restart"

    def replaces(self, cell: Cell) -> bool:  # noqa: ARG002 - none is
        return False  # its next message activates it

    def awaits(self, cell: Cell) -> bool:  # noqa: ARG002 - all are
        return True

    def preserves_state(self, cell: Cell) -> bool:
        return cell.actor_class.preserve_state

    def child_up(self, cell: Cell) -> None:
        """Nothing: nobody waits for it."""

    def child_down(self, cell: Cell, error: BaseException | None, verdict: Verdict) -> None:  # noqa: ARG002
        self._node.dispatcher.call(self._decide, cell, error)

    def _decide(self, cell: Cell, error: BaseException | None) -> None:
        node = self._node
        if error is not None:
            self._errors[cell] = encodable(error_text(error))
        history, streak = self._past.get(cell, ((), Streak()))
        decided = None
        if not node.stopping:
            decided = decide_restart(history, streak, node.now(), self, random.random())
            if decided is None:
                self._give_up(cell, error)
        if decided is None:
            cell.post(node.life.finish, cell, f"failed: {'' if error is None else error_text(error)}")
            return
        self._past[cell] = (decided.history, decided.streak)
        node.later(decided.wait_s, lambda: cell.post(node.life.restart, cell, self.path))

    def _give_up(self, cell: Cell, error: BaseException | None) -> None:
        logger.error(
            "%s failed more than %d times within %g s and is stopped",
            cell.address,
            self.intensity,
            self.period_s,
        )
        failure = error or RuntimeError("it stops again and again")
        self._node.emit(AgentEscalated(self.path, self._node.name, str(cell.address), failure))

    def child_ended(self, cell: Cell) -> None:
        self._past.pop(cell, None)

    def child_replaced(self, old: Cell, new: Cell) -> None:
        past = self._past.pop(old, None)
        if past is not None:
            self._past[new] = past
        error = self._errors.pop(old, None)
        if error is not None:
            self._errors[new] = error
