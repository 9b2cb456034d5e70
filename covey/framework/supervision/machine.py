"""The protocol of a supervisor, without I/O: what happens to its children comes in, what to do comes out.

Time is an argument, and nothing here waits. The caller tells what happened (`up`, `down`, `ended`, `due`),
and performs the actions that are handed to `emit`, in their order; it may tell of their outcome at once.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from covey.framework.supervision.restart import (
    Limits,
    RestartType,
    Streak,
    decide_restart,
    recent_restarts,
    wants_restart,
)
from covey.framework.supervision.verdict import Verdict

__all__ = ["Action", "ChildRecord", "ChildState", "Failure", "MachineSpec", "Phase", "SupervisorMachine"]

ChildState = Literal["waiting", "starting", "running", "backoff", "halting", "halted", "ending", "ended"]
"""A child is in exactly one. `waiting`: its turn to start has not come. `backoff`: it is down, and will be
started after a wait. `halted`: it has no instance, but keeps its address and its mail. `ended`: for good;
its spec is kept."""

Phase = Literal["new", "running", "halting", "halted", "stopping", "stopped"]
"""Of the supervisor: one that gives up, or whose own supervisor restarts it, is `halting`, then `halted`."""


class MachineSpec(Limits, Protocol):
    """What the machine needs to know of a supervisor's spec."""

    @property
    def strategy(self) -> str: ...


class ChildRecord:
    """What the machine knows of one child."""

    __slots__ = ("falls", "is_dynamic", "restart", "state", "streak", "token")

    def __init__(self, restart: RestartType, *, is_dynamic: bool = False) -> None:
        self.restart: RestartType = restart
        self.state: ChildState = "waiting"
        self.falls = False
        """Whether it has to go down, once it is its turn."""
        self.is_dynamic = is_dynamic
        """Whether it was added later: a temporary one is forgotten when it has ended."""
        self.streak = Streak()
        self.token = 0
        """Of the wait for its restart: an older one is void."""


C = TypeVar("C", bound=ChildRecord)


class Failure(NamedTuple, Generic[C]):
    """Why a supervisor gave up."""

    child: C
    error: BaseException
    why: Literal["intensity", "verdict", "crash"]
    """More restarts than it allows; a verdict to escalate; its own `decide` raised."""


class Action(NamedTuple, Generic[C]):
    """What the caller has to do."""

    what: Literal["start", "halt", "end", "wait", "escalate", "started", "halted", "stopped"]
    """`start`, `halt` (keep address and mail) and `end` (for good) a child; `wait`, then call `due`; the
    supervisor gives up (`escalate`), is up (`started`), is `halted` or has `stopped`."""
    child: C | None = None
    wait_s: float = 0.0
    token: int = 0


