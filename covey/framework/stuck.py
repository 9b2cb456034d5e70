"""Handlers that run for too long: slow ones are reported, stuck ones are failures of their agent.

Only the cells of classes with `handler_deadline_s` know of this; all others pay nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from copy import copy
from typing import TYPE_CHECKING, Any

from covey.framework.cell import Cell
from covey.framework.envelope import TICK, Envelope
from covey.framework.errors import AgentStuckError
from covey.framework.events import AgentSlow
from covey.framework.reply import Reply
from covey.framework.state import RUNNING, STARTING

if TYPE_CHECKING:
    from covey.framework.current import Handling
    from covey.framework.deadlines import Bucket

__all__ = ["HandlerWatch", "TimedCell"]

logger = logging.getLogger("covey.agent")

SLOW_SHARE = 0.5
"""Of its deadline: a handler that has used so much is slow."""


class HandlerWatch:
    """Waits in the node's deadline wheel while one handler runs."""

    __slots__ = ("_bucket", "_claim", "_told_slow", "cell", "envelope", "handling", "name", "since")

    def __init__(self, cell: Cell, name: str, envelope: Envelope | None, handling: Handling | None) -> None:
        self.cell = cell
        self.name = name
        self.envelope = envelope
        self.handling = handling
        """Of a coroutine; None for a plain handler, which holds its thread."""
        self.since = cell.node.now()
        self._told_slow = False
        self._claim = [True]  # popped by the handler's end or by its deadline: list.pop is atomic
        self._bucket: Bucket | None = None
        self._wait(SLOW_SHARE)

    @property
    def deadline_s(self) -> float:
        """What its class allows."""
        seconds = self.cell.actor_class.handler_deadline_s
        assert seconds is not None
        return seconds

    def end(self) -> None:
        """The handler has ended; from its thread."""
        self._take()
        if self._bucket is not None:
            self._bucket.discard(self)

    def expire(self) -> None:
        """It is slow, or stuck; on the loop thread."""
        if not self._claim:
            return
        if not self._told_slow:
            self._told_slow = True
            self._tell_slow()
            self._wait(1.0)
        elif self._take():
            _be_stuck(self)

    def _take(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True

    def _wait(self, share: float) -> None:
        node = self.cell.node
        self._bucket = node.dispatcher.wheel.add(self, self.since + self.deadline_s * share)
        node.dispatcher.check_deadlines()

    def _tell_slow(self) -> None:
        node, address = self.cell.node, str(self.cell.address)
        running_s = node.now() - self.since
        message_type = "" if self.envelope is None else node.name_of(self.envelope.message)
        logger.warning(
            "%s is slow: %s (message: %s) has run for %.3g s, and is stuck at %g s",
            address,
            self.name,
            message_type or "none",
            running_s,
            self.deadline_s,
        )
        node.emit(AgentSlow(address, node.name, self.name, message_type, running_s))


class TimedCell(Cell):
    """The cell of an agent whose handlers have a deadline."""

    __slots__ = ()

    def _call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        message: Any,
        envelope: Envelope,
        fatal: bool = True,
    ) -> None:
        if self.executor is self.node.dispatcher:  # it holds the loop, on which its deadline would be noticed
            super()._call(function, arguments, message, envelope, fatal)
            return
        watch = HandlerWatch(self, self._name_of(message), envelope, None)
        try:
            super()._call(function, arguments, message, envelope, fatal)
        finally:
            watch.end()

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        handling: Handling,
        envelope: Envelope | None,
    ) -> None:
        name = "a hook" if envelope is None else self._name_of(envelope.message)
        handling.watch = HandlerWatch(self, name, envelope, handling)
        super()._start(coroutine, context, handling, envelope)

    def _task_over(self, handling: Handling) -> None:
        if handling.watch is not None:
            handling.watch.end()
        super()._task_over(handling)

    def call_hook(self, hook: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self.executor is self.node.dispatcher:
            return super().call_hook(hook, args)
        watch = HandlerWatch(self, hook.__name__, None, None)
        try:
            return super().call_hook(hook, args)
        finally:
            watch.end()

    def _name_of(self, message: Any) -> str:
        handler = self.routes.cache.get(type(message))
        name = "a handler" if handler is None else handler.name
        return f"{self.actor_class.__qualname__}.{name}"


def _be_stuck(watch: HandlerWatch) -> None:
    """The deadline has passed, and the handler has not ended."""
    cell, envelope = watch.cell, watch.envelope
    node = cell.node
    error = AgentStuckError(str(cell.address), watch.name, watch.deadline_s)
    message = None if envelope is None or envelope is TICK else envelope.message
    if cell.executor is not node.dispatcher:
        if cell.state in (RUNNING, STARTING):
            new = node.fencing.supersede(cell)
            new.post(node.failing.fail, new, error, message, _taken_from(envelope, error))
        return  # one that stops has its shutdown time
    handling = watch.handling
    if handling is None or handling.task is None:
        return
    if cell.state in (RUNNING, STARTING):
        node.fencing.detach(cell, handling)
        node.failing.fail(cell, error, message, _taken_from(envelope, error))
        if cell.state == RUNNING:  # it is to go on
            cell.resume()
    else:
        handling.task.cancel()  # a hook, whose end the agent's end waits for


def _taken_from(envelope: Envelope | None, error: AgentStuckError) -> Envelope | None:
    """The mail of a handler that is given up: its own copy answers nobody, also where another one retries."""
    if envelope is None or envelope.reply is None:
        return envelope
    taken = copy(envelope)
    envelope.reply = Reply()
    envelope.reply.fail(error)
    return taken
