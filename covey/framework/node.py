"""A node: the agents of one process, their dispatcher, and the way to the other nodes of the swarm."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address, check_key, check_kind
from covey.framework.agent import Agent
from covey.framework.cell import STOPPED, Cell
from covey.framework.cluster.inbound import Inbound
from covey.framework.cluster.open_wire import OpenWire
from covey.framework.cluster.outbound import ENVELOPE_OVERHEAD_BYTES, Outbound
from covey.framework.cluster.presence import JOIN_S, Presence
from covey.framework.cluster.publishing import Publishing
from covey.framework.cluster.tenancy import Tenancy
from covey.framework.directory import Directory
from covey.framework.dispatch_loop import DispatchLoop
from covey.framework.dispatcher import Dispatcher
from covey.framework.errors import BlockingCallError, SwarmFailedError
from covey.framework.events import AgentStarted, Attributes, EventSink, SpanHandle
from covey.framework.failing import Failing
from covey.framework.fenced import check_acting
from covey.framework.fencing import Fencing
from covey.framework.forked import as_forked
from covey.framework.leaving import Leaving
from covey.framework.life import Life
from covey.framework.messages import codec
from covey.framework.passivation import Passivation
from covey.framework.ref import AgentRef
from covey.framework.reply import Reply
from covey.framework.reports import Reports
from covey.framework.spans import no_span, open_span
from covey.framework.supervision.guardian import Guardian
from covey.framework.supervision.trees import Trees
from covey.framework.watchdog import HOLD_S, Watchdog

if TYPE_CHECKING:
    from covey.framework.clock import Clock
    from covey.framework.cluster.outside_port import OutsidePort
    from covey.framework.transport import Transport

__all__ = ["DEFAULT_ASK_TIMEOUT_S", "Node"]

logger = logging.getLogger("covey.node")

DEFAULT_ASK_TIMEOUT_S = 5.0
SERVING_S = 3.0
"""For the server to confirm that it knows what we listen to."""
NO_TRANSPORT_BYTES = 1 << 30


class Node(Reports):
    """Runs agents in this process; one per swarm and process.

    Its methods may be called from any thread unless they say otherwise. Agents run on the dispatcher's
    thread, never on the caller's.
    """

    def __init__(
        self,
        swarm: str,
        name: str,
        *,
        transport: Transport | None = None,
        hosts: Iterable[type[Agent]] = (),
        host_anything: bool = False,
        weight: int = 1,
        listen_s: float = JOIN_S,
        sink: EventSink | None = None,
        ask_timeout_s: float = DEFAULT_ASK_TIMEOUT_S,
        clock: Clock | None = None,
        watchdog_s: float | None = HOLD_S,
        max_message_bytes: int = 0,
    ) -> None:
        super().__init__(name, transport, sink)
        self.swarm = swarm
        self.alone = host_anything
        """Whether no other node can join: its swarm is this process's own, whatever its name."""
        self.ask_timeout_s = ask_timeout_s
        self.max_frame_bytes = self.max_payload_bytes = self.max_envelope_bytes = NO_TRANSPORT_BYTES
        self._max_message_bytes = max_message_bytes
        self.failure: SwarmFailedError | None = None
        self.ended = threading.Event()
        """Set when the node has stopped or its root supervisor gave up."""
        self.dispatcher = Dispatcher(name, clock)
        self.dispatcher.meter.feed(sink)
        self.serving = self.dispatcher.serving
        self.now = self.dispatcher.now
        """Seconds on this node's clock: deadlines, timers, restart windows."""
        self.life = Life(self)
        self.failing = Failing(self)
        self.fencing = Fencing(self)
        self.passivation = Passivation(self)
        self.leaving = Leaving(self)
        self.directory = Directory(self, hosts, host_anything=host_anything)
        self.tenancy = Tenancy(self)
        self.presence = Presence(self, weight, listen_s)
        self.outbound = Outbound(self)
        self.inbound = Inbound(self)
        self.publishing = Publishing(self)
        self.open_wire = OpenWire(self)
        self.trees = Trees(self)
        self._watchdog_s = watchdog_s
        self._watchdog: Watchdog | None = None
        self._numbers = itertools.count(1)
        self.dispatcher.after_turn = self._flush
        self._handled_by_threads = 0
        self.forked = False
        """Whether this process is a fork of the one that runs the node."""
        self._stopping = False
        self._closed = False
        self._lock = threading.Lock()

    # -- life of the node --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the dispatcher and join the swarm; from a thread that runs no node.

        Raises:
            TransportError: the server cannot be reached.
            AddressInUseError: a node of this name is in the swarm.
        """
        self.dispatcher.start()
        self._start_watchdog()
        joining = asyncio.run_coroutine_threadsafe(self._join(), self.dispatcher.loop)
        try:
            joining.result(30)
        except BaseException:
            self._stopping = True
            joining.cancel()
            try:
                asyncio.run_coroutine_threadsafe(self._undo_join(), self.dispatcher.loop).result(10)
            finally:
                self.end_threads()
                self.ended.set()
            raise

    def _start_watchdog(self) -> None:
        loop, hold_s = self.dispatcher.loop, self._watchdog_s
        if hold_s is None:
            return
        selector = loop.selector if isinstance(loop, DispatchLoop) else None
        self._watchdog = Watchdog(self.name, self.dispatcher.ident, selector, hold_s, self.emit)
        self.dispatcher.meter.report_late(hold_s, self._watchdog.late)
        self._watchdog.start()

    async def _join(self) -> None:
        if self._transport is None:
            return
        await self._transport.start(self.swarm, self.name, self)
        self.learn_limits()
        self._connected = True
        self.publishing.connected()
        await self.tenancy.join(self.presence.incarnation)
        await self.presence.join()
        if self.directory.hosts or len(self.directory):
            self.open_wire.serve()
            await self._transport.flush(SERVING_S)  # who is told that this node runs may send to it

    async def _undo_join(self) -> None:
        await self.tenancy.leave()
        await self.close_transport()

    def learn_limits(self) -> None:
        assert self._transport is not None
        limit = self._transport.max_frame_bytes
        overhead = min(ENVELOPE_OVERHEAD_BYTES, limit // 4)
        self.max_frame_bytes = limit - overhead
        self.max_payload_bytes = max(self.max_frame_bytes, self._max_message_bytes)
        self.max_envelope_bytes = self.max_payload_bytes + overhead

    def stop(self, timeout_s: float = 5.0) -> None:
        """Leave the swarm: agents finish what they have, up to the time, then stop; idempotent.

        What is left in mailboxes after the time becomes dead letters.
        """
        if self.dispatcher.here:
            raise BlockingCallError(
                f"node {self.name} cannot be stopped from its own thread, which it would wait for: "
                "stop the agent with self.stop(), or the swarm from outside"
            )
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self.leaving.leave(timeout_s, self.trees.roots)
        self._closed = True
        self.trees.answer_all()
        self.leaving.fail_pending()
        self.ended.set()

    def end_threads(self, timeout_s: float = 5.0) -> None:
        """End the loop's thread and the watchdog's; one that a handler holds is left after the time."""
        if self._watchdog is not None:
            self._watchdog.close()
        self.dispatcher.close(timeout_s)

    def give_up(self, failure: SwarmFailedError) -> None:
        """The root supervisor has failed."""
        logger.error("node %s gives up: %s", self.name, failure)
        if self.failure is None:
            self.failure = failure
        self.ended.set()

    def leave_to_parent(self) -> None:
        """In the child of a fork: every use raises from now on, and stopping does nothing."""
        for cell in self.directory.all_cells:
            cell.state = STOPPED  # refs look into the directory again
        self.forked = True
        self._stopping = self._closed = True
        self.directory = self.publishing = self.presence = as_forked(self.name)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called: nothing is started again."""
        return self._stopping

    # -- agents ------------------------------------------------------------------------------------

    def agent(self, kind_or_cls: str | type[Agent], key: str) -> AgentRef:
        """A ref to the agent at that address, wherever it lives; it is activated by its first message."""
        kind = check_kind(self.directory.kind_of(kind_or_cls))
        address = Address(kind, check_key(key))
        return AgentRef(self, address, self.directory.find(address, activate=False))

    def spawn(
        self,
        cls: type[Agent],
        key: str | None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        parent: Cell | None = None,
        supervisor: Guardian | None = None,
        before_start: Callable[[Cell], None] | None = None,
    ) -> Cell:
        """Start an agent on this node. `key=None` takes the next number."""
        if self.fencing.has_left:
            check_acting(self, getattr(cls, "kind", "agent"))
        return self.directory.spawn(cls, key, args, kwargs or {}, parent, supervisor, before_start)

    def started(self, cell: Cell) -> None:
        """An agent began to run."""
        if not self.open_wire.serving:
            self.open_wire.serve()
        if cell.routes.subscriptions:
            self.publishing.agent_started(cell)
        if self.is_observed:
            self.emit(AgentStarted(str(cell.address), self.name))

    def new_message_id(self) -> str:
        """A name for a message of this node that a report needs."""
        return f"{self.name}-local-{next(self._numbers)}"

    def ref_of(self, cell: Cell) -> AgentRef:
        """A ref to a live agent of this node."""
        return AgentRef(
            self, cell.address, cell, "" if cell.placed or cell.supervisor is not None else self.name
        )

    def ref_to(self, address: Address) -> AgentRef:
        """A ref to an agent that was heard of; one that was spawned here has its node in it."""
        cell = self.directory.find(address, activate=False)
        return AgentRef(self, address) if cell is None else self.ref_of(cell)

    def is_stopped(self, cell: Cell) -> bool:
        """Whether the cell has stopped for good."""
        return cell.state == STOPPED

    def request_stop(self, cell: Cell) -> None:
        """Stop an agent ahead of what is in its mailbox."""
        cell.post(self.life.stop, cell, "stopped")

    def publish(self, topic: str, message: Any) -> Awaitable[None]:
        """Send a message to every agent of the swarm that subscribes to the topic; waits as a tell does."""
        if self.fencing.has_left:
            check_acting(self, f"topic {topic}")
        return self.publishing.publish(topic, message)

    # -- what cells and refs need ------------------------------------------------------------------

    def forget(self, cell: Cell) -> None:
        """A cell has stopped."""
        self.directory.forget(cell)
        self.publishing.forget(cell)
        self.leaving.agent_ended()
        if cell.executor is not self.dispatcher:
            self._handled_by_threads += getattr(cell.executor, "handled", 0)

    def expect(self, reply: Reply[Any] | OutsidePort, deadline: float) -> None:
        """Resolve the reply with a timeout at its deadline."""
        dispatcher = self.dispatcher
        wheel = dispatcher.wheel
        bucket = reply._bucket = wheel.add(reply, deadline)
        if reply.done():  # answered before it knew its bucket
            bucket.discard(reply)
            return
        if wheel.next_s < dispatcher.armed_for:
            dispatcher.check_deadlines()
        if self._closed:
            self.leaving.fail_pending()  # no loop will expire it

    def later(self, delay_s: float, function: Callable[[], object]) -> None:
        """Call a function on the loop thread after a delay; at once when it is 0."""
        if delay_s <= 0:
            self.dispatcher.call(function)
        else:
            self.dispatcher.call(self.dispatcher.loop.call_later, delay_s, function)

    def name_of(self, message: Any) -> str:
        """The type name of a message for reports and spans."""
        return codec.type_name(message)

    @property
    def handled(self) -> int:
        """Messages that agents of this node have handled."""
        threads = sum(
            getattr(cell.executor, "handled", 0)
            for cell in self.directory.cells
            if cell.executor is not self.dispatcher
        )
        return self.dispatcher.handled + self._handled_by_threads + threads

    def span(
        self, kind: str, name: str, attributes: Attributes, new_trace: bool, start_time_s: float | None
    ) -> AbstractContextManager[SpanHandle]:
        """A span in the current trace, or one that does nothing."""
        if self.sink is None:
            return no_span()
        return open_span(self.sink, kind, name, attributes, new_trace, start_time_s)

    # -- changes in the swarm, on the loop thread --------------------------------------------------

    def node_left(self, name: str, why: str) -> None:
        """A node is gone: fail what waits for it."""
        self.outbound.node_left(name, why)
        self.inbound.node_left(name)
        self.trees.node_left(name)

    def placement_changed(self) -> None:
        """Stop the placed agents that belong to another node now; their mail is handled first."""
        for cell in self.directory.cells:
            if cell.placed and self.presence.locate(cell.address, "") not in (self.name, None):
                self.ref_of(cell).stop()
        self.trees.nodes_changed()
