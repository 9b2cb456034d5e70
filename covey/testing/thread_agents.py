"""The agents with a thread of their own on the nodes of one clock: which of them are at work."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from covey.framework import local_node
from covey.framework.thread_executor import ThreadExecutor

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.node import Node
    from covey.testing.manual_loop import ManualLoop

__all__ = ["ThreadAgents", "nodes_on"]


def nodes_on(loops: Collection[ManualLoop]) -> list[Node]:
    """The running nodes of this process whose agents run on these loops."""
    nodes = local_node.live_nodes()
    return [node for node in nodes if not node.forked and node.dispatcher.loop in loops]


class ThreadAgents:
    """Knows every thread of an agent from its spawn until the thread has ended; for one clock's lock."""

    def __init__(self) -> None:
        self._threads: dict[ThreadExecutor, Cell] = {}
        self._nodes: dict[ManualLoop, Node] = {}
        self._newest: dict[Node, Cell] = {}
        self._called: set[ThreadExecutor] = set()

    def look(self, loops: Collection[ManualLoop]) -> None:
        """Take note of agents that were spawned since the last look."""
        if len(self._nodes) != len(loops) or not all(loop in self._nodes for loop in loops):
            self._nodes = {node.dispatcher.loop: node for node in nodes_on(loops)}  # type: ignore[misc]
            self._newest.clear()
        for node in self._nodes.values():
            cells = node.directory.cells
            # A new agent is always the last one: the others need no second look.
            if cells and cells[-1] is not self._newest.get(node):
                self._newest[node] = cells[-1]
                for cell in cells:
                    if isinstance(cell.executor, ThreadExecutor):
                        self._threads[cell.executor] = cell

    @property
    def handled(self) -> list[int]:
        """How many messages each has handled: a thread that worked between two looks is found by it."""
        return [thread.handled for thread in self._threads]

    @property
    def busy(self) -> list[Cell]:
        """The agents whose threads have something to do now."""
        for thread in [thread for thread in self._threads if not thread.idle and thread.join(0)]:
            del self._threads[thread]
        return [cell for thread, cell in self._threads.items() if not thread.idle]

    def call_when_free(self, function: Callable[[], None]) -> None:
        """Call the function in each busy thread once it has done what it has, so that nobody polls."""
        for thread in self._threads:
            if not thread.idle and thread not in self._called:
                self._called.add(thread)
                thread.call(self._free, thread, function)

    def _free(self, thread: ThreadExecutor, function: Callable[[], None]) -> None:
        self._called.discard(thread)
        function()
