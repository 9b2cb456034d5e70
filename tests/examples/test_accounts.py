"""The last figures of the nodes: collected until the readings add up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from covey import Agent, Child, Supervisor, Swarm, handles
from examples.aiops.swarm import accounts
from examples.aiops.swarm.accounts import is_balanced, settle
from examples.aiops.swarm.messages import Account, NodeNews, ReadingCounts
from tests.examples.swarm_room import Room


def news(sent: int, handled: int, dead: int, node: str = "node-1") -> NodeNews:
    counts = ReadingCounts(sent=sent, handled=handled, dead=dead)
    return NodeNews(node=node, pid=1, agents=0, messages=0, dead_letters=[], readings=counts)


class Reporter(Agent):
    """Answers with one figure after the other, the last for ever."""

    def __init__(self, figures: list[NodeNews]) -> None:
        super().__init__()
        self._figures = figures

    @handles
    def account(self, _account: Account) -> NodeNews:
        return self._figures.pop(0) if len(self._figures) > 1 else self._figures[0]


@pytest.fixture
def room() -> Iterator[Room]:
    with Swarm.local() as swarm:
        room = Room(swarm)
        room.record("desk")
        yield room


def reporters(room: Room, **figures: list[NodeNews]) -> list[str]:
    room.swarm.supervise(Supervisor([Child(Reporter, node, (told,)) for node, told in figures.items()]))
    return list(figures)


def test_readings_add_up_over_all_nodes_not_on_each() -> None:
    assert is_balanced([news(10, 2, 0), news(0, 7, 1)])
    assert not is_balanced([news(10, 2, 0), news(0, 7, 0)])


def test_the_desk_is_told_the_figures_with_which_they_add_up(room: Room) -> None:
    settle(room.swarm, reporters(room, n1=[news(10, 4, 0)], n2=[news(0, 5, 0), news(0, 5, 0), news(0, 6, 0)]))
    assert [(told.readings.sent, told.readings.handled) for told in room.heard("desk")] == [(10, 4), (0, 6)]


def test_figures_that_never_add_up_are_told_as_they_are(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "SETTLE_S", 0.05)
    settle(room.swarm, reporters(room, n1=[news(10, 4, 0)]))
    (told,) = room.heard("desk")
    assert told.readings.handled == 4


def test_a_node_that_is_gone_is_left_out(room: Room) -> None:
    settle(room.swarm, [*reporters(room, n1=[news(3, 3, 0)]), "gone"])
    assert len(room.heard("desk")) == 1
