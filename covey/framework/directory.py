"""Who lives on this node: the cells by address, how they come to be and go."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from covey.framework.address import Address, check_key
from covey.framework.agent import Agent
from covey.framework.cell import FAILED, STATES, STOPPED, Cell
from covey.framework.cluster.moving import REPLACED
from covey.framework.construction import construct
from covey.framework.errors import AddressInUseError, AgentDeadError, ConfigurationError
from covey.framework.held import HeldCell
from covey.framework.hosting import check_host
from covey.framework.pykka_registry import leave
from covey.framework.stuck import TimedCell
from covey.framework.supervision.guardian import Guardian
from covey.framework.supervision.placed_guardian import PlacedGuardian
from covey.framework.thread_executor import ThreadExecutor

if TYPE_CHECKING:
    from covey.framework.dispatcher import Executor
    from covey.framework.node import Node

__all__ = ["Directory"]

DEATHS_KEPT = 1_000
RELEASED_KEPT = 100_000


class Directory:
    """The live agents of a node and the kinds that may be placed on it; callable from any thread."""

    def __init__(self, node: Node, hosts: Iterable[type[Agent]], *, host_anything: bool) -> None:
        self._node = node
        self._host_anything = host_anything
        self._cells: dict[Address, Cell] = {}
        # Re-entrant: a garbage collection inside may end an object whose end tells an agent.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._placed = PlacedGuardian(node)
        self._closed = False
        self._passive: weakref.WeakValueDictionary[Address, Cell] = weakref.WeakValueDictionary()
        """Placed agents without an instance whose cells somebody still holds."""
        self._ever_passive = False
        self._deaths: dict[Address, AgentDeadError] = {}
        """Why the agents that failed last are not there any more, the oldest first."""
        self._released: dict[Address, None] = {}
        """Where supervised agents ended for good: placement must not put another one in their place. The
        latest ones: who adds temporary children with keys of their own would fill the memory."""
        self.hosts: dict[str, type[Agent]] = {}
        for cls in hosts:
            self.add_host(cls)

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All live cells, the oldest first."""
        return tuple(self._cells.values())

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """As `cells`, with those placed ones that are passive."""
        return (*self._cells.values(), *self._passive.values())

    def add_host(self, cls: type[Agent]) -> None:
        """Let a kind be placed on this node.

        Raises:
            ConfigurationError: it is no agent class, needs constructor arguments, or another class has
                its kind.
        """
        check_host(cls, self.hosts)
        cls._routes.resolve(final=True)
        self.hosts[cls.kind] = cls

    def kind_of(self, kind_or_cls: str | type[Agent]) -> str:
        """The kind that a user named by its text or its class."""
        if isinstance(kind_or_cls, str):
            return kind_or_cls
        if not (isinstance(kind_or_cls, type) and issubclass(kind_or_cls, Agent)):
            raise ConfigurationError(f"agent({kind_or_cls!r}, ...): give a kind or a subclass of Agent")
        if self._host_anything and self.hosts.get(kind_or_cls.kind) is not kind_or_cls:
            try:
                self.add_host(kind_or_cls)
            except ConfigurationError:
                if not any(address.kind == kind_or_cls.kind for address in tuple(self._cells)):
                    raise
            else:
                self._node.presence.announce()
        return kind_or_cls.kind

    # -- finding -----------------------------------------------------------------------------------

    def find(self, address: Address, node_name: str = "", *, activate: bool = True) -> Cell | None:
        """The live agent at the address here; activates a placed one that belongs here."""
        cell = self._cells.get(address)
        if cell is not None and cell.state != STOPPED:
            return cell
        if node_name:
            return None
        passive = self._passive.get(address) if self._ever_passive else None
        if passive is not None and passive.state != STOPPED:
            return passive
        if not activate or address.kind not in self.hosts:
            return None
        if self._node.presence.locate(address, "") != self._node.name:
            return None
        return self.activate(address)

    def activate(self, address: Address) -> Cell | None:
        """Start the placed agent of that address here.

        None when its kind is not hosted here, and where a supervisor's child lives or ended: another
        agent, made without arguments, must not answer for it.
        """
        cls = self.hosts.get(address.kind)
        if cls is None or self._closed or self._node.presence.registered_on(address) is not None:
            return None
        with self._lock:
            if address in self._released:
                return None
            cell = self._cells.get(address)
            if cell is not None and cell.state != STOPPED:
                return cell
            passive = self._passive.get(address)
            if passive is not None and passive.state != STOPPED:
                return passive
            # Its instance is made on its own executor; messages wait in the mailbox until then.
            cell = self._new_cell(cls, address, (), {}, None, self._placed, placed=True)
            # Again, after the last allocation: what a garbage collection ended may have told this agent.
            known = self._cells.setdefault(address, cell)
            if known is not cell:
                if known.state != STOPPED:
                    if isinstance(cell.executor, ThreadExecutor):
                        cell.executor.end()
                    return known
                self._cells[address] = cell
        cell.post(self._node.life.start, cell)
        return cell

    # -- coming and going --------------------------------------------------------------------------

    def spawn(
        self,
        cls: type[Agent],
        key: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parent: Cell | None,
        supervisor: Guardian | None,
        before_start: Callable[[Cell], None] | None = None,
        *,
        construct_here: bool = True,
        start: bool = True,
    ) -> Cell:
        """Start an agent here; its constructor runs in the calling thread and its errors raise there.

        `before_start` is called with the constructed cell, before it can handle, fail or stop. Without
        `construct_here` the instance is made in the agent's executor, when it starts; without `start` that is
        left to the caller.
        """
        if not (isinstance(cls, type) and issubclass(cls, Agent)):
            raise ConfigurationError(f"spawn({cls!r}, ...): give a subclass of Agent")
        if parent is not None:
            _check_parent(parent)
        cls._routes.resolve(final=True)
        address = Address(cls.kind, check_key(f"{next(self._numbers)}" if key is None else key))
        elsewhere = self._node.presence.registered_on(address)
        if elsewhere not in (None, self._node.name):
            raise AddressInUseError(
                str(address), f"it is supervised on node {elsewhere}; stop it there first"
            )
        with self._lock:
            if self._closed:
                raise ConfigurationError(f"node {self._node.name} has stopped: no agent can be spawned on it")
            known = self._cells.get(address)
            if known is not None and known.state != STOPPED and not (known.is_held and supervisor):
                raise AddressInUseError(str(address))
            cell = self._new_cell(cls, address, args, kwargs, parent, supervisor, placed=False)
            if known is not None and known.is_held:  # the child came to the node of its supervisor
                self._node.fencing.hand_over(known, cell)
            self._released.pop(address, None)
            self._deaths.pop(address, None)
            passive = self._passive.pop(address, None) if self._ever_passive else None
            self._cells[address] = cell
        self._node.outbound.arrived_here(address)
        if passive is not None:
            passive.post(self._node.life.finish, passive, REPLACED)
        try:
            if construct_here:
                construct(cell)
            if parent is not None:
                if parent.children is None:
                    parent.children = {}
                parent.children[cell] = None
                _check_parent(parent)  # again, now that its end would see the child
            if before_start is not None:
                before_start(cell)
        except BaseException:
            for child in reversed(tuple(cell.children or ())):
                self._node.life.request_kill(child, "its parent could not be constructed")
            cell.state = STOPPED
            self._node.life.cancel_timers(cell)
            leave(cell)
            self.forget(cell)
            cell.bury()
            if isinstance(cell.executor, ThreadExecutor):
                cell.executor.end()
            raise
        if start:
            cell.post(self._node.life.start, cell)
        return cell

    def _new_cell(
        self,
        cls: type[Agent],
        address: Address,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parent: Cell | None,
        supervisor: Guardian | None,
        *,
        placed: bool,
    ) -> Cell:
        return (Cell if cls.handler_deadline_s is None else TimedCell)(
            self._node,
            cls,
            address,
            self.executor_for(cls, address),
            args,
            kwargs,
            placed=placed,
            parent=parent,
            supervisor=supervisor,
        )

    def executor_for(self, cls: type[Agent], address: Address) -> Executor:
        """Where the agent's turns run: the node's dispatcher, or a new thread."""
        if cls.dispatcher == "thread":
            return ThreadExecutor(f"covey-{self._node.name}-{address}", self._node.serving)
        return self._node.dispatcher

    def release(self, address: Address) -> None:
        """A supervised agent ended for good here: the address answers nothing until it is spawned anew."""
        with self._lock:
            if address not in self._cells:
                self._released[address] = None
                if len(self._released) > RELEASED_KEPT:
                    del self._released[next(iter(self._released))]

    def unrelease(self, address: Address) -> None:
        """Nobody supervises an agent of this address any more: placement may put one there."""
        with self._lock:
            self._released.pop(address, None)

    def is_released(self, address: Address) -> bool:
        """Whether a supervised agent ended for good there."""
        return address in self._released

    def forget(self, cell: Cell) -> None:
        """A cell has stopped: its address is free again."""
        with self._lock:
            if self._cells.get(cell.address) is cell:
                del self._cells[cell.address]
        if cell.parent is not None and cell.parent.children is not None:
            cell.parent.children.pop(cell, None)

    def hold(self, cls: type[Agent], address: Address) -> HeldCell:
        """Let mail for an address wait here until its agent lives on another node.

        Raises:
            AddressInUseError: an agent lives there.
        """
        with self._lock:
            known = self._cells.get(address)
            if known is not None and known.state != STOPPED:
                raise AddressInUseError(str(address))
            held = self._cells[address] = HeldCell(self._node, cls, address, self._node.dispatcher)
        self._node.outbound.arrived_here(address)
        return held

    def replace(self, old: Cell, new: Cell) -> None:
        """Another cell stands at the address from now on."""
        with self._lock:
            if self._cells.get(old.address) is old:
                self._cells[old.address] = new
        siblings = None if old.parent is None else old.parent.children
        if siblings is not None and old in siblings:
            del siblings[old]
            siblings[new] = None

    def let_go(self, cell: Cell) -> None:
        """Keep a passive agent only as long as somebody holds a ref that knows it."""
        with self._lock:
            if self._cells.get(cell.address) is cell:
                del self._cells[cell.address]
                self._passive[cell.address] = cell
                self._ever_passive = True

    def revive(self, cell: Cell) -> bool:
        """A passive agent is needed again; False if nothing starts here any more, or another took it."""
        with self._lock:
            known = self._cells.get(cell.address, cell)
            if self._closed or (known is not cell and known.state != STOPPED):
                return False
            self._passive.pop(cell.address, None)
            self._cells[cell.address] = cell
            return True

    def remember(self, cell: Cell) -> None:
        """Why an agent that failed is not there any more, for those who ask for it later."""
        with self._lock:
            self._deaths[cell.address] = death = cell.end_error()
            death.__cause__ = None  # its traceback would keep all that the handler had in hand
            if len(self._deaths) > DEATHS_KEPT:
                del self._deaths[next(iter(self._deaths))]

    def death_at(self, address: Address) -> AgentDeadError | None:
        """Why the agent that failed there is gone, if that is remembered."""
        return self._deaths.get(address)

    def close(self) -> None:
        """No agent starts here any more."""
        with self._lock:
            self._closed = True
            passive = list(self._passive.values())
        for cell in passive:
            cell.post(self._node.life.finish, cell, "the node stops")


def _check_parent(parent: Cell) -> None:
    if parent.state >= FAILED:
        raise AgentDeadError(str(parent.address), f"it is {STATES[parent.state]}, and can have no new child")
