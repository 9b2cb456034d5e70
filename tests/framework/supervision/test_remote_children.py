"""Children on other nodes: started, restarted, moved and ended by their supervisor from afar."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from covey import (
    AddressInUseError,
    Agent,
    AgentDeadError,
    AgentRef,
    Child,
    ConfigurationError,
    Supervisor,
    SupervisorRef,
    Swarm,
    SwarmFailedError,
    handles,
    message,
)
from covey.framework.supervision.child import ANY_NODE
from covey.testing import Faults, ManualClock, swarm_of


@message
class Label:
    text: str


@message
class Count:
    pass


@message
class Counted:
    count: int
    label: str
    node: str
    number: int


@message
class Fail:
    how: str = "value"


@message
class End:
    pass


class Worker(Agent):
    log: ClassVar[list[str]] = []

    def __init__(self, label: Label | None = None, number: int = 0, *, ratio: float = 1.0) -> None:
        super().__init__()
        self.label = "" if label is None else label.text
        self.number = number
        self.count = 0

    @property
    def where(self) -> str:
        return self._own.node.name

    def on_start(self) -> None:
        self.log.append(f"start {self.key} on {self.where}")

    def on_stop(self) -> None:
        self.log.append(f"stop {self.key} on {self.where}")

    @handles
    def count_up(self, count: Count) -> Counted:
        self.count += 1
        return Counted(count=self.count, label=self.label, node=self.where, number=self.number)

    @handles
    def fail(self, order: Fail) -> None:
        raise {"value": ValueError, "key": KeyError, "os": OSError}[order.how]("by order")

    @handles
    def end(self, order: End) -> None:
        self.stop()


class Cluster:
    """Three nodes on a clock of their own; `a` supervises, `b` and `c` host."""

    def __init__(self, swarms: tuple[Swarm, ...], clock: ManualClock, faults: Faults) -> None:
        self.a, self.b, self.c = swarms
        self.clock = clock
        self.faults = faults

    def supervise(self, *children: Child | Supervisor, **limits: Any) -> SupervisorRef:
        ref = self.a.supervise(Supervisor(children, **{"backoff": None, "name": "top", **limits}))
        self.clock.advance(1.0)
        return ref

    def ref(self, key: str) -> AgentRef:
        return self.a.agent(Worker, key)

    def ask(self, key: str, message: Any = None) -> Any:
        reply = self.ref(key).ask(message or Count())
        self.clock.advance(0.2)
        return reply.get(timeout=5)

    def tell(self, key: str, message: Any) -> None:
        self.ref(key).tell(message)
        self.clock.advance(0.2)

    def lose(self, name: str) -> None:
        for other in {"a", "b", "c"} - {name}:
            self.faults.cut(name, other)
        self.clock.advance(4.0)

    def bring_back(self, name: str) -> None:
        for other in {"a", "b", "c"} - {name}:
            self.faults.heal(name, other)
        self.clock.advance(4.0)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    logging.disable(logging.ERROR)
    Worker.log.clear()
    clock, faults = ManualClock(), Faults()
    with swarm_of(3, hosts={"b": [Worker], "c": [Worker]}, clock=clock, faults=faults) as swarms:
        yield Cluster(swarms, clock, faults)
    logging.disable(logging.NOTSET)


def states(ref: SupervisorRef) -> dict[str, str]:
    return {child.id: child.state for child in ref.which_children()}


def test_a_child_lives_on_the_node_that_its_spec_names_with_its_arguments(cluster: Cluster) -> None:
    child = Child(Worker, "x", (Label(text="hi"), 3), {"ratio": 0.5}, node="b")
    top = cluster.supervise(child)
    assert cluster.ask("x") == Counted(count=1, label="hi", node="b", number=3)
    (info,) = top.which_children()
    assert (info.state, info.node) == ("running", "b")
    assert [agent.address for agent in cluster.b.agents()] == ["worker/x"]


def test_a_remote_child_that_fails_is_restarted_where_it_lives_and_its_mail_is_kept(cluster: Cluster) -> None:
    top = cluster.supervise(Child(Worker, "x", node="b"))
    cluster.ask("x")
    ref = cluster.ref("x")
    ref.tell(Fail())
    replies = [ref.ask(Count()) for _ in range(3)]
    cluster.clock.advance(1.0)
    assert [reply.get(timeout=5).count for reply in replies] == [1, 2, 3]
    (info,) = top.which_children()
    assert (info.restarts, "ValueError" in info.last_error) == (1, True)
    assert cluster.b.dead_letters().counts == {"failed": 1}


def test_verdicts_travel_by_the_names_of_the_errors(cluster: Cluster) -> None:
    verdicts: Any = {KeyError: "resume", OSError: "stop"}
    top = cluster.supervise(Child(Worker, "x", node="b", verdicts=verdicts), Child(Worker, "y", node="c"))
    cluster.ask("x")
    cluster.tell("x", Fail(how="key"))
    assert cluster.ask("x").count == 2
    cluster.tell("x", Fail(how="os"))
    assert states(top) == {"worker/x": "ended", "worker/y": "running"}


def test_what_decide_says_counts_for_remote_children_too(cluster: Cluster) -> None:
    class Strict(Supervisor):
        def decide(self, error: BaseException) -> Any:
            return "stop" if "KeyError" in str(error) else "restart"

    top = cluster.a.supervise(Strict([Child(Worker, "x", node="b")], name="strict"))
    cluster.clock.advance(1.0)
    cluster.tell("x", Fail())
    assert states(top) == {"worker/x": "running"}
    cluster.tell("x", Fail(how="key"))
    assert states(top) == {"worker/x": "ended"}


def test_a_group_over_several_nodes_restarts_together_in_order(cluster: Cluster) -> None:
    top = cluster.supervise(
        Child(Worker, "x", node="b"),
        Child(Worker, "y", node="c"),
        Child(Worker, "z", node="b"),
        strategy="rest_for_one",
    )
    assert Worker.log == ["start x on b", "start y on c", "start z on b"]
    Worker.log.clear()
    cluster.tell("y", Fail())
    cluster.clock.advance(1.0)
    assert Worker.log == ["stop z on b", "start y on c", "start z on b"]
    assert set(states(top).values()) == {"running"}


def test_a_transient_remote_child_that_stops_has_ended_and_can_be_restarted(cluster: Cluster) -> None:
    top = cluster.supervise(Child(Worker, "x", node="b", restart="transient"))
    cluster.tell("x", End())
    assert states(top) == {"worker/x": "ended"}
    with pytest.raises(AgentDeadError):
        cluster.ask("x")
    top.restart_child("worker/x")
    cluster.clock.advance(1.0)
    assert cluster.ask("x").count == 1


def test_a_permanent_remote_child_that_stops_comes_back(cluster: Cluster) -> None:
    cluster.supervise(Child(Worker, "x", node="b"))
    cluster.ask("x")
    cluster.tell("x", End())
    assert cluster.ask("x").count == 1


def test_children_are_added_and_removed_from_afar(cluster: Cluster) -> None:
    top = cluster.supervise(Child(Worker, "x", node="b"))
    top.start_child(Child(Worker, "y", node="c"))
    cluster.clock.advance(1.0)
    assert cluster.ask("y").node == "c"
    ended = top.terminate_child("worker/y")
    cluster.clock.advance(1.0)
    assert ended.get(timeout=5) is None
    deleted = top.delete_child("worker/y")
    cluster.clock.advance(0.1)
    assert deleted.get(timeout=5) is None
    assert states(top) == {"worker/x": "running"}
    assert cluster.c.agents() == ()


def test_a_child_that_may_live_anywhere_moves_when_its_node_is_lost(cluster: Cluster) -> None:
    top = cluster.supervise(*(Child(Worker, str(number), node=ANY_NODE) for number in range(8)), intensity=1)
    before = {child.id: child.node for child in top.which_children()}
    assert set(before.values()) == {"b", "c"}
    cluster.lose("c")
    after = {child.id: child.node for child in top.which_children()}
    assert set(after.values()) == {"b"}
    assert all(cluster.ask(str(number)).node == "b" for number in range(8))
    assert cluster.a._running.failure is None  # losing a node counts as no restart


def test_a_node_that_was_only_cut_off_ends_the_children_that_were_moved(cluster: Cluster) -> None:
    top = cluster.supervise(*(Child(Worker, str(number), node=ANY_NODE) for number in range(8)))
    moved = {child.id for child in top.which_children() if child.node == "c"}
    cluster.lose("c")
    cluster.bring_back("c")
    assert moved
    assert {agent.address for agent in cluster.c.agents()}.isdisjoint(moved)
    assert all(cluster.ask(address.partition("/")[2]).node == "b" for address in moved)


def test_a_child_bound_to_a_lost_node_waits_for_it(cluster: Cluster) -> None:
    top = cluster.supervise(Child(Worker, "x", node="c"), Child(Worker, "y", node="b"))
    cluster.lose("c")
    (x, y) = top.which_children()
    assert (x.state, x.node, y.state) == ("starting", "", "running")
    cluster.bring_back("c")
    assert cluster.ask("x").node == "c"
    assert states(top) == {"worker/x": "running", "worker/y": "running"}


def test_children_whose_supervisor_is_lost_with_its_node_stop_with_a_report(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.supervise(Child(Worker, "x", node="b"))
    logging.disable(logging.NOTSET)
    cluster.lose("a")
    assert cluster.b.agents() == ()
    (report,) = [r.getMessage() for r in caplog.records if "where its supervisor" in r.getMessage()]
    assert report.startswith("worker/x stops: node a, where its supervisor top ran, has left")


def test_a_supervisor_that_leaves_ends_its_remote_children_in_reverse_order(cluster: Cluster) -> None:
    cluster.supervise(
        Child(Worker, "x", node="b"),
        Supervisor([Child(Worker, "y", node="c"), Child(Worker, "z", node="b")], name="inner"),
    )
    Worker.log.clear()
    cluster.a.stop()
    assert Worker.log == ["stop z on b", "stop y on c", "stop x on b"]


def test_a_supervisor_gives_up_on_a_remote_child_that_crashes_for_ever() -> None:
    clock = ManualClock()
    with swarm_of(2, hosts={"b": [Worker]}, clock=clock) as (a, b):
        spec = Supervisor([Child(Worker, "x", node="b")], intensity=2, backoff=None, name="top")
        a.supervise(spec)
        clock.advance(1.0)
        for _ in range(3):
            a.agent(Worker, "x").tell(Fail())
            clock.advance(0.5)
        with pytest.raises(SwarmFailedError, match=r"top gave up on worker/x.*ValueError"):
            a.wait(5)
        clock.advance(1.0)
        assert b.agents() == ()
        a._running.failure = None  # it was looked at


def test_orders_and_reports_survive_lost_frames() -> None:
    clock, faults = ManualClock(), Faults(seed=7, drop=0.3, duplicate=0.2, delay=0.2)
    with swarm_of(2, hosts={"b": [Worker]}, clock=clock, faults=faults) as (a, b):
        top = a.supervise(Supervisor([Child(Worker, "x", node="b")], intensity=100, backoff=None, name="top"))
        clock.advance(30.0)
        for _ in range(10):
            b.agent(Worker, "x").tell(Fail())
            clock.advance(20.0)
        (info,) = top.which_children()
        assert (info.state, info.restarts) == ("running", 10)
        ended = top.terminate_child("worker/x")
        clock.advance(30.0)
        assert ended.done()
        assert b.agents() == ()


def test_a_placed_agent_that_took_the_address_meanwhile_gives_way(cluster: Cluster) -> None:
    placed_on = "b" if cluster.a._running.presence.placement.owner("worker", "worker/x") == "b" else "c"
    other = "c" if placed_on == "b" else "b"
    assert cluster.ask("x").node == placed_on
    cluster.supervise(Child(Worker, "x", (Label(text="supervised"),), node=placed_on))
    cluster.supervise(Child(Worker, "y", (Label(text="elsewhere"),), node=other), name="second")
    assert cluster.ask("x").label == "supervised"
    assert cluster.ask("y").label == "elsewhere"


@pytest.mark.parametrize("argument", [object(), [1], {"a": 1}])
def test_arguments_that_cannot_travel_are_refused_when_the_spec_is_made(argument: object) -> None:
    with pytest.raises(ConfigurationError, match="cannot leave this process"):
        Child(Worker, "x", (argument,), node="b")


def test_a_kind_that_the_node_does_not_host_is_a_failed_start(cluster: Cluster) -> None:
    class Unknown(Agent):
        pass

    cluster.a.supervise(Supervisor([Child(Unknown, "u", node="b")], intensity=1, backoff=None, name="top"))
    cluster.clock.advance(2.0)
    with pytest.raises(SwarmFailedError, match="no live node hosts the agent kind 'unknown'"):
        cluster.a.wait(5)
    cluster.a._running.failure = None  # it was looked at


def test_an_address_is_supervised_once_in_the_swarm(cluster: Cluster) -> None:
    cluster.supervise(Child(Worker, "x", node="b"))
    with pytest.raises(AddressInUseError, match="supervised already, on node b"):
        cluster.a.supervise(Supervisor([Child(Worker, "x", node="c")], name="second"))
    with pytest.raises(AddressInUseError, match="supervised already, on node b"):
        cluster.c.supervise(Supervisor([Child(Worker, "x", node="b")], name="third"))
    assert cluster.ask("x").node == "b"


def test_a_supervisor_that_is_stopped_ends_its_remote_children_and_frees_their_addresses(
    cluster: Cluster,
) -> None:
    top = cluster.supervise(Child(Worker, "x", node="b"))
    stopped = top.stop()
    cluster.clock.advance(1.0)
    assert stopped.done()
    assert (cluster.b.agents(), cluster.a.supervisors()) == ((), ())
    cluster.supervise(Child(Worker, "x", node="c"), name="anew")
    assert cluster.ask("x").node == "c"


def test_mail_waits_until_a_remote_child_is_up_and_no_placed_agent_answers_for_it(cluster: Cluster) -> None:
    children = [
        Child(Worker, str(number), (Label(text="supervised"),), node=ANY_NODE) for number in range(20)
    ]
    cluster.a.supervise(Supervisor(children, name="top"))
    replies = [cluster.ref(str(number)).ask(Count()) for number in range(20) for _ in range(3)]
    others = [cluster.c.agent(Worker, str(number)).ask(Count()) for number in range(20)]
    cluster.clock.advance(2.0)
    assert {reply.get(timeout=5).label for reply in replies} == {"supervised"}
    assert cluster.a.agents() == ()
    assert all(reply.done() for reply in others)


def test_mail_for_a_child_whose_node_is_lost_waits_for_the_next_one(cluster: Cluster) -> None:
    cluster.supervise(Child(Worker, "x", (Label(text="supervised"),), node="c"))
    assert cluster.ask("x").count == 1
    cluster.lose("c")
    ref = cluster.ref("x")
    replies = [ref.ask(Count(), timeout=60) for _ in range(5)]
    cluster.clock.advance(1.0)
    far = cluster.b.agent(Worker, "x").ask(Count(), timeout=60)
    watch = ref.watch()
    cluster.clock.advance(5.0)
    assert not any(reply.done() for reply in replies)
    cluster.bring_back("c")
    assert [reply.get(timeout=5).count for reply in replies] == [1, 2, 3, 4, 5]
    assert far.get(timeout=5) == Counted(count=6, label="supervised", node="c", number=0)
    assert not watch.done()


def test_a_child_that_moves_to_its_supervisors_own_node_keeps_the_mail_that_waited() -> None:
    clock, faults = ManualClock(), Faults()
    with swarm_of(2, hosts=[Worker], clock=clock, faults=faults) as (a, _):
        keys = [str(number) for number in range(6)]
        top = a.supervise(Supervisor([Child(Worker, key, node=ANY_NODE) for key in keys], name="top"))
        clock.advance(1.0)
        assert {child.node for child in top.which_children()} == {"a", "b"}
        faults.cut("a", "b")
        clock.advance(4.0)
        assert {child.node for child in top.which_children()} == {"a"}
        replies = [a.agent(Worker, key).ask(Count()) for key in keys]
        clock.advance(1.0)
        assert {reply.get(timeout=5).node for reply in replies} == {"a"}


def test_mail_for_a_remote_child_that_ends_before_it_was_up_is_dead_letters(cluster: Cluster) -> None:
    top = cluster.supervise(Child(Worker, "x", node="nowhere"))
    cluster.ref("x").tell(Count())
    asked = cluster.ref("x").ask(Count(), timeout=60)
    stopped = top.stop()
    cluster.clock.advance(1.0)
    assert stopped.done()
    with pytest.raises(AgentDeadError):
        asked.get(timeout=5)
    assert cluster.a.dead_letters().counts == {"stopped": 2}
