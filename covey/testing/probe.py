"""`Probe`: an agent in the hands of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from covey.framework.agent import Agent
from covey.framework.errors import AgentDeadError
from covey.framework.supervision.child import Child
from covey.framework.supervision.supervisor import Supervisor
from covey.framework.terminated import Terminated
from covey.testing.errors import ExpectationError
from covey.testing.manual_clock import ManualClock
from covey.testing.probe_agent import Watch, agent_class
from covey.testing.received import Received, Wanted, is_wanted, name_of

if TYPE_CHECKING:
    from covey.framework.ref import AgentRef
    from covey.swarm import Swarm

__all__ = ["Probe"]

WITHIN_S = 3.0
LONGEST_LIST = 20


class Probe:
    """Records the messages that its agent gets, waits for them, and answers asks as the test says.

    Made by `Probe.spawn` or `Probe.standing_in`. If the swarm is on a `ManualClock`, every wait moves that
    clock, as far as needed and at most for the given time; else it waits in real time. Methods may be
    called from any thread but those of agents.

    An ask stays open until `reply_with` answers it, so that its asker's timeout can be tested.
    """

    def __init__(self, swarm: Swarm) -> None:
        clock = swarm._options.clock
        self._clock = clock if isinstance(clock, ManualClock) else None
        self._received: list[Received] = []
        self._answers: list[tuple[Wanted, Any]] = []
        self._changed = threading.Condition()
        self.ref: AgentRef
        """What the agents under test are given."""

    @classmethod
    def spawn(
        cls, swarm: Swarm, key: str = "probe", *, kind: str = "probe", topics: Sequence[str] = ()
    ) -> Self:
        """A probe at `kind/key` on this node, which also gets what is published on the topics.

        Raises:
            AddressInUseError: an agent lives at that address.
        """
        probe = cls(swarm)
        probe.ref = swarm.spawn(agent_class(kind, topics), key, probe)
        return probe

    @classmethod
    def standing_in(cls, swarm: Swarm, kind_or_cls: str | type[Agent], key: str) -> Self:
        """A probe in the place of another agent: whoever in the swarm talks to that address gets it.

        Other nodes know of it as soon as they know of a supervised agent: a beacon later.

        Raises:
            AddressInUseError: an agent lives at that address.
        """
        kind = kind_or_cls if isinstance(kind_or_cls, str) else kind_or_cls.kind
        probe = cls(swarm)
        child = Child(agent_class(kind, ()), key, (probe,), restart="temporary")
        swarm.supervise(Supervisor(children=[child]))
        probe.ref = swarm.agent(kind, key)
        return probe

    def __repr__(self) -> str:
        return f"<Probe {self.ref.address}: {len(self._received)} messages>"

    # -- what came ---------------------------------------------------------------------------------

    @property
    def messages(self) -> list[Any]:
        """All messages so far, in the order of arrival, expected or not."""
        with self._changed:
            return [received.message for received in self._received]

    @property
    def senders(self) -> list[AgentRef | None]:
        """Who sent `messages`, one each; None is no agent, the test itself for example."""
        with self._changed:
            return [received.sender for received in self._received]

    def expect(self, wanted: Wanted = object, *, within_s: float = WITHIN_S) -> Any:
        """The first message that fits and was not returned before; others stay for a later `expect`.

        `wanted` is a message type, a predicate, or a message that it has to equal.

        Raises:
            ExpectationError: none came within the time; lists what did.
        """
        if self._wait_for(lambda: self._waiting(wanted), within_s):
            with self._changed:
                received = self._waiting(wanted)[0]
                received.taken = True
                return received.message
        raise ExpectationError(
            f"{self.ref.address} got no {name_of(wanted)} within {within_s:g} s: {self._report()}"
        )

    def expect_nothing(self, wanted: Wanted = object, *, for_s: float = 0.1) -> None:
        """See that no message that fits waits to be expected, and that none comes within the time.

        Raises:
            ExpectationError: one did; lists what came.
        """
        if self._wait_for(lambda: self._waiting(wanted), for_s):
            what = "a message" if wanted is object else name_of(wanted)
            raise ExpectationError(f"{self.ref.address} was to get nothing and got {what}: {self._report()}")

    # -- answers -----------------------------------------------------------------------------------

    def reply_with(self, answer: Any, *, to: Wanted = object) -> None:
        """Answer the asks that fit, those that wait now and all that come; later rules go first.

        `answer` is the answer, an exception that the asker gets instead, or a function that makes either
        of the message (it runs on the node's loop, and must not block).
        """
        with self._changed:
            self._answers.insert(0, (to, answer))
            waiting = [received for received in self._received if received.port is not None]
        for received in waiting:
            self._answer(received)

    # -- death watch -------------------------------------------------------------------------------

    def watch(self, ref: AgentRef) -> None:
        """Let the probe's agent watch another: it gets a `Terminated` at the other's end."""
        self.ref.ask(Watch(ref)).get()

    def expect_terminated(self, ref: AgentRef, *, within_s: float = WITHIN_S) -> Terminated:
        """The news that a watched agent has ended.

        Raises:
            ExpectationError: it did not come within the time.
        """

        def its_end(message: Any) -> bool:
            return isinstance(message, Terminated) and message.address == ref.address

        its_end.__name__ = f"the end of {ref.address}"
        found: Terminated = self.expect(its_end, within_s=within_s)
        return found

    # -- its agent's side --------------------------------------------------------------------------

    def _came(self, received: Received) -> None:
        with self._changed:
            self._received.append(received)
        self._answer(received)
        with self._changed:
            self._changed.notify_all()

    def _answer(self, received: Received) -> None:
        """Answer an ask by the first rule that fits it."""
        with self._changed:
            answer = next((a for to, a in self._answers if is_wanted(to, received.message)), self)
            if answer is self or received.port is None:
                return
            port, received.port = received.port, None
        try:
            value = answer(received.message) if callable(answer) else answer
        except Exception as error:  # noqa: BLE001 - the test's own function: the asker is told
            value = error
        if isinstance(value, BaseException):
            port.fail(value)
        else:
            port.resolve(value)

    def _stopped(self) -> None:
        """Nobody will answer what was not answered."""
        with self._changed:
            ports = [received.port for received in self._received if received.port is not None]
            for received in self._received:
                received.port = None
        for port in ports:
            port.fail(AgentDeadError(self.ref.address, "the probe stopped and had not answered"))

    # -- waiting -----------------------------------------------------------------------------------

    def _waiting(self, wanted: Wanted) -> list[Received]:
        return [r for r in self._received if not r.taken and is_wanted(wanted, r.message)]

    def _wait_for(self, condition: Callable[[], object], within_s: float) -> bool:
        if self._clock is not None:
            return self._clock.advance_until(condition, within_s=within_s)
        with self._changed:
            return bool(self._changed.wait_for(condition, within_s))

    def _report(self) -> str:
        with self._changed:
            untaken = [received for received in self._received if not received.taken]
            taken = len(self._received) - len(untaken)
        before = f" (after {taken} that were expected)" if taken else ""
        if not untaken:
            return f"nothing came{before}"
        listed = "".join(f"\n  {received}" for received in untaken[-LONGEST_LIST:])
        left_out = len(untaken) - LONGEST_LIST
        more = f", the last {LONGEST_LIST} of {len(untaken)}" if left_out > 0 else ""
        return f"what came{before}{more}:{listed}"
