"""`Agent`: a Pykka actor on the shared dispatcher."""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast
from uuid import uuid4

import pykka

from covey.framework.address import snake_case
from covey.framework.agent_settings import check_passivation, check_settings
from covey.framework.construction import take_cell
from covey.framework.current import CURRENT
from covey.framework.envelope import Envelope
from covey.framework.errors import AgentDeadError, ConfigurationError
from covey.framework.fenced import check_acting
from covey.framework.handlers import RouteTable
from covey.framework.linking import link, unlink
from covey.framework.mailbox import Mailbox
from covey.framework.pykka_bridge import Inbox, InstanceRef, StopFlag
from covey.framework.pykka_future import AgentFuture
from covey.framework.pykka_registry import register, speed_up_registry
from covey.framework.state import FAILED, STATES
from covey.framework.timers import DelayedTell

if TYPE_CHECKING:
    from covey.framework.cell import Cell
    from covey.framework.events import SpanHandle
    from covey.framework.ref import AgentRef

__all__ = ["Agent"]


class Agent(pykka.Actor):
    """An actor: private state, a bounded mailbox, one message at a time.

    Subclass it, mark methods with `@handles` and `@every`, and start it with `swarm.spawn` or
    `swarm.agent`. It is a genuine `pykka.Actor`: `actor_ref`, proxies and the hooks `on_start`, `on_stop`,
    `on_failure` and `on_receive` behave as Pykka documents them, and may be `async def`.

    Messages of one sender are handled in the order in which they were sent. Each is handled at most once,
    or becomes a dead letter.
    """

    kind: ClassVar[str] = "agent"
    """First half of the address; the class name in snake case unless set."""
    dispatcher: ClassVar[Literal["loop", "thread"]] = "loop"
    """`loop`: no thread of its own, handlers must not block. `thread`: a thread, handlers may block."""
    mailbox: ClassVar[Mailbox] = Mailbox()
    concurrency: ClassVar[int] = 1
    """How many `async def` handlers may run at once; only their starts are then in order."""
    reentrant: ClassVar[bool] = False
    """Whether asks of this agent are left out of the check for ask cycles."""
    cancellable: ClassVar[bool] = True
    """Whether a cancelled ask may cancel its running handler."""
    idle_after_s: ClassVar[float | None] = None
    """Passivation: an agent without a message for so long (at most half as long again) gives its instance
    up, after `on_stop`; its next message makes a new one. Ticks of `@every` do not keep it. One that has
    children, is watched, or waits for a message of `after` stays."""
    handler_deadline_s: ClassVar[float | None] = None
    """A handler that runs for longer is stuck: an `async def` one is cancelled, one in a thread is left
    behind, and the agent fails with `AgentStuckError`. One that has used half of it is reported as slow. A
    plain handler on the loop cannot be ended: it is only reported."""
    max_retries: ClassVar[int] = 0
    """How often the restarted agent is given a message again that it failed with, ahead of its other mail;
    then it is a dead letter, and an asker gets the error. Without a restart there is no retry."""
    preserve_state: ClassVar[bool] = False
    """Whether a restarted agent takes over the attributes of the instance before it: see `restore_state`."""
    durable: ClassVar[bool] = False
    """Not available yet: any other value is refused."""
    trace: ClassVar[Literal["off", "sampled"]] = "sampled"
    """`off`: its handling makes no spans and what it sends starts no trace."""

    _routes: ClassVar[RouteTable]
    _has_on_receive: ClassVar[bool] = False
    _cell: Cell | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            cls.kind = snake_case(cls.__name__)
        check_settings(cls)
        cls._has_on_receive = cls.on_receive is not Agent.on_receive
        cls._routes = RouteTable(cls)
        check_passivation(cls)

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        agent = super().__new__(cls)
        agent._cell = take_cell()
        return agent

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Pykka's own constructor would make an Event and a UUID: most of an idle actor's memory.
        pass

    # -- who and where -----------------------------------------------------------------------------

    @property
    def _own(self) -> Cell:
        if self._cell is None:
            name = type(self).__name__
            raise ConfigurationError(
                f"this {name} was made by calling {name}(...): it is not started; "
                f"use swarm.spawn({name}, key) or {name}.start()"
            )
        return self._cell

    @property
    def key(self) -> str:
        """Second half of the address."""
        return self._own.address.key

    @property
    def address(self) -> str:
        """`kind/key`."""
        return str(self._own.address)

    @property
    def ref(self) -> AgentRef:
        """A ref to this agent, to hand to others."""
        return self._own.node.ref_of(self._own)

    @property
    def sender(self) -> AgentRef | None:
        """Who sent the message being handled, if it was an agent."""
        current = CURRENT.get()
        sender = None if current is None else current.sender
        return None if sender is None else self._own.node.ref_to(sender)

    @property
    def deadline(self) -> float | None:
        """Seconds left until the asker of the message being handled waits no longer; None for a tell."""
        current = CURRENT.get()
        deadline = None if current is None else current.deadline
        return None if deadline is None else deadline - self._own.node.now()

    # -- what it can do ----------------------------------------------------------------------------

    def agent(self, kind_or_cls: str | type[Agent], key: str) -> AgentRef:
        """A ref to the agent at that address, wherever it lives."""
        return self._own.node.agent(kind_or_cls, key)

    def spawn(self, cls: type[Agent], key: str, *args: Any, **kwargs: Any) -> AgentRef:
        """Start a child on this node; it stops with this agent.

        Raises:
            AddressInUseError: an agent lives at that address.
            Exception: what the child's constructor raises.
        """
        node = self._own.node
        return node.ref_of(node.spawn(cls, key, args, kwargs, parent=self._own))

    def after(self, delay_s: float, message: Any) -> DelayedTell:
        """Send this agent a message in `delay_s` seconds, unless it stops or fails first, or `cancel()`.

        The message finds room even in a full mailbox, and is handled as any other.
        """
        if isinstance(delay_s, bool) or not isinstance(delay_s, int | float) or not 0 <= delay_s < 1e9:
            raise ConfigurationError(f"after({delay_s!r}, ...): give seconds, 0 or more")
        cell = self._own
        check_acting(cell.node, self.address)
        if cell.state >= FAILED:
            raise AgentDeadError(str(cell.address), f"it is {STATES[cell.state]}, and waits for nothing more")
        return DelayedTell(cell, float(delay_s), Envelope(message, None, cell.address))

    def link(self, ref: AgentRef) -> None:
        """Crash together with another agent: when either fails, is killed or is lost with its node, so does
        the other, with `LinkedAgentError`.

        A link is between the present instances, so a restarted agent links anew, in `on_start` say. One that
        just stops ends the link without harm. One that is not alive fails this agent at once. To hear of an
        agent's end without failing, `watch()` it.
        """
        check_acting(self._own.node, self.address)
        link(self._own, _checked_ref(ref, "link")._address, ref._node_name)

    def unlink(self, ref: AgentRef) -> None:
        """End a link; neither agent comes to harm."""
        unlink(self._own, _checked_ref(ref, "unlink")._address)

    def publish(self, topic: str, message: Any) -> Awaitable[None]:
        """Send a message to every agent of the swarm that subscribes to the topic; at most once each."""
        return self._own.node.publish(topic, message)

    def span(
        self, name: str, *, new_trace: bool = False, start_time_s: float | None = None, **attributes: Any
    ) -> AbstractContextManager[SpanHandle]:
        """A span around a block of a handler, in the trace of the message being handled.

        Without a trace it does nothing, unless `new_trace`: then one may begin here (head sampling
        decides). `start_time_s` is seconds since the epoch.
        """
        return self._own.node.span(self.kind, name, attributes, new_trace, start_time_s)

    def stop(self) -> None:
        """Stop after the messages that are in the mailbox now."""
        check_acting(self._own.node, self.address)
        self._own.node.ref_of(self._own).stop()

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take over the attributes of the instance before: `preserve_state`, after a restart.

        Called after the constructor and before `on_start`. Override it to take over less, or to check what
        may be damaged: where it raises, the state is given up and the next instance begins afresh.
        """
        vars(self).update(state)

    # -- Pykka's contract --------------------------------------------------------------------------

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> pykka.ActorRef[Self]:
        """Start it on the process's own local node, as Pykka does; returns Pykka's ref."""
        from covey.framework.local_node import default_node

        cell = default_node().spawn(cls, None, args, kwargs, before_start=register)
        return cast("pykka.ActorRef[Self]", cell.actor_ref)

    @property
    def actor_ref(self) -> pykka.ActorRef[Self]:
        """Pykka's ref to this instance."""
        cell = self._own
        if cell.actor_ref is None or cell.actor_ref._actor_weakref() is not self:
            speed_up_registry()
            cell.actor_ref = InstanceRef(self)
        return cast("pykka.ActorRef[Self]", cell.actor_ref)

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A name unique to this instance; made when it is first asked for."""
        urn = self.__dict__.get("_actor_urn")
        return cast("str", urn or self.__dict__.setdefault("_actor_urn", uuid4().urn))

    @property
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """The mailbox as Pykka's refs see it."""
        return Inbox(self._own)

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """A flag with the interface of `threading.Event` that is set once the agent has stopped."""
        return cast("threading.Event", StopFlag(self._own))

    @staticmethod
    def _create_actor_inbox() -> Any:
        raise ConfigurationError("an Agent's mailbox is made by its node: use swarm.spawn(...) or start()")

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return AgentFuture()

    def _start_actor_loop(self) -> None:
        raise ConfigurationError("an Agent has no loop of its own: use swarm.spawn(...) or start()")

    def __str__(self) -> str:
        return f"{type(self).__name__} ({self.actor_urn})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'not started' if self._cell is None else self.address}>"


Agent._routes = RouteTable(Agent)


def _checked_ref(ref: Any, what: str) -> AgentRef:
    from covey.framework.ref import AgentRef

    if not isinstance(ref, AgentRef):
        raise ConfigurationError(f"{what}({ref!r}): give the other agent's ref, as self.agent(Kind, key)")
    return ref
