"""`Swarm`: the front door. Wires a node, a transport and observability together."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from covey.framework.address import check_key
from covey.framework.agent import Agent
from covey.framework.agent_info import AgentInfo, info_of
from covey.framework.cluster.membership import NodeInfo
from covey.framework.cluster.presence import JOIN_S
from covey.framework.dead_letters import DeadLetters
from covey.framework.errors import ConfigurationError, SwarmFailedError
from covey.framework.events import Event, NodeJoined, NodeLeft
from covey.framework.hosting import check_hosts
from covey.framework.local_node import adopt
from covey.framework.node import Node
from covey.framework.ref import AgentRef
from covey.framework.reply import Reply
from covey.framework.supervision.snapshot import MOST_CHILDREN, check_most, tree_of
from covey.framework.supervision.supervisor import Supervisor
from covey.framework.supervision.supervisor_ref import SupervisorRef
from covey.framework.supervision.survey import SURVEY_S, Survey
from covey.framework.supervision.tree import NodeTree
from covey.swarm_options import SwarmOptions

if TYPE_CHECKING:
    from covey.framework.transport import Transport
    from covey.transports import EmbeddedServer

__all__ = ["Swarm"]

logger = logging.getLogger("covey.swarm")

STOP_TIMEOUT_S = 5.0


class Swarm:
    """This process's place in a swarm: spawn agents here, talk to agents anywhere.

    Make one with `Swarm.local`, `Swarm.connect` or `Swarm.embedded` and use it as `with` or `async with`
    (or call `start()` and `stop()`). Agents run on the node's own thread, so all of it works in plain
    scripts and inside a running event loop alike. Every method may be called from any thread.

    Leaving the `with` block lets agents finish the messages that they have, up to 5 seconds.

    Raises:
        SwarmFailedError: at the end of the `with` block, when the root supervisor gave up.
    """

    def __init__(
        self,
        name: str,
        *,
        transport: Callable[[], Transport],
        hosts: Iterable[type[Agent]],
        alone: bool = False,
        server: EmbeddedServer | None = None,
        **options: Any,
    ) -> None:
        self.name = check_key(name, "the swarm name")
        self._options = SwarmOptions.checked(options)
        self.node_name = self._options.node
        self._make_transport = transport
        self._hosts = tuple(hosts)
        check_hosts(self._hosts)
        self._alone = alone  # nobody else can be on its transport: hosts anything, and waits for nobody
        self._server = server
        self._node: Node | None = None
        self._lock = threading.Lock()

    # -- making one --------------------------------------------------------------------------------

    @classmethod
    def local(cls, name: str = "local", **options: Any) -> Self:
        """A swarm of this process alone; hosts any agent class that it is asked for."""
        from covey.transports import MemoryHub, MemoryTransport

        hosts = options.pop("hosts", ())
        return cls(
            name,
            transport=lambda: MemoryTransport(MemoryHub()),
            hosts=hosts,
            alone=True,
            **options,
        )

    @classmethod
    def connect(
        cls, url: str | None = None, *, name: str = "covey", hosts: Sequence[type[Agent]] = (), **options: Any
    ) -> Self:
        """A node of the swarm `name` on a NATS server.

        `url` defaults to `COVEY_NATS_URL`, else `nats://127.0.0.1:4222`. `hosts` are the kinds that may be
        placed on this node; they construct without arguments. Options: `node` (this node's name),
        `weight`, `ask_timeout_s`, `trace_ratio`, `trace_directory`, `watchdog_s` (how long a handler may
        hold the loop before it is reported; 0 for ever), `uvloop` (whether the node runs on uvloop; its
        watchdog then sees plain handlers only, once they have ended), `max_message_bytes` (let larger
        messages than the server's `max_payload` travel in parts, up to this; on every node). To log in:
        `user` and `password`, `token`, `nkey` or `credentials` (paths), `tls`, `tls_ca`, `tls_cert`,
        `tls_key`, `tls_hostname`.

        Raises:
            ConfigurationError: a class of `hosts` cannot be placed, or an option makes no sense.

        Raises (at start):
            TransportError: the server cannot be reached, or refuses us.
            PermissionDeniedError: it refuses a subject that a node needs.
            AddressInUseError: the swarm has a node of this name.
        """
        from covey.transports import NatsLogin, NatsTransport

        address = url or os.environ.get("COVEY_NATS_URL") or "nats://127.0.0.1:4222"
        login = NatsLogin.taken_from(options)
        login.check_url(address)
        return cls(
            name,
            transport=lambda: NatsTransport(address, login=login),
            hosts=hosts,
            **options,
        )

    @classmethod
    def embedded(
        cls,
        *,
        name: str = "covey",
        hosts: Sequence[type[Agent]] = (),
        port: int | None = None,
        **options: Any,
    ) -> Self:
        """As `connect`, on a private nats-server that this process starts and ends.

        Other processes of this machine join it with `Swarm.connect(swarm.url, name=...)`. It listens on
        loopback, on a free port unless `port` is given.

        Raises (at start):
            ServerNotFoundError: there is no nats-server binary.
            TransportError: the port is taken.
        """
        from covey.transports import EmbeddedServer, NatsTransport

        server = EmbeddedServer(port=port)
        return cls(
            name,
            transport=lambda: NatsTransport(server.url),
            hosts=hosts,
            **options,
            server=server,
        )

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the node and join the swarm; done by `with`."""
        from covey.observability import setup

        with self._lock:
            if self._node is not None:
                raise ConfigurationError(
                    "this swarm was started before: make a new one with Swarm.local() or connect()"
                )
            if self._server is not None:
                self._server.start()
            sink = None
            try:
                options = self._options
                sink = setup(
                    self.name, self.node_name, ratio=options.trace_ratio, directory=options.trace_directory
                )
                node = Node(
                    self.name,
                    self.node_name,
                    transport=self._make_transport(),
                    hosts=self._hosts,
                    host_anything=self._alone,
                    weight=options.weight,
                    listen_s=0.0 if self._alone else JOIN_S,
                    sink=sink,
                    ask_timeout_s=options.ask_timeout_s,
                    clock=options.clock,
                    watchdog_s=options.watchdog_s,
                    max_message_bytes=options.max_message_bytes,
                )
                node.start()
            except BaseException:
                if sink is not None:
                    sink.close(0.0)
                if self._server is not None:
                    self._server.stop()
                raise
            self._node = node
        adopt(node)
        self.traces = "traces: off" if sink is None else sink.destination
        logger.info("node %s of swarm %s: %s", self.node_name, self.name, self.traces)
        return self

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Leave the swarm: agents finish what they have, up to the time. Idempotent."""
        node = self._node
        if node is None or node.forked:
            return  # in a fork the server, like the node, is the parent's
        node.stop(timeout_s)
        if node.sink is not None:
            node.sink.close(1.0)
        if self._server is not None:
            self._server.stop()

    drain = stop

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the node has stopped; False when `timeout` seconds passed first.

        Raises:
            SwarmFailedError: the root supervisor gave up.
        """
        node = self._running
        end = None if timeout is None else monotonic() + timeout
        # In slices, so that Ctrl-C is served on every platform.
        while not node.ended.wait(0.5 if end is None else max(0.0, min(0.5, end - monotonic()))):
            if end is not None and monotonic() >= end:
                return False
        if node.failure is not None:
            raise node.failure
        return True

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._raise_failure(error)

    async def __aenter__(self) -> Self:
        try:
            await _in_thread(self.start)
        except asyncio.CancelledError:
            await _in_thread(self.stop)  # nobody will leave the block that was not entered
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _in_thread(self.stop)
        self._raise_failure(error)

    def _raise_failure(self, error: BaseException | None) -> None:
        failure = None if self._node is None else self._node.failure
        if failure is not None and not isinstance(error, SwarmFailedError):
            raise failure  # its cause is the child's error; one of the block becomes its context

    # -- agents ------------------------------------------------------------------------------------

    def spawn(self, cls: type[Agent], key: str, *args: Any, **kwargs: Any) -> AgentRef:
        """Start an agent on this node, with arguments for its constructor, which runs in this thread.

        Raises:
            AddressInUseError: an agent lives at that address.
            Exception: what the constructor raises.
        """
        node = self._running
        return node.ref_of(node.spawn(cls, key, args, kwargs))

    def agent(self, kind_or_cls: str | type[Agent], key: str) -> AgentRef:
        """A ref to the agent at that address; a placed agent is activated by its first message."""
        return self._running.agent(kind_or_cls, key)

    def supervise(self, supervisor: Supervisor) -> SupervisorRef:
        """Start a supervisor and its children on this node.

        All constructors run in this thread, and their errors raise here: all children or none. Then the
        children start in order, each once the one before it is up; mail waits for them meanwhile.

        Raises:
            AddressInUseError: an agent lives at a child's address.
            Exception: what a constructor raises.
        """
        if not isinstance(supervisor, Supervisor):
            raise ConfigurationError(f"supervise({supervisor!r}): give a Supervisor([Child(cls, key), ...])")
        return SupervisorRef(self._running.trees.supervise(supervisor))

    def supervisors(self) -> tuple[SupervisorRef, ...]:
        """The supervisors of this node that are nobody's children, the oldest first."""
        return tuple(map(SupervisorRef, self._running.trees.roots))

    def publish(self, topic: str, message: Any) -> Awaitable[None]:
        """Send a message to every live agent of the swarm that subscribes to the topic; at most once."""
        return self._running.publish(topic, message)

    # -- what there is -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Address of the private nats-server of `Swarm.embedded`."""
        if self._server is None:
            raise ConfigurationError("only Swarm.embedded() has a server of its own")
        return self._server.url

    def nodes(self) -> tuple[NodeInfo, ...]:
        """The live nodes as this one sees them, itself included, by name."""
        return self._running.presence.members

    def agents(self, kind_or_cls: str | type[Agent] | None = None) -> tuple[AgentInfo, ...]:
        """The live agents of this node, the oldest first, with their mailboxes' counters.

        With a kind, those of that kind. It looks at every agent of the node.
        """
        kind = kind_or_cls if kind_or_cls is None or isinstance(kind_or_cls, str) else kind_or_cls.kind
        cells = self._running.directory.cells
        wanted = (cell for cell in cells if not cell.is_held and (kind is None or cell.address.kind == kind))
        return tuple(map(info_of, wanted))

    def tree(self, most_children: int = MOST_CHILDREN) -> NodeTree:
        """This node's supervisors with what is below them, and its other agents, at this moment.

        Of one parent at most `most_children` are in it, those in trouble first; the rest is counted.
        """
        return tree_of(self._running, check_most(most_children))

    def trees(
        self, timeout: float = SURVEY_S, most_children: int = MOST_CHILDREN
    ) -> Reply[tuple[NodeTree, ...]]:
        """As `tree`, of all nodes by name; one that has not answered within `timeout` has a `problem`."""
        return Survey(self._running, most_children, timeout).trees

    def wait_for_nodes(self, count: int, timeout: float = 10.0) -> bool:
        """Block until the swarm has at least `count` nodes; False when the time passed first."""
        node, end = self._running, monotonic() + timeout
        changed = threading.Event()

        def note(_event: Event) -> None:
            changed.set()

        end_listening = node.on_event(note, NodeJoined, NodeLeft)
        try:
            while len(node.presence.members) < count:
                if not changed.wait(max(0.0, end - monotonic())):
                    return len(node.presence.members) >= count
                changed.clear()
            return True
        finally:
            end_listening()

    def dead_letters(self) -> DeadLetters:
        """What could not be delivered or handled on this node, with reasons; `len()` counts all."""
        return self._running.dead_letters

    def on_event(self, listener: Callable[[Any], object], *kinds: type[Event]) -> Callable[[], None]:
        """Call the listener with the events of this node, on the thread where it happens: be quick.

        With kinds, such as `AgentFailed, AgentRestarted`, only with those. Any callable will do: with
        `ref.tell` the events go to an agent. Returns what ends the subscription.
        """
        if not callable(listener):
            raise ConfigurationError(
                f"on_event({listener!r}, ...): give a function of one event first, such as ref.tell"
            )
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, get_args(Event))):
                raise ConfigurationError(f"on_event(..., {kind!r}): give classes of events, as AgentFailed")
        return self._running.on_event(listener, *kinds)

    @property
    def handled(self) -> int:
        """Messages that agents of this node have handled so far."""
        return self._running.handled

    @property
    def _running(self) -> Node:
        if self._node is None:
            raise ConfigurationError(
                "the swarm is not started: use `with Swarm...() as swarm:`, or call start()"
            )
        return self._node


async def _in_thread(function: Callable[[], object]) -> None:
    """Run a function in a thread and wait for its end, also when cancelled: the cancellation comes after."""
    task = asyncio.ensure_future(asyncio.to_thread(function))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])  # its time is bounded by the function's own deadlines
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from task.exception()
    task.result()