class SupervisorMachine(Generic[C]):
    """The children of one supervisor in order, and what is being done with them.

    At any time some children have to go down, one after the other from the last to the first, and then some
    have to come up, one after the other in order. With `one_for_one` a child that failed is restarted apart
    from that.
    """

    __slots__ = (
        "_announced",
        "_awaited",
        "_children",
        "_draw",
        "_emit",
        "_falling",
        "_history",
        "_rising",
        "_spec",
        "_streak",
        "_token",
        "_wait_s",
        "_waits",
        "cause",
        "failure",
        "phase",
    )

    def __init__(
        self,
        spec: MachineSpec,
        children: Iterable[C],
        emit: Callable[[Action[C]], object],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._spec = spec
        self._emit = emit
        self._draw = draw
        self._children: dict[C, None] = dict.fromkeys(children)
        """In order. A dict, because thousands may come and go one by one."""
        self.phase: Phase = "new"
        self.failure: Failure[C] | None = None
        self.cause: C | None = None
        """The child whose failure the others are restarted for."""
        self._history: tuple[float, ...] = ()
        self._streak = Streak()
        """Of the restarts of a group."""
        self._falling: list[C] = []
        """Who has to go down, the next one last."""
        self._rising: OrderedDict[C, None] = OrderedDict()
        """Who has to come up, in order; its first is taken in no time, as a dict's is not."""
        self._awaited: C | None = None
        """The child whose going down or coming up the next one waits for."""
        self._wait_s = 0.0
        """How long the rising waits once all are down."""
        self._waits = False
        self._token = 0
        self._announced = False

    @property
    def children(self) -> list[C]:
        """All of them in order, in time proportional to their number; from any thread."""
        return list(self._children)

    @property
    def has_restarted(self) -> bool:
        """Whether it has restarted anything since its start."""
        return bool(self._history)

    def recent_restarts(self, now: float) -> int:
        """How many restarts count towards its intensity."""
        return recent_restarts(self._history, now, self._spec.period_s)

    # -- what its owner wants ----------------------------------------------------------------------

    def start(self) -> None:
        """Start all children in order: the first time, or after it was halted."""
        self.phase = "running"
        self.failure = self.cause = None
        self._history = ()
        self._wait_s = 0.0
        self._announced = False
        self._plan(rising=self._children)

    def halt(self) -> None:
        """Let all children go down but keep their addresses and mail; `halted` follows."""
        if self.phase in ("new", "halted"):
            self._emit(Action("halted"))
        elif self.phase == "running":
            self.phase = "halting"
            self._plan(falling=self._children)

    def stop(self) -> None:
        """End all children for good, the last first; `stopped` follows."""
        if self.phase not in ("stopping", "stopped"):
            self.phase = "stopping"
            self._plan(falling=self._children)

    def retire(self) -> None:
        """Decide nothing any more: the children are ended by somebody else."""
        self.phase = "stopping"
        self._falling.clear()
        self._rising.clear()
        self._awaited = None
        self._token += 1

    def add(self, child: C) -> None:
        """One more child, the last; it starts once it is its turn."""
        if child.state == "ended" and child.restart == "temporary":
            return  # it was ended before it was added
        self._children[child] = None
        if self.phase == "running" and child.state == "waiting":
            self._rising[child] = None
            self._go_on()

    def revive(self, child: C) -> None:
        """Start a child again that has ended."""
        if child.state == "ended":
            child.state = "waiting"
            if self.phase == "running":
                self._rising[child] = None
                self._go_on()

    def terminate(self, child: C) -> None:
        """End one child for good; its spec stays. `ended` follows, unless it had ended."""
        self._rising.pop(child, None)
        if child.state not in ("ending", "ended"):
            child.state = "ending"
            self._emit(Action("end", child))

    def delete(self, child: C) -> None:
        """Forget a child that has ended."""
        self._children.pop(child, None)
        self._rising.pop(child, None)  # with its group, which is restarted at the moment

    # -- what happened -----------------------------------------------------------------------------

    def up(self, child: C) -> None:
        """A child runs."""
        if child.state == "starting":
            child.state = "running"
            self._free(child)

    def ended(self, child: C) -> None:
        """A child ended for good."""
        if child.state == "ended":
            return
        child.state = "ended"
        if child.is_dynamic and child.restart == "temporary":
            self._children.pop(child, None)
            self._rising.pop(child, None)  # its supervisor may have started meanwhile
        self._free(child)

    def down(self, child: C, error: BaseException | None, now: float, verdict: Verdict = "restart") -> None:
        """A child has no instance any more: it failed, or (no error) it stopped by itself or was halted."""
        if child.state not in ("starting", "running"):
            if child.state == "halting":
                child.state = "halted"
                self._free(child)
        elif self.phase != "running":
            child.state = "halted"  # it was faster than its turn to go down
            self._free(child)
        elif error is not None and verdict == "escalate":
            child.state = "halted"
            self.give_up(child, error, "verdict")
        elif verdict == "stop" or not wants_restart(child.restart, failed=error is not None):
            child.state = "ending"
            self._emit(Action("end", child))
        elif child.falls:
            child.state = "halted"  # it goes down with its group anyway: no restart of its own is counted
            self._free(child)
        else:
            self._restart(child, error or RuntimeError("it stops again and again, although permanent"), now)

    def lost(self, child: C) -> None:
        """A child is gone with its node: it starts elsewhere, and no restart is counted."""
        if child.state not in ("starting", "running"):
            return
        if self.phase != "running" or child.falls:
            child.state = "halted"
            self._free(child)
        else:
            child.state = "starting"
            self._emit(Action("start", child))

    def due(self, child: C | None, token: int) -> None:
        """A wait is over."""
        if child is None:
            if self._waits and token == self._token:
                self._waits, self._wait_s = False, 0.0
                self._go_on()
        elif child.state == "backoff" and child.token == token:
            child.state = "starting"
            self._emit(Action("start", child))

    def give_up(self, child: C, error: BaseException, why: Literal["intensity", "verdict", "crash"]) -> None:
        """Restart nothing any more: all children go down, and the owner decides."""
        if self.phase == "running":
            self.phase = "halting"
            self.failure = Failure(child, error, why)
            self._emit(Action("escalate", child))
            self._plan(falling=self._children)

    # -- the rules ---------------------------------------------------------------------------------

    def _restart(self, child: C, error: BaseException, now: float) -> None:
        spec, alone = self._spec, self._spec.strategy == "one_for_one"
        streak = child.streak if alone else self._streak
        restart = decide_restart(self._history, streak, now, spec, self._draw())
        if restart is None:
            child.state = "halted"
            self.give_up(child, error, "intensity")
            return
        self._history = restart.history
        if not alone:
            self._streak = restart.streak
            child.state = "halted"
            self._wait_s = restart.wait_s
            self._restart_group(child)
            return
        child.streak = restart.streak
        if restart.wait_s > 0:
            child.state = "backoff"
            child.token += 1
            self._emit(Action("wait", child, restart.wait_s, child.token))
        else:
            child.state = "starting"
            self._emit(Action("start", child))

    def _restart_group(self, child: C) -> None:
        """The children that go down and up with one that failed, and those of whom that was due already."""
        children = self.children
        first = 0 if self._spec.strategy == "one_for_all" else children.index(child)
        group = children[first:]
        self.cause = child
        # Two may have failed one after the other: those before the group that were not yet up again.
        due = {self._awaited, *self._rising}
        before = [c for c in children[:first] if c.falls or c in due]
        falling = [*(c for c in before if c.falls), *group]
        rising = [*(c for c in before if not c.falls or _comes_back(c)), *filter(_comes_back, group)]
        self._plan(falling=falling, rising=rising)

    def _plan(self, *, falling: Iterable[C] = (), rising: Iterable[C] = ()) -> None:
        for child in self._falling:
            child.falls = False
        self._falling = list(falling)
        for child in self._falling:
            child.falls = True
        self._rising = OrderedDict.fromkeys(rising)
        self._waits = False
        self._token += 1
        if self._awaited is not None and self._awaited.state not in ("halting", "ending"):
            self._awaited = None  # it has to go down itself now
        self._go_on()

    def _free(self, child: C) -> None:
        if self._awaited is child:
            self._awaited = None
            self._go_on()

    def _go_on(self) -> None:
        """Let the next child go down or come up, unless one is awaited."""
        while self._awaited is None:
            if self._falling:
                self._fall(self._falling.pop())
            elif self.phase == "halting":
                self.phase = "halted"
                self._emit(Action("halted"))
                return
            elif self.phase == "stopping":
                self.phase = "stopped"
                self._emit(Action("stopped"))
                return
            elif self._wait_s > 0:
                if not self._waits:
                    self._waits = True
                    self._emit(Action("wait", None, self._wait_s, self._token))
                return
            elif self._rising:
                self._rise(self._rising.popitem(last=False)[0])
            else:
                self.cause = None
                if self.phase == "running" and not self._announced:
                    self._announced = True
                    self._emit(Action("started"))
                return

    def _fall(self, child: C) -> None:
        child.falls = False
        state = child.state
        for_good = self.phase == "stopping" or not _comes_back(child)
        if state == "ended" or (state in ("waiting", "halted", "backoff") and not for_good):
            if state == "backoff":
                child.state = "halted"
        elif state in ("halting", "ending"):
            self._awaited = child
            if state == "halting" and for_good:
                child.state = "ending"
                self._emit(Action("end", child))
        else:
            self._awaited = child
            child.state = "ending" if for_good else "halting"
            self._emit(Action("end" if for_good else "halt", child))

    def _rise(self, child: C) -> None:
        state = child.state
        if state in ("waiting", "halted", "ended"):
            self._awaited = child
            child.state = "starting"
            self._emit(Action("start", child))
        elif state != "running":
            self._awaited = child  # on its way by itself


def _comes_back(child: ChildRecord) -> bool:
    """Whether it starts with a group that it goes down with: a temporary one only if it never ran."""
    return child.restart != "temporary" or child.state == "waiting"
