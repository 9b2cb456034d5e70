"""What is to be done in one tree of supervisors. On the node's loop thread."""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from covey.framework.dispatcher import BUDGET_S
from covey.framework.supervision.machine import Action
from covey.framework.supervision.unit import Unit

if TYPE_CHECKING:
    from covey.framework.node import Node
    from covey.framework.supervision.running import RunningSupervisor

__all__ = ["Agenda"]

logger = logging.getLogger("covey.supervisor")


class Agenda:
    """What is to be done in one tree of supervisors, in order: so that no depth of nesting is recursion.

    It takes a few milliseconds at a time, and the agents of the node have their turns in between.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._items: deque[tuple[RunningSupervisor, Action[Unit]]] = deque()
        self.is_performing = False

    def add(self, supervisor: RunningSupervisor, action: Action[Unit]) -> None:
        """Do this after all that is to be done already."""
        self._items.append((supervisor, action))

    def perform(self) -> None:
        """Do what there is to do."""
        if self.is_performing:
            return
        self.is_performing = True
        items, until = self._items, monotonic() + BUDGET_S
        try:
            while items:
                supervisor, action = items.popleft()
                try:
                    supervisor.perform(action)
                except Exception:
                    logger.exception("internal error in supervisor %s at %s", supervisor.path, action.what)
                if monotonic() >= until:
                    self._node.dispatcher.call(self.perform)
                    return
        finally:
            self.is_performing = False
