"""The supervisor's protocol under any order of events: the children are played, and answer late and badly.

What has to hold: start order is spec order, stop order is the reverse; restarts within any period never above
the intensity; every child in exactly one state, which says what it does; with all answers given and all waits
over, the supervisor comes to rest.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from covey.framework.supervision.backoff import Backoff
from covey.framework.supervision.machine import Action, SupervisorMachine
from tests.framework.supervision.played import BAD, STRATEGIES, Kid, Spec

TYPES = ("permanent", "transient", "temporary")
WANTED_STATE = {"start": "starting", "halt": "halting", "end": "ending"}


class AnyOrder(RuleBasedStateMachine):
    """Children answer in random order, fail at any time, and are added, ended and revived meanwhile."""

    @initialize(
        strategy=st.sampled_from(STRATEGIES),
        types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=5),
        intensity=st.integers(0, 4),
        backoff=st.sampled_from([None, Backoff(initial_s=1.0, max_s=4.0, jitter=0.5)]),
    )
    def begin(self, strategy: str, types: list[str], intensity: int, backoff: Backoff | None) -> None:
        self.spec = Spec(strategy, intensity, 10.0, backoff)
        self.kids = [Kid(f"{number}", restart) for number, restart in enumerate(types)]
        self.now = 0.0
        self.outbox: deque[Action[Kid]] = deque()
        self.waits: list[tuple[float, Action[Kid]]] = []
        self.restarted_at: list[float] = []
        self.told: list[str] = []
        self.direct: Kid | None = None
        """Whose end was asked for by itself, and not by the order of a group."""
        self.machine: SupervisorMachine[Kid] = SupervisorMachine(self.spec, self.kids, self.emit, lambda: 0.5)
        self.start()

    def start(self) -> None:
        self.restarted_at.clear()
        for kid in self.machine.children:
            kid.was_up = kid.revived = kid.has_ended = False
        self.machine.start()

    # -- what is emitted -------------------------------------------------------------------------

    def emit(self, action: Action[Kid]) -> None:
        kid = action.child
        if action.what in WANTED_STATE:
            assert kid is not None
            assert kid.state == WANTED_STATE[action.what]
            assert kid in self.machine.children, "an action for a child that was forgotten"
            self.check_order(action.what, kid)
            kid.ends_alone = kid is self.direct
        self.outbox.append(action)

    def check_order(self, what: str, kid: Kid) -> None:
        children = self.machine.children
        index = children.index(kid)
        if what == "start":
            if kid.restart == "temporary":
                assert not kid.has_ended or kid.revived, "a temporary child came back"
            if kid.was_up or kid.revived or kid.is_dynamic:
                return  # by itself, or one of a group, which `before` below would judge wrongly
            for before in children[:index]:
                settled = before.state in ("running", "ended", "ending")
                assert settled or before.was_up or before.revived, (before, kid)
        elif kid is not self.direct:
            for after in children[index + 1 :]:
                down = after.state in ("waiting", "halted", "ended")
                assert down or (after.state == "ending" and after.ends_alone), (kid, after)

    # -- what the owner does ---------------------------------------------------------------------

    @rule()
    @precondition(lambda self: self.outbox)
    def perform(self) -> None:
        """The next action, unless it was overtaken."""
        action = self.outbox.popleft()
        what, kid = action.what, action.child
        if what == "wait":
            self.waits.append((self.now + action.wait_s, action))
        elif what in WANTED_STATE:
            assert kid is not None
            if kid.state == WANTED_STATE[what]:
                kid.doing = what
        else:
            self.told.append(what)
            states = {kid.state for kid in self.machine.children}
            if what == "stopped":
                assert states <= {"ended"}
            elif what == "halted" and self.machine.phase == "halted":
                assert states <= {"halted", "ended", "waiting", "ending"}

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [action for at, action in self.waits if at <= self.now]
        self.waits = [(at, action) for at, action in self.waits if at > self.now]
        for action in due:
            self.machine.due(action.child, action.token)

    @rule(pick=st.integers(0, 9), how=st.sampled_from(["up", "up", "fail", "stop"]))
    def answer(self, pick: int, how: str) -> None:
        """A child that was told something has done it, or failed at it."""
        busy = [kid for kid in self.machine.children if kid.doing in WANTED_STATE]
        if busy:
            self.answer_of(busy[pick % len(busy)], how)

    def answer_of(self, kid: Kid, how: str) -> None:
        doing, kid.doing = kid.doing, ""
        if doing == "start" and how == "up":
            kid.doing, kid.was_up = "run", True
            self.machine.up(kid)
        elif doing == "end":
            self.ended(kid)
        else:
            self.down(kid, BAD if how == "fail" else None)

    @rule(
        pick=st.integers(0, 9),
        how=st.sampled_from(["restart", "restart", "restart", "stop", "escalate", "by itself", "crash"]),
    )
    def go_down(self, pick: int, how: Any) -> None:
        """A child that runs fails or stops, whatever it was told meanwhile."""
        running = [kid for kid in self.machine.children if kid.doing == "run"]
        if not running:
            return
        kid = running[pick % len(running)]
        kid.doing = ""
        if how == "by itself":
            if kid.restart == "permanent" or kid.state == "halting":
                self.down(kid, None)
            else:
                self.ended(kid)
        elif how == "crash":
            self.machine.give_up(kid, BAD, "crash")
            self.down(kid, BAD)
        else:
            self.down(kid, BAD, how)

    def down(self, kid: Kid, error: Exception | None, verdict: Any = "restart") -> None:
        may_count = self.machine.phase == "running" and kid.state in ("starting", "running") and not kid.falls
        self.direct = kid
        self.machine.down(kid, error, self.now, verdict)
        self.direct = None
        if may_count and self.machine.phase == "running" and kid.state != "ending":
            self.restarted_at.append(self.now)

    def ended(self, kid: Kid) -> None:
        kid.has_ended, kid.revived = True, False
        self.machine.ended(kid)

    @rule(pick=st.integers(0, 9))
    def terminate(self, pick: int) -> None:
        if self.machine.children:
            self.direct = self.machine.children[pick % len(self.machine.children)]
            self.machine.terminate(self.direct)
            self.direct = None

    @rule(pick=st.integers(0, 9))
    def revive(self, pick: int) -> None:
        gone = [kid for kid in self.machine.children if kid.state == "ended"]
        if gone and self.machine.phase == "running":
            gone[pick % len(gone)].revived = True
            self.machine.revive(gone[pick % len(gone)])

    @rule(pick=st.integers(0, 9))
    def delete(self, pick: int) -> None:
        gone = [kid for kid in self.machine.children if kid.state == "ended"]
        if gone:
            self.machine.delete(gone[pick % len(gone)])

    @rule(restart=st.sampled_from(TYPES))
    @precondition(lambda self: len(self.kids) < 9 and self.machine.phase == "running")
    def add(self, restart: str) -> None:
        kid = Kid(f"{len(self.kids)}", restart, is_dynamic=True)
        self.kids.append(kid)
        self.machine.add(kid)

    @rule()
    def halt(self) -> None:
        self.machine.halt()

    @rule()
    @precondition(lambda self: self.machine.phase == "halted" and not self.outbox)
    def start_again(self) -> None:
        if any(kid.state == "ending" for kid in self.machine.children):
            return  # terminated by itself; what comes after its end is the order of two strangers
        self.start()

    @rule(sure=st.integers(0, 3))
    def stop(self, sure: int) -> None:
        if sure == 0:
            self.machine.stop()

    # -- what holds ------------------------------------------------------------------------------

    @invariant()
    def no_period_holds_more_restarts_than_the_intensity(self) -> None:
        for start in self.restarted_at:
            within = sum(0 <= at - start < self.spec.period_s for at in self.restarted_at)
            assert within <= self.spec.intensity

    @invariant()
    def a_childs_state_says_what_it_does(self) -> None:
        for kid in self.machine.children:
            if kid.state in ("waiting", "backoff", "halted", "ended"):
                assert kid.doing == "", kid
            elif kid.state == "running":
                assert kid.doing == "run", kid

    def teardown(self) -> None:
        """With all answers given and all waits over, it comes to rest."""
        if not hasattr(self, "machine"):
            return
        for _ in range(1_000):
            busy = [kid for kid in self.kids if kid.doing in WANTED_STATE]
            if self.outbox:
                self.perform()
            elif busy:
                self.answer_of(busy[0], "up")
            elif self.waits:
                self.pass_time(100.0)
            else:
                break
        states = {kid.state for kid in self.machine.children}
        if self.machine.phase == "running":
            assert states <= {"running", "ended"}
            for kid in self.machine.children:
                assert kid.state == "running" or kid.has_ended, kid
        elif self.machine.phase == "halted":
            assert states <= {"halted", "ended", "waiting"}
            assert "halted" in self.told
        else:
            assert self.machine.phase == "stopped"
            assert states <= {"ended"}
            assert self.told[-1] == "stopped"


AnyOrder.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
