"""`AgentRef`: how one talks to an agent, wherever it lives."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from covey.framework.address import Address
from covey.framework.backpressure import DONE, send_or_wait
from covey.framework.cell import STOPPED, Cell
from covey.framework.current import CURRENT, Fenced
from covey.framework.envelope import TICK, Envelope
from covey.framework.errors import AskCycleError, BlockingCallError, ConfigurationError, CoveyError
from covey.framework.events import NO_CONTEXT, is_sampled
from covey.framework.reply import Reply
from covey.framework.terminated import Terminated
from covey.framework.watching import watch_here, watch_of

if TYPE_CHECKING:
    from covey.framework.cluster.route import Route
    from covey.framework.current import Current
    from covey.framework.messages.request import Request
    from covey.framework.node import Node

__all__ = ["MAX_CHAIN", "AgentRef"]

R = TypeVar("R")

MAX_CHAIN = 64
MAX_TIMEOUT_S = 1e9
MAX_WAITING = 1_000_000
"""Asks and tells that wait for room in one mailbox; each ends at its deadline."""


class AgentRef:
    """A location-transparent reference to the agent at an address.

    It survives restarts and moves of the agent, is hashable, and pickles as an address. Refs are equal
    when they mean the same address of the same swarm, bound to the same node: a spawned agent's ref is
    bound to its node, one from `agent()` follows placement. Every method may be called from any thread
    and from any event loop.
    """

    __slots__ = ("_address", "_cell", "_node", "_node_name", "_route")

    def __init__(self, node: Node, address: Address, cell: Cell | None = None, node_name: str = "") -> None:
        self._node = node
        self._address = address
        self._cell = cell
        self._node_name = node_name
        """Set for spawned agents: they live on that node and nowhere else."""
        self._route: Route | None = None

    @property
    def address(self) -> str:
        """`kind/key`."""
        return str(self._address)

    @property
    def kind(self) -> str:
        """First half of the address."""
        return self._address.kind

    @property
    def key(self) -> str:
        """Second half of the address."""
        return self._address.key

    def tell(self, message: Any) -> Awaitable[None]:
        """Send a message without waiting for anything; in order per sender and receiver.

        Never raises for a dead target: the message becomes a dead letter. When the mailbox is full under
        backpressure a thread blocks and a coroutine waits at `await`, both at most until the deadline.
        A tell that waits keeps its place before later ones as long as its awaitable is kept.

        Raises:
            NotSerializableError: it has to leave the process and is no message.
            PayloadTooLargeError: it is larger than the transport carries.
            MailboxFullError: the mailbox is full and its policy or a plain handler cannot wait.
        """
        node, cell, current = self._node, self._cell, CURRENT.get()
        if cell is None or cell.state == STOPPED:
            route = self._route
            if route is None or route.generation != node.outbound.generation:
                cell = self._cell = node.directory.find(self._address, self._node_name)
                if cell is None:
                    route = self._route = node.outbound.route(self._address, self._node_name)
            else:
                cell = None
            if cell is None:
                return self._tell_elsewhere(route, message, current)
        sink, kind, context = node.sink, type(message), NO_CONTEXT
        item: Any
        try:
            if sink is not None and (current is None or may_trace(current)):
                context = sink.outgoing("tell", self._address.kind, message)
            if context or kind is tuple or kind is Envelope:
                sender = None if current is None else current.cell.address
                item = Envelope(message, None, sender, context, node.now() if context else 0.0)
            elif current is None:
                item = message
            else:
                item = (message, current.cell.address)
        except Fenced:
            return node.fencing.refuse_tell(self._address, message)
        # `Cell.offer` written out for the usual case: the call costs a third of the whole tell.
        mail = cell.mail
        if mail is not None and len(mail) < cell.capacity and not cell.waiters:
            mail.append(item)
            if not cell.scheduled:
                cell.scheduled = True
                cell.executor.schedule(cell)
            elif cell.state == STOPPED:
                cell.bury()
            return DONE
        # Who waits for room already is not overtaken: order is kept per sender.
        if not cell.waiters and cell.offer(item):
            return DONE
        return send_or_wait(cell, item, node.ask_timeout_s, cell.wait_for_room)

    def _tell_elsewhere(self, route: Route | None, message: Any, current: Current | None) -> Awaitable[None]:
        node = self._node
        sink, context = node.sink, NO_CONTEXT
        try:
            sender = None if current is None else current.cell.address
            if sink is not None and (current is None or may_trace(current)):
                context = sink.outgoing("tell", self._address.kind, message)
        except Fenced:
            return node.fencing.refuse_tell(self._address, message)
        if route is None:
            envelope = Envelope(message, None, sender, context)
            return node.outbound.tell(self._address, self._node_name, envelope)
        return node.outbound.tell_by(route, message, sender, context)

    @overload
    def ask(self, message: Request[R], timeout: float | None = None) -> Reply[R]: ...
    @overload
    def ask(self, message: Any, timeout: float | None = None) -> Reply[Any]: ...

    def ask(self, message: Any, timeout: float | None = None) -> Reply[Any]:
        """Send a message and get a `Reply`; its deadline is `timeout` seconds from now (default 5).

        Inside a handler the deadline of the message being handled applies too, whichever is earlier.
        Every ask resolves: with the answer, the handler's error, or one of `AskTimeoutError`,
        `AgentDeadError`, `NoHostError`, `UnhandledMessageError`, `AskCycleError`, `MailboxFullError`. The
        last only where it cannot wait, or a million wait for room already.

        Raises:
            NotSerializableError, PayloadTooLargeError: as `tell`.
        """
        node = self._node
        current = CURRENT.get()
        now = node.now()
        timeout_s = node.ask_timeout_s if timeout is None else timeout
        if not 0 <= timeout_s <= MAX_TIMEOUT_S:
            _checked(timeout_s)
        deadline = now + timeout_s
        address = self._address
        chain: tuple[Address, ...] = ()
        if current is not None:
            inherited = current.deadline
            if inherited is not None and inherited < deadline:
                deadline, timeout_s = inherited, max(0.0, inherited - now)
            try:
                chain = _chain(current)
            except Fenced:
                refused: Reply[Any] = Reply(address, deadline, timeout_s, (), type(message), node.now)
                refused.fail(node.fencing.refusal(self.address))
                return refused
        reply: Reply[Any] = Reply(address, deadline, timeout_s, chain, type(message), node.now)
        if address in chain:
            path = (*chain[chain.index(address) :], address)
            reply.fail(AskCycleError(tuple(map(str, path))))
            return reply
        cell = self._cell
        if cell is None or cell.state == STOPPED:
            cell = self._cell = node.directory.find(address, self._node_name)
        sender = None if current is None else current.cell.address
        envelope = Envelope(message, reply, sender)
        sink = node.sink
        if sink is not None and (current is None or may_trace(current)):
            envelope.context = context = sink.outgoing("ask", address.kind, message)
            envelope.put_at = now if context else 0.0
        if cell is None:
            node.outbound.ask(address, self._node_name, envelope, reply)
        else:
            reply._on_cancel = cell.cancel
            # As in `tell`: `Cell.offer` written out.
            mail = cell.mail
            if mail is not None and len(mail) < cell.capacity and not cell.waiters:
                mail.append(envelope)
                if not cell.scheduled:
                    cell.scheduled = True
                    cell.executor.schedule(cell)
                elif cell.state == STOPPED:
                    cell.bury()
            else:
                self._ask_here(cell, envelope, reply)
        node.expect(reply, deadline)
        return reply

    def watch(self) -> Reply[Terminated]:
        """Learn of the agent's end: the reply resolves with a `Terminated` once it has ended for good.

        Within an agent's handler the `Terminated` comes as a message to that agent too, once, ahead of no
        other mail; an agent watches another once at a time, and no longer than it lives itself. Restarts,
        moves and passivation are no end; a watched agent is not passivated, and a placed one is activated
        by this. One that is not alive is reported at once, one whose node is lost as soon as that is known.
        `cancel()` on the reply ends the watch. The reply has no deadline.
        """
        node, current = self._node, CURRENT.get()
        watcher = None if current is None else cast("Cell", current.cell)
        reply, is_new = watch_of(watcher, self._address)
        if not is_new:
            return reply
        cell = node.directory.find(self._address, self._node_name)
        if cell is not None and cell.state != STOPPED:
            watch_here(cell, reply)
        elif not node.outbound.watch(self._address, self._node_name, reply):
            death = node.directory.death_at(self._address)
            reason = "it is not alive" if death is None else death.reason
            reply.resolve(Terminated(address=self.address, reason=reason))
        return reply

    def stop(self, timeout: float | None = None) -> Reply[None]:
        """Let the agent stop after the messages that it has now; resolves when it has stopped.

        The reply's deadline is `timeout` seconds from now (default 5); the agent stops all the same.

        An agent that is not alive is stopped already. A handler of the agent must not wait for it: there
        the reply fails at once with `BlockingCallError`, and the agent stops all the same.
        """
        cell = self._node.directory.find(self._address, self._node_name, activate=False)
        node = self._node
        timeout_s = _checked(node.ask_timeout_s if timeout is None else timeout)
        deadline = node.now() + timeout_s
        reply: Reply[None] = Reply(self._address, deadline, timeout_s, (), "stop", node.now)
        if _waits_here(self._address):
            reply.fail(
                BlockingCallError(
                    f"{reply.target} stops once its handlers have ended, and one of them would wait here for "
                    "that: call self.stop(), or stop() without waiting for it"
                )
            )
        if cell is None or cell.state == STOPPED:
            if cell is None and self._node.outbound.stop(self._address, self._node_name, reply):
                self._node.expect(reply, deadline)
            else:
                reply.resolve(None)
            return reply
        cell.put_stop(reply)
        self._node.expect(reply, deadline)
        return reply

    def _ask_here(self, cell: Cell, envelope: Envelope, reply: Reply[Any]) -> None:
        try:
            if not cell.waiters and cell.offer(envelope):
                return
        except CoveyError:
            return  # the policy `fail` has failed the reply with the same error
        self._ask_when_room(cell, envelope, reply)

    def _ask_when_room(self, cell: Cell, envelope: Envelope, reply: Reply[Any]) -> None:
        """Offer again whenever there is room; the reply's deadline ends it."""
        if cell.waiters is not None and len(cell.waiters) >= MAX_WAITING:
            cell.refuse(envelope, cell.full_error())
            return

        def offer() -> None:
            if reply.done():
                cell.refuse(envelope, cell.full_error())
            elif not cell.offer(envelope):
                assert cell.waiters is not None  # it has stood in it
                cell.waiters.appendleft(offer)

        cell.wait_for_room(offer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AgentRef) and other._identity == self._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str, Address]:
        node = self._node
        # A swarm of one process has one node, to which all is bound; its name alone is not unique.
        return node.swarm, node.name if node.alone else self._node_name, self._address

    def __repr__(self) -> str:
        return f"<AgentRef {self._address}>"

    def __reduce__(self) -> Any:
        return _restore, (self._node.swarm, self._node.name, str(self._address), self._node_name)


