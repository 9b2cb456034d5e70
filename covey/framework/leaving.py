"""A node leaves: its agents handle what they have, then stop; what hangs is killed, and what is held up left.

The time to leave is real time, whatever the node's clock says: whoever stops a node waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from covey.framework.errors import AgentDeadError
from covey.framework.reply import Reply
from covey.framework.supervision.remote_unit import RemoteUnit
from covey.framework.supervision.running import RunningSupervisor
from covey.framework.thread_executor import ThreadExecutor

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.node import Node

__all__ = ["Leaving"]

logger = logging.getLogger("covey.node")

DRAINED_AT_ONCE = 256
GRACE_S = 3.0
"""How long the end may take beyond the time for the agents: killing, and leaving the server."""
KILL_S = 0.2
"""How long a stopping node waits for handlers that it has cancelled."""
THREAD_JOIN_S = 1.0
"""How long it waits for the threads of `dispatcher = "thread"`."""


class Leaving:
    """The end of one node; used once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._changed: asyncio.Event | None = None
        """Set whenever an agent has ended, while somebody waits for that; on the loop thread."""
        self._alarm: threading.Timer | None = None
        """Sets `_changed` too. One for many waits: children that end one by one are thousands."""
        self._alarm_at = 0.0

    def leave(self, timeout_s: float, supervisors: list[RunningSupervisor]) -> None:
        """Stop the agents and leave the swarm, in this time and a little more; from another thread."""
        node = self._node
        end = monotonic() + timeout_s
        threads = [c.executor for c in node.directory.cells if isinstance(c.executor, ThreadExecutor)]
        left = asyncio.run_coroutine_threadsafe(self._leave(end, supervisors), node.dispatcher.loop)
        try:
            left.result(timeout_s + GRACE_S)
        except TimeoutError:
            logger.warning(
                "node %s did not stop within %g s: %d agents are left, and a handler may hold its loop",
                node.name,
                timeout_s,
                len(node.directory),
            )
        finally:
            self._abandon(threads, in_time=left.done())

    def agent_ended(self) -> None:
        """Somebody may wait for this; from any thread."""
        if self._changed is not None:
            self._node.dispatcher.call(self._changed.set)

    def fail_pending(self) -> None:
        """Nobody will expire what waits for its deadline."""
        for item in self._node.dispatcher.wheel.drain():
            if isinstance(item, Reply):
                item.fail(AgentDeadError(item.target, f"node {self._node.name} has stopped"))
            else:
                item.expire()

    def _abandon(self, threads: list[ThreadExecutor], *, in_time: bool) -> None:
        node = self._node
        for cell in node.directory.cells:  # only those whose thread or loop is held up
            node.life.abandon(cell)
        node.end_threads(5.0 if in_time else THREAD_JOIN_S)
        end = monotonic() + THREAD_JOIN_S
        for thread in threads:
            if not thread.join(max(0.0, end - monotonic())):
                logger.warning("%s is held up by its handler and was left to end by itself", thread.name)
        for name in node.fencing.join(max(0.0, end - monotonic())):
            logger.warning("%s, left behind as stuck, is still held up by its handler", name)

    async def _leave(self, end: float, supervisors: list[RunningSupervisor]) -> None:
        node = self._node
        self._changed = asyncio.Event()
        node.directory.close()
        for supervisor in supervisors:
            supervisor.retire()
        await self._drain(end, supervisors)
        for cell in node.directory.cells:
            node.life.request_kill(cell, "the node stops")
        await self._until_empty(monotonic() + KILL_S)
        if self._alarm is not None:
            self._alarm.cancel()
        node.presence.leave()
        await asyncio.gather(node.tenancy.leave(), node.close_transport())

    async def _drain(self, end: float, supervisors: list[RunningSupervisor]) -> None:
        """All agents handle what they have; a supervisor's children one after the other, the last first."""
        node = self._node
        units = [unit for supervisor in supervisors for unit in supervisor.leaves()]
        supervised = {cell for unit in units for cell in unit.cells()}
        for number, cell in enumerate(reversed(node.directory.cells)):
            if number % DRAINED_AT_ONCE == 0:
                await asyncio.sleep(0)  # a million agents would hold the loop for seconds
            if cell.placed and node.serving.is_paused:
                node.life.request_kill(cell, "its node stops while it may not serve it")
            elif cell not in supervised:
                node.life.request_drain(cell)
        for unit in reversed(units):
            if isinstance(unit, RemoteUnit):
                unit.state = "ending"
                unit.end("its supervisor's node leaves")
                await self._until(partial(_is_gone, unit), (monotonic() + end) / 2)
            for cell in unit.cells():
                await self._drain_child(cell, unit.spec.shutdown_s, end)
        await self._until_empty(end)

    async def _drain_child(self, cell: Cell, shutdown_s: float, end: float) -> None:
        node, now = self._node, monotonic()
        node.life.request_drain(cell)
        # One that hangs leaves half of the time to those that were started before it.
        await self._until(partial(node.is_stopped, cell), min((now + end) / 2, now + shutdown_s))
        if not node.is_stopped(cell) and now + shutdown_s <= monotonic():
            node.life.force_end(cell, f"it did not stop within {shutdown_s:g} s")

    async def _until_empty(self, end: float) -> None:
        await self._until(lambda: not len(self._node.directory), end)

    async def _until(self, condition: Callable[[], bool], end: float) -> None:
        changed = self._changed
        assert changed is not None
        while not condition() and monotonic() < end:
            self._set_alarm(end)
            changed.clear()
            if not condition():
                await changed.wait()  # the alarm ends it

    def _set_alarm(self, at: float) -> None:
        """See that a wait ends by then; one that is due earlier does no harm."""
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        # A timer of the loop would run on the node's clock, which may stand still.
        alarm = threading.Timer(
            max(0.0, at - monotonic()), lambda: self._node.dispatcher.call(self._ring, alarm)
        )
        alarm.daemon = True
        self._alarm, self._alarm_at = alarm, at
        alarm.start()

    def _ring(self, alarm: threading.Timer) -> None:
        if self._alarm is alarm:
            self._alarm = None
        assert self._changed is not None
        self._changed.set()


def _is_gone(unit: RemoteUnit) -> bool:
    return not unit.on_node
