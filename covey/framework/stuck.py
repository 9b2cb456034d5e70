"""Handlers that run for too long: slow ones are reported, stuck ones are failures of their agent.

Only the cells of classes with `handler_deadline_s` know of this; all others pay nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from covey.framework.cell import Cell
from covey.framework.current import Fenced
from covey.framework.envelope import TICK, Envelope
from covey.framework.errors import AgentStuckError
from covey.framework.events import AgentSlow
from covey.framework.fencing import take_reply
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

    __slots__ = (
        "_bucket",
        "_has_ended",
        "_is_stuck",
        "_lock",
        "_told_slow",
        "cell",
        "envelope",
        "handling",
        "name",
        "since",
    )

    def __init__(self, cell: Cell, name: str, envelope: Envelope | None, handling: Handling | None) -> None:
        self.cell = cell
        self.name = name
        self.envelope = envelope
        self.handling = handling
        """Of a coroutine; None for a plain handler, which holds its thread."""
        self.since = cell.node.now()
        self._told_slow = False
        self._lock = threading.RLock()
        self._has_ended = self._is_stuck = False
        self._bucket: Bucket | None = None
        self._wait(SLOW_SHARE)

    @property
    def deadline_s(self) -> float:
        """What its class allows."""
        seconds = self.cell.actor_class.handler_deadline_s
        assert seconds is not None
        return seconds

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a plain handler; what it gives is lost if it is given up meanwhile.

        Raises:
            Fenced: it was given up.
            BaseException: what the handler raises.
        """
        try:
            result = function(*args)
        finally:
            is_late = not self.end()
        if not is_late:
            return result
        if self.envelope is not None and self.envelope is not TICK and self.envelope.reply is not None:
            self.cell.answered_too_late(self.envelope, result)
        raise Fenced

    def end(self) -> bool:
        """The handler has ended; False if it was given up before. From its thread."""
        with self._lock:  # whoever gives it up has done so when this goes on
            in_time, self._has_ended = not self._is_stuck, True
        if self._bucket is not None:
            self._bucket.discard(self)
        return in_time

    def expire(self) -> None:
        """It is slow, or stuck; on the loop thread."""
        with self._lock:
            if self._has_ended or self._is_stuck:
                return
            if self._told_slow:
                self._is_stuck = True
                _be_stuck(self)
                return
            self._told_slow = True
            self._wait(1.0)
        self._tell_slow()

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
        # By the class: that of a cell whose thread is left behind changes at any time.
        if self.executor is not self.node.dispatcher:  # on the loop nothing would notice its deadline
            watch = HandlerWatch(self, self._name_of(message), envelope, None)
            function, arguments = watch.run, (function, *arguments)
        Cell._call(self, function, arguments, message, envelope, fatal)

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        handling: Handling,
        envelope: Envelope | None,
    ) -> None:
        name = "a hook" if envelope is None else self._name_of(envelope.message)
        handling.watch = HandlerWatch(self, name, envelope, handling)
        Cell._start(self, coroutine, context, handling, envelope)

    def _task_over(self, handling: Handling) -> None:
        if handling.watch is not None:
            handling.watch.end()
        Cell._task_over(self, handling)

    def call_hook(self, hook: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self.executor is not self.node.dispatcher:
            watch = HandlerWatch(self, hook.__name__, None, None)
            hook, args = watch.run, (hook, *args)
        return Cell.call_hook(self, hook, args)

    def _name_of(self, message: Any) -> str:
        handler = self.routes.cache.get(type(message))
        name = "on_receive" if handler is None else handler.name
        return f"{self.actor_class.__qualname__}.{name}"


def _be_stuck(watch: HandlerWatch) -> None:
    """The deadline has passed, and the handler has not ended."""
    cell, envelope = watch.cell, watch.envelope
    node = cell.node
    error = AgentStuckError(str(cell.address), watch.name, watch.deadline_s)
    message = None if envelope is None or envelope is TICK else envelope.message
    if cell.executor is not node.dispatcher:
        if cell.state in (RUNNING, STARTING):
            taken = take_reply(envelope, error)
            new = node.fencing.supersede(cell)
            new.post(node.failing.fail, new, error, message, taken)
        return  # one that stops has its shutdown time
    handling = watch.handling
    if handling is None or handling.task is None:
        return
    if cell.state in (RUNNING, STARTING):
        node.fencing.detach(cell, handling)
        node.failing.fail(cell, error, message, take_reply(envelope, error))
        if cell.state == RUNNING:  # it is to go on
            cell.resume()
    else:
        handling.task.cancel()  # a hook, whose end the agent's end waits for