def _checked(timeout_s: float) -> float:
    if not 0 <= timeout_s <= MAX_TIMEOUT_S:
        raise ConfigurationError(
            f"timeout={timeout_s!r}: give seconds, from 0 to {MAX_TIMEOUT_S:g}: every ask has a deadline"
        )
    return timeout_s


def may_trace(current: Current) -> bool:
    """Whether what a handler sends can be part of a trace: the decision falls at the root, once.

    Without this test every hop of an unsampled conversation would draw again.
    """
    if current.open_spans:
        return True
    envelope = current.envelope
    if type(envelope) is not Envelope or (not envelope.context and envelope is not TICK):
        return False
    return current.cell.actor_class.trace != "off" and (envelope is TICK or is_sampled(envelope.context))


def _chain(current: Current) -> tuple[Address, ...]:
    """Agents that wait when the agent being run waits: those before it, and itself if it has no free slot."""
    cell = current.cell
    agent_class = cell.actor_class
    if agent_class.dispatcher == "loop":
        if not current.is_async:
            return ()  # a plain handler on the loop cannot wait
        free = cell.running < agent_class.concurrency
    else:
        free = False  # its thread may block
    chain = current.chain
    if agent_class.reentrant or free:
        return chain
    return (*chain, cell.address)[-MAX_CHAIN:]


def _waits_here(address: Address) -> bool:
    """Whether a handler of the agent runs here, or waits for the one that runs here."""
    current = CURRENT.get()
    if current is None:
        return False
    can_wait = current.is_async or current.cell.actor_class.dispatcher == "thread"
    return can_wait and address in (*current.chain, current.cell.address)


def _restore(swarm: str, via: str, address: str, node_name: str) -> AgentRef:
    from covey.framework.local_node import node_of_swarm

    return AgentRef(node_of_swarm(swarm, via), Address.parse(address), None, node_name)
