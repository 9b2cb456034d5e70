"""Leases and ownership over a bad network: under any schedule, nobody serves what somebody else serves.

The rules of `lease` and `claims` run on simulated nodes (`lease_world`); Hypothesis decides what goes
wrong. What has to hold, in true time: of one partition there is at most one owner that serves; a lease that
was ended is not valid at its holder; a commit is stored only for whom the ownership record names at that
moment; once nothing goes wrong any more, each partition is served soon.

A run of the suite tries 500 schedules. Ten thousand, in about five minutes:

    COVEY_HYPOTHESIS_PROFILE=nightly python -m pytest tests/stateful/test_lease_machine.py --timeout 3600
"""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from covey.framework.cluster.lease import LEASE_S
from tests.stateful.lease_world import PARTITIONS, TICK_S, Answer, Node, World

QUEUES = st.sampled_from(
    [{"writes"}, {"answers"}, {"news"}, {"answers", "news"}, {"writes", "answers", "news"}]
)
NODE = st.integers(0, 2)
AT = st.integers(0, 3)
TICKS = st.sampled_from([0, 0, 1, 2, 4, 8, 20, 44])
SETTLED_WITHIN_S = 2 * LEASE_S + 1.0
"""One wait for a lease, a new one if it was renewed at the last moment, and the writes."""


