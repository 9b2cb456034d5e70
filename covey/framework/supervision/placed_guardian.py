"""What happens when a placed agent fails. Everything here runs on the node's loop thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from covey.framework.cell import Cell
from covey.framework.events import AgentEscalated
from covey.framework.supervision.restart import Backoff, add_restart
from covey.framework.supervision.streak import Streak

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["PlacedGuardian"]

logger = logging.getLogger("covey.supervisor")

INTENSITY = 5
PERIOD_S = 10.0


class PlacedGuardian:
    """Supervises the agents that placement activated on this node, each by itself.

    One that fails more than 5 times within 10 s is stopped and its mail becomes dead letters; the next
    message activates it afresh. It never takes the node down.
    """

    path = "placed"

    def __init__(self, node: Node) -> None:
        self._node = node
        self._histories: WeakKeyDictionary[Cell, tuple[float, ...]] = WeakKeyDictionary()
        self._streaks: WeakKeyDictionary[Cell, Streak] = WeakKeyDictionary()
        self.backoff: Backoff | None = Backoff()

    def replaces(self, cell: Cell) -> bool:  # noqa: ARG002 - none is
        return False  # its next message activates it

    def child_down(self, cell: Cell, error: BaseException | None) -> None:
        now = self._node.now()
        history = None
        if not self._node.stopping:
            history = add_restart(self._histories.get(cell, ()), now, INTENSITY, PERIOD_S)
            if history is None:
                self._give_up(cell, error)
        if history is None:
            cell.post(self._node.life.finish, cell, f"failed: {error!r}")
            return
        self._histories[cell] = history
        wait_s = self._streaks.setdefault(cell, Streak()).next(now, self.backoff)
        self._node.later(wait_s, lambda: cell.post(self._node.life.restart, cell, self.path))

    def _give_up(self, cell: Cell, error: BaseException | None) -> None:
        logger.error(
            "%s failed more than %d times within %g s and is stopped", cell.address, INTENSITY, PERIOD_S
        )
        failure = error or RuntimeError("it stops again and again")
        self._node.emit(AgentEscalated(self.path, self._node.name, str(cell.address), failure))

    def child_ended(self, cell: Cell) -> None:
        self._histories.pop(cell, None)
        self._streaks.pop(cell, None)
