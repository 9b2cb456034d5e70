"""`swarm.tree()` and `swarm.trees()`: what a node tells of its supervisors, children and other agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from covey import (
    Agent,
    AgentDeadError,
    Backoff,
    Child,
    Mailbox,
    NodeTree,
    Supervisor,
    Swarm,
    TreeLine,
    handles,
    message,
)
from covey.framework.messages import codec
from covey.framework.supervision.snapshot import MOST_BYTES
from covey.framework.supervision.survey import TreeRequest
from covey.framework.supervision.tree import fill_in
from covey.transports import MemoryHub, MemoryTransport
from tests.framework.supervision.crew import Worker, all_up, fail, limits, nested
from tests.framework.waiting import eventually, held_up


@message
class Work:
    number: int
    takes_for_ever: bool = False


class Nurse(Agent):
    """Spawns agents of its own."""

    def on_start(self) -> None:
        for number in range(2):
            self.spawn(Worker, f"{self.key}-{number}")


class Placed(Agent):
    """May be placed, and live on any node."""

    mailbox = Mailbox(capacity=7)

    @handles
    async def work(self, work: Work) -> None:
        if work.number < 0:
            raise ValueError(f"bad {work.number}")
        if work.takes_for_ever:
            await asyncio.Event().wait()


class Mumbling(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def line_of(tree: NodeTree, label: str) -> TreeLine:
    return next(line for line in tree.lines if line.label == label)


def drawn(tree: NodeTree) -> list[str]:
    return [f"{'  ' * line.depth}{line.label}" for line in tree.lines]


def test_supervisors_stand_above_their_children_in_the_order_of_their_specs(swarm: Swarm) -> None:
    back = Supervisor([Child(Worker, "c")], strategy="rest_for_one", name="back")
    all_up(swarm.supervise(Supervisor([Child(Worker, "a"), back, Child(Worker, "b")], name="shop")))
    tree = swarm.tree()
    assert drawn(tree) == ["shop", "  worker/a", "  back", "    worker/c", "  worker/b"]
    assert [line.what for line in tree.lines] == ["supervisor", "child", "supervisor", "child", "child"]
    assert {line.state for line in tree.lines} == {"running"}
    shop = line_of(tree, "shop")
    assert (shop.strategy, shop.intensity, shop.period_s) == ("one_for_one", 5, 10.0)
    assert tree.agents == 3


def test_a_child_that_failed_has_its_restarts_and_its_last_error_and_its_supervisor_counts_too(
    swarm: Swarm,
) -> None:
    all_up(swarm.supervise(Supervisor([Child(Worker, "a"), Child(Worker, "b")], **limits())))
    fail(swarm.agent(Worker, "a"))
    swarm.agent(Worker, "a").ask(1).get()  # it is back
    tree = swarm.tree()
    failed = line_of(tree, "worker/a")
    assert (failed.state, failed.restarts, failed.last_error) == ("running", 1, "ValueError: bad -1")
    assert line_of(tree, "worker/b").restarts == 0
    assert line_of(tree, "supervisor").restarts == 1
    assert tree.handled >= 2


def test_a_child_that_waits_for_its_restart_says_so_and_counts_its_mail(swarm: Swarm) -> None:
    quiet = Backoff(initial_s=60, max_s=60)
    all_up(swarm.supervise(Supervisor([Child(Worker, "a")], backoff=quiet)))
    worker = swarm.agent(Worker, "a")
    fail(worker)
    fail(worker)
    for number in range(3):
        worker.tell(number)
    eventually(lambda: line_of(swarm.tree(), "worker/a").state == "backoff")
    line = line_of(swarm.tree(), "worker/a")
    assert (line.waiting, line.capacity) == (3, Worker.mailbox.capacity)


def test_messages_that_wait_are_counted(swarm: Swarm) -> None:
    worker = swarm.spawn(Worker, "a")
    with held_up(swarm):
        for number in range(4):
            worker.tell(number)
        assert line_of(swarm.tree(), "worker/a").waiting == 4


def test_agents_without_supervisor_stand_under_a_heading_and_their_children_below_them(swarm: Swarm) -> None:
    swarm.spawn(Nurse, "n")
    eventually(lambda: len(swarm.tree().lines) == 4)
    tree = swarm.tree()
    assert drawn(tree) == ["spawned agents", "  nurse/n", "    worker/n-0", "    worker/n-1"]
    assert [line.what for line in tree.lines] == ["group", "spawned", "spawned", "spawned"]


def test_agents_that_a_child_spawned_stand_below_it(swarm: Swarm) -> None:
    swarm.supervise(Supervisor([Child(Nurse, "n")], name="ward"))
    eventually(lambda: len(swarm.tree().lines) == 4)
    assert drawn(swarm.tree()) == ["ward", "  nurse/n", "    worker/n-0", "    worker/n-1"]


def test_placed_agents_keep_their_last_error_over_a_restart(swarm: Swarm) -> None:
    placed = swarm.agent(Placed, "p")
    with pytest.raises(ValueError, match="bad -1"):
        placed.ask(Work(number=-1)).get()
    placed.ask(Work(number=1)).get()
    tree = swarm.tree()
    assert drawn(tree) == ["placed agents", "  placed/p"]
    line = tree.lines[1]
    assert (line.what, line.restarts, line.last_error) == ("placed", 1, "ValueError: bad -1")
    assert line.capacity == 7


def test_of_a_large_pool_the_troubled_and_the_first_are_told_and_the_rest_is_counted(swarm: Swarm) -> None:
    all_up(swarm.supervise(Supervisor.pool(Worker, 5_000, name="pool", **limits())))
    fail(swarm.agent(Worker, "pool-4321"))
    swarm.agent(Worker, "pool-4321").ask(1).get()
    tree = swarm.tree(most_children=3)
    assert drawn(tree) == ["pool", "  worker/pool-1", "  worker/pool-2", "  worker/pool-4321"]
    assert (tree.lines[0].left_out, tree.lines[0].left_out_troubled) == (4_997, 0)
    assert len(swarm.tree(most_children=10_000).lines) < 5_000  # one message has to hold it
    assert len(codec.encode(swarm.tree(most_children=10_000))[1]) <= MOST_BYTES


def test_supervisors_nested_by_the_hundred_are_told_down_to_some_depth(swarm: Swarm) -> None:
    swarm.supervise(nested(100, Child(Worker, "deep")))
    tree = swarm.tree()
    assert [line.depth for line in tree.lines] == list(range(len(tree.lines)))
    assert tree.lines[-1].left_out == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\ud800"), "ValueError: \\ud800"),
        (ValueError(), "ValueError"),
        (Mumbling(), "Mumbling: its text cannot be shown: __str__ raised RuntimeError"),
        (ValueError("x" * 1_000), "ValueError: " + "x" * 187 + "…"),
    ],
    ids=["a lone surrogate", "no text", "a broken __str__", "a long text"],
)
def test_an_error_of_any_text_is_told_in_one_short_line(error: Exception, said: str) -> None:
    from covey.framework.error_text import encodable, error_text

    assert encodable(error_text(error)) == said


def test_a_root_that_was_stopped_is_told_of_no_more_and_one_that_gave_up_is() -> None:
    with pytest.raises(Exception, match="gave up"), Swarm.local(trace_ratio=0.0) as swarm:  # noqa: PT012
        stopped = swarm.supervise(Supervisor([Child(Worker, "a")], name="stopped"))
        stopped.stop().get(5)
        swarm.supervise(Supervisor([Child(Worker, "b")], name="failed", intensity=0))
        fail(swarm.agent(Worker, "b"))
        eventually(lambda: bool(swarm.tree().failure))
        eventually(lambda: line_of(swarm.tree(), "failed").state == "stopped")
        tree = swarm.tree()
        assert "stopped" not in drawn(tree)
        assert line_of(tree, "failed").last_error == "gave up on worker/b"
        assert "gave up on worker/b" in tree.failure


# -- of all nodes ----------------------------------------------------------------------------------


@contextmanager
def two_nodes() -> Iterator[tuple[Swarm, Swarm]]:
    hub = MemoryHub()

    def node(name: str) -> Swarm:
        return Swarm(
            "ward", transport=lambda: MemoryTransport(hub), hosts=[Placed], node=name, trace_ratio=0.0
        )

    with node("n1") as one, node("n2") as two:
        assert one.wait_for_nodes(2)
        assert two.wait_for_nodes(2)
        yield one, two


def test_all_nodes_tell_their_trees_and_a_child_elsewhere_has_its_figures_from_there() -> None:
    with two_nodes() as (one, two):
        all_up(one.supervise(Supervisor([Child(Placed, "far", node="n2")], name="root", **limits())))
        far = one.agent(Placed, "far")
        far.ask(Work(number=1)).get()
        for number in range(3):
            far.tell(Work(number=number, takes_for_ever=True))
        eventually(lambda: line_of(two.tree(), "placed/far").waiting == 2)
        trees = one.trees().get()
        assert [tree.node for tree in trees] == ["n1", "n2"]
        above, there = line_of(trees[0], "placed/far"), line_of(trees[1], "placed/far")
        assert (above.what, above.node, above.state) == ("child", "n2", "running")
        assert (there.what, there.node, there.supervisor) == ("hosted", "n1", "root")
        assert (above.waiting, above.capacity, above.handled) == (2, 7, there.handled)
        assert trees[1].lines[0].label == "children of supervisors on other nodes"
        two.stop(0.1)  # its handler would be waited for


def test_a_child_elsewhere_that_failed_has_its_restarts_and_error_on_both_nodes() -> None:
    with two_nodes() as (one, _):
        all_up(one.supervise(Supervisor([Child(Placed, "far", node="n2")], name="root", **limits())))
        with pytest.raises(Exception, match="bad -1"):
            one.agent(Placed, "far").ask(Work(number=-1)).get()
        one.agent(Placed, "far").ask(Work(number=1)).get()
        eventually(lambda: line_of(one.tree(), "placed/far").restarts == 1)
        for tree in one.trees().get():
            line = line_of(tree, "placed/far")
            assert line.restarts == 1
            assert "bad -1" in line.last_error


def test_a_child_that_waits_for_its_node_says_for_which() -> None:
    with two_nodes() as (one, _):
        one.supervise(Supervisor([Child(Placed, "far", node="n3")], name="root"))
        eventually(lambda: line_of(one.tree(), "placed/far").waits_for == "n3")
        assert line_of(one.tree(), "placed/far").state == "starting"


def test_a_child_on_any_node_that_lives_here_is_told_as_of_here(swarm: Swarm) -> None:
    all_up(swarm.supervise(Supervisor([Child(Placed, "p", node="*")], name="root")))
    tree = swarm.tree()
    assert drawn(tree) == ["root", "  placed/p"]
    assert (tree.lines[1].node, tree.lines[1].capacity) == ("", 7)


def test_a_node_that_does_not_answer_in_time_is_told_as_such() -> None:
    with two_nodes() as (one, two):
        two._running.inbound.serve(TreeRequest, lambda *_: None)
        trees = one.trees(0.2).get()
        assert [(tree.node, tree.problem) for tree in trees] == [
            ("n1", ""),
            ("n2", "no answer within 0.2 s"),
        ]


def test_a_node_that_says_goodbye_meanwhile_is_left_out() -> None:
    with two_nodes() as (one, two):
        two._running.inbound.serve(TreeRequest, lambda *_: None)
        survey = one.trees(30.0)
        two.stop()
        assert [tree.node for tree in survey.get(5)] == ["n1"]


def test_a_node_that_only_others_see_is_waited_for_and_told_as_silent() -> None:
    with two_nodes() as (one, two):

        def answer(request: TreeRequest, _target: object, _sender: object, port: object) -> None:
            port.resolve(NodeTree(node="n2", peers=["n1", "n2", "n3"]))  # type: ignore[attr-defined]

        two._running.inbound.serve(TreeRequest, answer)
        problems = {tree.node: tree.problem for tree in one.trees(0.2).get()}
        assert problems == {"n1": "", "n2": "", "n3": "no answer within 0.2 s"}


def test_a_survey_of_a_swarm_that_has_stopped_fails_at_once() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        pass
    with pytest.raises(AgentDeadError, match="has stopped"):
        swarm.trees(60.0).get(5)


def test_figures_are_filled_in_only_where_the_other_node_has_the_child() -> None:
    child = TreeLine(what="child", label="a/1", node="n2", state="running", restarts=2)
    alike = TreeLine(what="child", label="a/2", node="n2", state="running")
    hosted = TreeLine(
        what="hosted", label="a/1", node="n1", state="passive", waiting=3, capacity=9, handled=5
    )
    far, near = NodeTree(node="n2", lines=[hosted]), NodeTree(node="n1", lines=[child, alike])
    filled = fill_in([far, near])
    assert [tree.node for tree in filled] == ["n1", "n2"]
    one, two = filled[0].lines
    assert (one.state, one.waiting, one.capacity, one.handled, one.restarts) == ("passive", 3, 9, 5, 2)
    assert two == alike