class AnySchedule(RuleBasedStateMachine):
    """Three nodes at most, two partitions; all nodes want all of them."""

    @initialize(
        clocks=st.lists(
            st.tuples(st.floats(0.999, 1.001), st.sampled_from([0.0, 7.0, -900.0])), min_size=2, max_size=3
        )
    )
    def begin(self, clocks: list[tuple[float, float]]) -> None:
        self.over: dict[str, str] = {}
        """Processes whose life was ended, and by what."""
        self.looked = self.judged = 0
        self.world = World(clocks, self.look)
        self.world.tick(8)

    def node(self, which: int) -> Node:
        return self.world.nodes[which % len(self.world.nodes)]

    # -- what holds --------------------------------------------------------------------------------

    def look(self) -> None:
        """After each event."""
        world = self.world
        for partition in PARTITIONS:
            owners = [node.name for node in world.nodes if node.owns(partition)]
            assert len(owners) <= 1, f"{partition} is served by {owners} at {world.now:.2f}"
        for record in world.store.history[self.looked :]:
            if record.key not in PARTITIONS and record.value.is_ended:
                self.over[record.value.process] = record.key
        self.looked = len(world.store.history)
        for node in world.nodes:
            if node.is_alive and node.process in self.over:
                assert not node.own.is_valid(node.clock()), f"{node.name} trusts an ended lease"
        for op, record in world.store.commits[self.judged :]:
            assert record is not None
            assert op.value == record.value, f"{op.value} commits to what {record.value} owns"
        self.judged = len(world.store.commits)

    @rule(ticks=st.sampled_from([4, 50]))
    def all_is_well_for_a_while(self, ticks: int) -> None:
        self.world.heal()
        self.world.tick(ticks)

    # -- what nodes do -----------------------------------------------------------------------------

    @rule(ticks=st.sampled_from([1, 2, 4, 20, 44, 60]))
    def time_passes(self, ticks: int) -> None:
        self.world.tick(ticks)

    @rule(which=NODE, partition=st.sampled_from(PARTITIONS), ticks=TICKS)
    def a_node_gives_a_partition_up(self, which: int, partition: str, ticks: int) -> None:
        self.node(which).give_up(partition)
        self.world.tick(ticks)

    @rule(which=NODE, partition=st.sampled_from(PARTITIONS), is_late=st.booleans(), ticks=TICKS)
    def a_node_commits(self, which: int, partition: str, is_late: bool, ticks: int) -> None:
        node = self.node(which)
        sent = len(node.outbox)
        node.commit(partition)
        if is_late and len(node.outbox) > sent:
            self.world.late.append((node, node.outbox.pop()))
        self.world.tick(ticks)

    @rule(which=NODE, partition=st.sampled_from(PARTITIONS))
    def a_node_reads(self, which: int, partition: str) -> None:
        self.node(which).read(partition)

    # -- what goes wrong with nodes ----------------------------------------------------------------

    @rule(which=NODE, ticks=TICKS)
    def a_process_stands_still(self, which: int, ticks: int) -> None:
        self.node(which).is_paused = True
        self.world.tick(ticks)

    @precondition(lambda self: any(node.is_paused for node in self.world.nodes))
    @rule(which=NODE, ticks=TICKS)
    def a_process_goes_on(self, which: int, ticks: int) -> None:
        self.node(which).is_paused = False
        self.look()
        self.world.tick(ticks)

    @rule(which=NODE, ticks=TICKS)
    def a_connection_breaks(self, which: int, ticks: int) -> None:
        node = self.node(which)
        if node.is_connected:
            node.disconnect()
        self.world.tick(ticks)

    @precondition(lambda self: any(not node.is_connected for node in self.world.nodes))
    @rule(which=NODE, lag=AT, ticks=TICKS)
    def a_node_connects_again(self, which: int, lag: int, ticks: int) -> None:
        node = self.node(which)
        if node.runs and not node.is_connected:
            node.connect(lag)
        self.world.tick(ticks)

    @rule(which=NODE, away=st.sampled_from([0, 0, 1, 3]), queues=QUEUES, is_told=st.booleans())
    def a_connection_breaks_for_a_moment(
        self, which: int, away: int, queues: set[str], is_told: bool
    ) -> None:
        """The next one is slow at first. What was on its way over the first may still come."""
        node = self.node(which)
        if node.runs and node.is_connected:
            node.disconnect()
            self.world.tick(away)
            node.connect()
            self.hold(node, queues, 6)
            self.world.tick()
            if is_told:
                for other in self.world.nodes:
                    self.tell(other, *self.world.gone[-1])
            self.world.tick(4)

    @rule(which=NODE, ticks=TICKS)
    def a_process_is_killed(self, which: int, ticks: int) -> None:
        if self.node(which).is_alive:
            self.node(which).crash()
        self.world.tick(ticks)

    @precondition(lambda self: any(not node.is_alive for node in self.world.nodes))
    @rule(which=NODE, ticks=TICKS)
    def a_process_is_started_again(self, which: int, ticks: int) -> None:
        if not self.node(which).is_alive:
            self.node(which).start()
        self.world.tick(ticks)

    # -- what goes wrong on the way ----------------------------------------------------------------

    @rule(decides=st.booleans(), ticks=TICKS)
    def the_store_has_a_leader_or_none(self, decides: bool, ticks: int) -> None:
        self.world.store.decides = decides
        self.world.tick(ticks)

    @rule(which=NODE, queues=QUEUES, held=st.sampled_from([10, 30, 60]), ticks=st.sampled_from([0, 8, 44]))
    def queues_stand_still(self, which: int, queues: set[str], held: int, ticks: int) -> None:
        self.hold(self.node(which), queues, held)
        self.world.tick(ticks)

    def hold(self, node: Node, queues: set[str], ticks: int) -> None:
        node.held.update(dict.fromkeys(queues, self.world.now + ticks * TICK_S))

    @precondition(lambda self: any(node.held for node in self.world.nodes))
    @rule(which=NODE, queues=QUEUES, ticks=TICKS)
    def queues_flow_again(self, which: int, queues: set[str], ticks: int) -> None:
        for queue in queues:
            self.node(which).held.pop(queue, None)
        self.world.tick(ticks)

    @rule(which=NODE, ticks=TICKS)
    def a_watch_goes_blind(self, which: int, ticks: int) -> None:
        self.node(which).go_blind()
        self.world.tick(ticks)

    @precondition(lambda self: any(not node.is_told for node in self.world.nodes))
    @rule(which=NODE, lag=AT, ticks=TICKS)
    def a_watch_sees_again(self, which: int, lag: int, ticks: int) -> None:
        node = self.node(which)
        if node.is_connected and not node.is_told:
            node.watch(lag)
        self.world.tick(ticks)

    @precondition(lambda self: any(node.outbox for node in self.world.nodes) and self.world.store.decides)
    @rule(which=NODE, at=AT)
    def one_write_is_stored(self, which: int, at: int) -> None:
        node = self.node(which)
        if node.outbox:
            self.world.store_one(node, at % len(node.outbox))

    @precondition(lambda self: any(node.outbox for node in self.world.nodes))
    @rule(which=NODE, at=AT, ticks=TICKS)
    def one_write_is_late(self, which: int, at: int, ticks: int) -> None:
        node = self.node(which)
        if node.outbox:
            self.world.late.append((node, node.outbox.pop(at % len(node.outbox))))
        self.world.tick(ticks)

    @precondition(lambda self: self.world.late and self.world.store.decides)
    @rule(at=AT, ticks=TICKS)
    def one_late_write_is_stored(self, at: int, ticks: int) -> None:
        self.world.do(*self.world.late.pop(at % len(self.world.late)))
        self.world.tick(ticks)

    @precondition(lambda self: any(node.answers or node.news for node in self.world.nodes))
    @rule(which=NODE, at=AT, is_answer=st.booleans())
    def one_answer_or_record_comes(self, which: int, at: int, is_answer: bool) -> None:
        node = self.node(which)
        if node.runs and node.answers and is_answer:
            node.take_answer(at % len(node.answers))
        elif node.runs and node.news:
            node.take_news()
        self.look()

    @precondition(lambda self: any(node.outbox or node.answers for node in self.world.nodes))
    @rule(which=NODE, at=AT, is_answer=st.booleans(), twice=st.booleans())
    def one_is_lost_or_comes_twice(self, which: int, at: int, is_answer: bool, twice: bool) -> None:
        node = self.node(which)
        queue: list[Answer] | list[object] = node.answers if is_answer else node.outbox
        if queue:
            item = queue[at % len(queue)]
            if twice:
                queue.append(item)
            else:
                queue.remove(item)

    @rule(which=NODE, back=st.integers(0, 20))
    def an_old_record_is_told_again(self, which: int, back: int) -> None:
        history = self.world.store.history
        if self.node(which).is_told and history:
            self.node(which).news.append(history[max(0, len(history) - 1 - back)])

    @precondition(lambda self: self.world.gone)
    @rule(which=NODE, at=st.sampled_from([0, 0, 1, 3]), ticks=TICKS)
    def the_server_tells_of_a_connection_that_ended(self, which: int, at: int, ticks: int) -> None:
        """At any time after it: the node may be back by then."""
        node, connection = self.world.gone[-1 - at % len(self.world.gone)]
        self.tell(self.node(which), node, connection)
        self.world.tick(ticks)

    def tell(self, observer: Node, node: str, connection: str) -> None:
        if observer.runs and observer.name != node:
            observer.leases.hint(node, connection)

    # -- the end -----------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once nothing goes wrong any more, somebody serves each partition soon."""
        if not hasattr(self, "world"):
            return
        self.world.heal()
        healed_at = self.world.now
        while not all(any(node.owns(partition) for node in self.world.nodes) for partition in PARTITIONS):
            assert self.world.now < healed_at + SETTLED_WITHIN_S, "a partition is left alone"
            self.world.tick()


settings.register_profile("leases", max_examples=500, stateful_step_count=60, deadline=None)
settings.register_profile("nightly", settings.get_profile("leases"), max_examples=10_000)
AnySchedule.TestCase.settings = settings.get_profile(os.environ.get("COVEY_HYPOTHESIS_PROFILE", "leases"))
TestAnySchedule = AnySchedule.TestCase
