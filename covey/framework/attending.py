"""An agent's tasks: how `async def` handlers and hooks run, are cancelled, and end.

Everything but `cancel` runs in the agent's executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any

from covey.framework.current import CURRENT, Current, FencedHandling, Handling
from covey.framework.dispatch_loop import cancel_from_outside
from covey.framework.envelope import TICK, Envelope
from covey.framework.errors import AskCancelledError, Reject
from covey.framework.mail_queue import MailQueue
from covey.framework.state import RUNNING, STOPPING

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.agent import Agent
    from covey.framework.dispatcher import Executor
    from covey.framework.envelope import ReplyPort
    from covey.framework.handlers import RouteTable
    from covey.framework.node import Node

__all__ = ["Attending"]


class Attending(MailQueue, Current):
    """A mailbox with the instance that handles its messages, and the tasks in which it does."""

    __slots__ = (
        "actor",
        "concurrency",
        "context",
        "envelope",
        "open_spans",
        "restarts",
        "routes",
        "running",
        "stop_ports",
        "tasks",
    )

    is_async = False
    """As the `Current` of plain handlers."""

    def __init__(self, node: Node, actor_class: type[Agent], address: Address, executor: Executor) -> None:
        super().__init__(node, actor_class, address, executor)
        self.actor: Agent | None = None
        self.routes: RouteTable = actor_class._routes
        self.concurrency = actor_class.concurrency
        self.running = 0
        """Tasks of this agent that run now, hooks included."""
        self.restarts = 0
        self.tasks: dict[asyncio.Task[Any], Handling] | None = None
        self.stop_ports: list[Any] | None = None
        """Who waits for the end."""
        self.context: Context | None = None
        self.envelope: Any = None
        self.open_spans = 0

    @property
    def cell(self) -> Attending:  # type: ignore[override]
        """As the `Current` of plain handlers."""
        return self

    # -- what the life of the agent decides ---------------------------------------------------------

    def asked_to_stop(self) -> None:
        """The mail before the request to stop has been handled."""
        raise NotImplementedError

    def task_ended(self) -> None:
        """A task has ended while the agent stops."""
        raise NotImplementedError

    def failed(self, error: BaseException, message: Any, envelope: Envelope | None) -> None:
        """A handler raised."""
        raise NotImplementedError

    def call_hook(self, hook: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call a hook in the agent's context."""
        return (self.context or self.own_context()).run(hook, *args)

    def own_context(self) -> Context:
        """The context that this agent's code runs in; made at first use."""
        context = self.context
        if context is None:
            context = self.context = Context()
            context.run(CURRENT.set, self)
        return context

    def add_stop_port(self, reply: ReplyPort) -> None:
        """Answer once the agent has stopped."""
        if self.stop_ports is None:
            self.stop_ports = []
        self.stop_ports.append(reply)

    def answered_too_late(self, envelope: Envelope, result: Any) -> None:
        """A handler has ended whose asker waits no longer: what it answered is not lost without a trace."""
        if result is not None:
            late = Envelope(result, None, self.address, envelope.context)
            detail = "its asker waits no longer: give ask() a longer timeout="
            self.node.dead_letter(envelope.sender or "", late, "late reply", detail)

    def cancel(self, reply: Any) -> None:
        """Cancel the handler that owes this reply, if it runs as a task and may be; from any thread."""
        if not self.actor_class.cancellable:
            return
        if self.executor is self.node.dispatcher:
            # Between two turns: the handler has then either not been looked at or has its task.
            self.node.dispatcher.call(self._cancel_tasks_for, reply)
        else:
            self._cancel_tasks_for(reply)

    def _cancel_tasks_for(self, reply: Any) -> None:
        for task, handling in list((self.tasks or {}).items()):
            envelope = handling.envelope
            if type(envelope) is Envelope and envelope.reply is reply:
                cancel_from_outside(task)

    # -- tasks -------------------------------------------------------------------------------------

    def _start_handler(
        self, coroutine: Coroutine[Any, Any, Any], message: Any, envelope: Envelope, fatal: bool
    ) -> None:
        handling = Handling(self, envelope)
        # One at a time shares the agent's context; several at once must not see each other's `sender`.
        context = self.context or self.own_context()
        if self.concurrency > 1:
            context = context.copy()
        context.run(CURRENT.set, handling)
        self._start(self._attend(coroutine, handling, message, envelope, fatal), context, handling, envelope)

    def start_hook(self, coroutine: Coroutine[Any, Any, Any], ended: Callable[[Any], None]) -> None:
        """Run a hook's coroutine as this agent's; then `ended(error)`, outside of the agent's context."""
        handling = Handling(self)
        context = self.own_context()
        context.run(CURRENT.set, handling)
        self._start(self._attend_hook(coroutine, handling, ended), context, handling, None)

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        handling: Handling,
        envelope: Envelope | None,  # noqa: ARG002 - for cells whose handlers have a deadline
    ) -> None:
        self.running += 1
        handling.task, step = self.executor.make_task(coroutine, context)
        if self.tasks is None:
            self.tasks = {}
        self.tasks[handling.task] = handling
        if step is None:
            self.executor.run_tasks()
        else:
            context.run(step)

    async def _attend(
        self,
        coroutine: Coroutine[Any, Any, Any],
        handling: Handling,
        message: Any,
        envelope: Envelope,
        fatal: bool,
    ) -> None:
        """The body of a handler's task."""
        born, since = self.restarts, monotonic()
        try:
            result = await coroutine
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            # Hooks that follow enter the agent's context anew, so this has to be left first.
            self.executor.call(self._task_failed, handling, error, message, envelope, fatal, born)
            return
        if envelope.reply is not None and not envelope.reply.resolve(result):
            self.answered_too_late(envelope, result)
        meter, took_s = self.executor.meter, monotonic() - since
        meter.tasks_left -= 1
        if took_s > meter.slow_s or meter.tasks_left <= 0:
            meter.attended(self, message, took_s)
        self._task_over(handling)
        if self.state == RUNNING:
            if self.stalled:
                self.resume()
        elif self.state == STOPPING:
            self.executor.call(self.task_ended)

    async def _attend_hook(
        self, coroutine: Coroutine[Any, Any, Any], handling: Handling, ended: Callable[[Any], None]
    ) -> None:
        raised: BaseException | None = None
        try:
            await coroutine
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            raised = error
        self.executor.call(self._hook_over, handling, ended, raised)

    def _task_over(self, handling: Handling) -> None:
        # Tasks that the handler left behind inherit neither its deadline nor its place in a chain.
        if type(handling) is FencedHandling:  # it was given up, and counted as ended then
            if self.tasks is not None and handling.task is not None:
                self.tasks.pop(handling.task, None)
            return
        handling.envelope, handling.is_async = None, False
        if self.concurrency == 1 and self.context is not None:
            if CURRENT.get() is handling:
                CURRENT.set(self)
            else:
                self.context.run(CURRENT.set, self)
        self.running -= 1
        if self.tasks is not None and handling.task is not None:
            self.tasks.pop(handling.task, None)

    def _task_failed(
        self,
        handling: Handling,
        error: BaseException,
        message: Any,
        envelope: Envelope,
        fatal: bool,
        born: int,
    ) -> None:
        self._task_over(handling)
        # What an old instance left is no failure of the new one.
        is_own = born == self.restarts and type(handling) is not FencedHandling
        self._raised(error, message, envelope, fatal and is_own)
        self._go_on()

    def _hook_over(
        self,
        handling: Handling,
        ended: Callable[[Any], None],
        error: BaseException | None,
    ) -> None:
        self._task_over(handling)
        ended(error)
        self._go_on()

    def _go_on(self) -> None:
        if self.state == RUNNING:
            self.resume()
        elif self.state == STOPPING:
            self.task_ended()

    def _raised(self, error: BaseException, message: Any, envelope: Envelope, fatal: bool) -> None:
        reply = envelope.reply
        if isinstance(error, asyncio.CancelledError):
            if reply is not None:
                reply.fail(AskCancelledError(str(self.address)))
            elif envelope is not TICK:
                self.discard(envelope, "cancelled")
            return
        if isinstance(error, Reject):
            if reply is not None:
                reply.fail(error)
            elif envelope is not TICK:
                self.discard(envelope, "rejected", error)
        elif (fatal or not isinstance(error, Exception)) and self.state in (RUNNING, STOPPING):
            self.failed(error, message, envelope)  # which answers, unless the message is tried again
        elif reply is not None:
            reply.fail(error)
