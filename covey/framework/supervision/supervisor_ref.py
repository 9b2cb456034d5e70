"""`SupervisorRef`: a running supervisor in the user's hands: its children, listed and changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from covey.framework.errors import AddressInUseError, AgentDeadError, ConfigurationError
from covey.framework.reply import Reply, finished
from covey.framework.supervision.child import Child
from covey.framework.supervision.child_info import ChildCounts, ChildInfo, info_of
from covey.framework.supervision.running import RunningSupervisor
from covey.framework.supervision.supervisor import Supervisor, numbered
from covey.framework.supervision.unit import Unit

if TYPE_CHECKING:
    from covey.framework.ref import AgentRef

__all__ = ["SupervisorRef"]


class SupervisorRef:
    """A running supervisor, as `swarm.supervise` gives it. Every method may be called from any thread."""

    __slots__ = ("_running",)

    def __init__(self, running: RunningSupervisor) -> None:
        self._running = running

    @property
    def name(self) -> str:
        """As its spec says."""
        return self._running.spec.name

    @property
    def path(self) -> str:
        """Names from the root down, separated by `/`."""
        return self._running.path

    @property
    def is_running(self) -> bool:
        """Whether it supervises: it has neither given up nor been stopped."""
        return self._running.phase in ("new", "running") and not self._running.retired

    def supervisor(self, name: str) -> SupervisorRef:
        """The supervisor of that name among the children."""
        found = self._unit(name)
        if not isinstance(found, RunningSupervisor):
            raise self._unknown(name)
        return SupervisorRef(found)

    # -- what there is -----------------------------------------------------------------------------

    def which_children(self) -> tuple[ChildInfo, ...]:
        """The children in order."""
        return tuple(map(info_of, self._running.known))

    def count_children(self) -> ChildCounts:
        """How many there are, and of what kind; `active` ones have an instance now."""
        units = self._running.known
        supervisors = sum(isinstance(unit, RunningSupervisor) for unit in units)
        active = sum(unit.state in ("starting", "running", "halting", "ending") for unit in units)
        return ChildCounts(len(units), active, supervisors, len(units) - supervisors)

    # -- changes -----------------------------------------------------------------------------------

    def start_child(self, child: Child | Supervisor | None = None) -> AgentRef | SupervisorRef:
        """Add a child, the last in order, and start it; without an argument a pool's next one.

        Constructors run in the calling thread, and their errors raise there. A temporary child that was
        added like this is forgotten when it has ended. While the supervisor itself waits for its restart,
        the child does so with it.

        Raises:
            AddressInUseError: a child has this id, or an agent this address.
            ConfigurationError: it is no child, or the supervisor is no pool and no child was given.
            AgentDeadError: the supervisor has ended.
            Exception: what a constructor raises.
        """
        running = self._running
        if child is None and running.spec.template is None:
            raise self._no_pool()
        if not isinstance(child, Child | Supervisor | None):
            raise ConfigurationError(f"start_child({child!r}): give a Child(cls, key) or a Supervisor([...])")
        self._check_not_ended()
        unit = self._claimed_of_pool() if child is None else self._claimed(child)
        try:
            self._construct(unit)
        except BaseException:
            running.unclaim(unit)
            raise
        running.node.dispatcher.call(running.add, unit)
        return self._ref_of(unit)

    def restart_child(self, child_id: str) -> AgentRef | SupervisorRef:
        """Start a child again that has ended; the others are not touched. Errors as for `start_child`."""
        unit = self._unit(child_id)
        self._check_not_ended()
        if unit.state != "ended":
            raise AddressInUseError(
                child_id, f"the child is {unit.state}: terminate_child it first, and wait for that"
            )
        running = self._running
        revived: list[Unit] = []

        def revive() -> None:
            # A restart of its group may have been faster, or somebody who deletes it.
            if unit.state == "ended" and running.find(child_id) is unit:
                revived.append(unit)
                unit.renew(is_made=False)
                running.revive(unit)

        def give_up() -> None:
            if revived:
                running.terminate(unit)
                unit.renew(is_made=True)

        running.node.dispatcher.call(revive)
        try:
            self._construct(unit)
        except BaseException:
            running.node.dispatcher.call(give_up)
            raise
        return self._ref_of(unit)

    def terminate_child(self, child_id: str) -> Reply[None]:
        """End a child within its shutdown time; the reply resolves when it has ended.

        Its spec stays, so that `restart_child` can start it again, as does a restart of its group.
        """
        unit = self._unit(child_id)
        reply: Reply[None] = Reply(child_id, message_type="terminate")

        def terminate() -> None:
            unit.waiting_replies = [*(unit.waiting_replies or ()), reply]
            self._running.terminate(unit)

        return self._call(terminate, reply)

    def delete_child(self, child_id: str) -> Reply[None]:
        """Forget a child that has ended; the reply fails with `ConfigurationError` while it has not."""
        unit = self._unit(child_id)
        reply: Reply[None] = Reply(child_id, message_type="delete")

        def delete() -> None:
            if self._running.delete(unit):
                reply.resolve(None)
            else:
                reply.fail(
                    ConfigurationError(f"{child_id} is {unit.state}: terminate_child it before delete_child")
                )

        return self._call(delete, reply)

    def resize(self, size: int) -> Reply[None]:
        """Let a pool have that many children: new ones start, the last ones end and are forgotten.

        The reply resolves when those that end have ended.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ConfigurationError(f"resize({size!r}): give a number of children, 0 or more")
        if self._running.spec.template is None:
            raise self._no_pool()
        units = [unit for unit in self._running.known if unit.state != "ended"]
        for _ in range(size - len(units)):
            self.start_child()
        return self._remove([unit.id for unit in units[size:]])

    def stop(self) -> Reply[None]:
        """End all children, the last first, and the supervisor; resolves when all have ended."""
        running = self._running
        if running.parent is not None:
            return SupervisorRef(running.parent).terminate_child(running.id)
        reply: Reply[None] = Reply(running.path, message_type="stop")

        def stop() -> None:
            running.waiting_replies = [*(running.waiting_replies or ()), reply]
            running.stop("its supervisor was stopped")

        return self._call(stop, reply)

    # -- parts -------------------------------------------------------------------------------------

    def _call(self, change: Callable[[], None], reply: Reply[None]) -> Reply[None]:
        dispatcher = self._running.node.dispatcher
        dispatcher.call(change)
        if dispatcher.closed:
            reply.resolve(None)  # the node has stopped, and with it all that it supervised
        return reply

    def _remove(self, ids: list[str]) -> Reply[None]:
        if not ids:
            return finished()
        done: Reply[None] = Reply(self.path, message_type="resize")
        left = set(ids)

        def ended(child_id: str) -> None:
            left.discard(child_id)
            if not left:
                done.resolve(None)

        for child_id in reversed(ids):
            terminated = self.terminate_child(child_id)

            def forget(child_id: str = child_id) -> None:
                if self._running.find(child_id) is not None:
                    self.delete_child(child_id).add_done_callback(lambda: ended(child_id))
                else:
                    ended(child_id)  # a temporary one is forgotten by itself

            terminated.add_done_callback(forget)
        return done

    def _claimed(self, child: Child | Supervisor) -> Unit:
        running = self._running
        unit = running.unit_of(child, is_dynamic=True)
        known = running.claim(unit)
        if known is not unit:
            what = "restart_child or delete_child it" if known.state == "ended" else "choose another key"
            raise AddressInUseError(unit.id, f"supervisor {running.path} has a child of this id: {what}")
        return unit

    def _claimed_of_pool(self) -> Unit:
        running, spec = self._running, self._running.spec
        assert spec.template is not None
        while True:  # a child that was given may have the number
            child = numbered(spec.template, spec.name, running.next_number())
            unit = running.unit_of(child, is_dynamic=True)
            if running.claim(unit) is unit:
                return unit

    def _construct(self, unit: Unit) -> None:
        presence = self._running.node.presence
        presence.check_registry(unit.addresses())
        try:
            unit.construct()
        except BaseException:
            if isinstance(unit, RunningSupervisor):
                unit.abort()
            raise
        presence.register(unit.addresses())
        self._running.node.dispatcher.call(self._running.child_registered, unit)

    def _ref_of(self, unit: Unit) -> AgentRef | SupervisorRef:
        if isinstance(unit, RunningSupervisor):
            return SupervisorRef(unit)
        return self._running.node.agent(unit.spec.cls, unit.spec.key)

    def _unit(self, child_id: str) -> Unit:
        unit = self._running.find(child_id) if isinstance(child_id, str) else None
        if unit is None:
            raise self._unknown(child_id)
        return unit

    def _check_not_ended(self) -> None:
        # One that gave up has not: its own supervisor may restart it, with all children that it has then.
        if self._running.retired or self._running.phase in ("stopping", "stopped"):
            raise AgentDeadError(self.path, "the supervisor has ended: supervise the children anew")

    def _unknown(self, child_id: str) -> ConfigurationError:
        ids = [unit.id for unit in self._running.known]
        shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        return ConfigurationError(
            f"supervisor {self.path} has no child {child_id!r}; it has {shown or 'none'}: "
            "give an agent's address, kind/key, or a supervisor's name"
        )

    def _no_pool(self) -> ConfigurationError:
        return ConfigurationError(
            f"supervisor {self.path} is no pool: give the child, or make it by Supervisor.pool(...)"
        )

    def __repr__(self) -> str:
        return f"<SupervisorRef {self.path}>"
