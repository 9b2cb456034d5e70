"""Membership: a pure view built from beacons; checked against a model that only knows times."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from covey.framework.cluster.membership import GONE_AFTER_S, Change, Membership, NodeInfo

NAMES = st.sampled_from(["a", "b", "c"])


class MembershipMachine(RuleBasedStateMachine):
    """The events that come out must add up to the members at every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.membership = Membership(NodeInfo("self", 1))
        self.alive = {"self"}
        self.heard_at: dict[str, float] = {}
        self.incarnations: dict[str, int] = {}
        self.hosting: set[tuple[str, int, frozenset[str]]] = set()

    def apply(self, change: Change) -> None:
        for name, reason in change.left:
            assert name in self.alive
            assert reason
            self.alive.remove(name)
        for name in change.joined:
            assert name not in self.alive
            self.alive.add(name)
        hosting = {
            (peer.name, peer.incarnation, peer.hosts) for peer in self.membership.members if peer.hosts
        }
        if hosting != self.hosting:  # who only looks on moves no agents
            assert change.altered
        self.hosting = hosting

    @rule(name=NAMES, hosts=st.frozensets(st.sampled_from(["x", "y"])))
    def beacon(self, name: str, hosts: frozenset[str]) -> None:
        incarnation = self.incarnations.setdefault(name, 1)
        self.apply(self.membership.heard(NodeInfo(name, incarnation, hosts), self.now))
        self.heard_at[name] = self.now
        peer = self.membership.get(name)
        assert peer is not None
        assert peer.hosts == hosts

    @rule(name=NAMES)
    def restart(self, name: str) -> None:
        known = name in self.alive
        self.incarnations[name] = self.incarnations.get(name, 1) + 1
        change = self.membership.heard(NodeInfo(name, self.incarnations[name]), self.now)
        assert change.joined == (name,)
        assert bool(change.left) == known
        self.apply(change)
        self.heard_at[name] = self.now

    @rule(name=NAMES)
    def goodbye(self, name: str) -> None:
        change = self.membership.goodbye(name, self.incarnations.get(name, 1))
        assert bool(change.left) == (name in self.alive)
        self.apply(change)
        self.heard_at.pop(name, None)

    @rule(name=NAMES)
    def late_goodbye_of_an_earlier_incarnation(self, name: str) -> None:
        assert not self.membership.goodbye(name, self.incarnations.get(name, 1) - 1)

    @rule(seconds=st.floats(0.0, 1.5 * GONE_AFTER_S))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.apply(self.membership.expire(self.now))
        silent = {name for name, at in self.heard_at.items() if self.now - at > GONE_AFTER_S}
        assert not silent & self.alive
        for name in silent:
            del self.heard_at[name]

    @rule(seconds=st.floats(0.0, 10.0))
    def deaf_for_a_while(self, seconds: float) -> None:
        self.now += seconds
        self.membership.forgive(self.now)
        assert not self.membership.expire(self.now)
        for name in self.heard_at:
            self.heard_at[name] = self.now

    @rule()
    def own_beacon_and_goodbye_come_back(self) -> None:
        assert not self.membership.heard(NodeInfo("self", 1), self.now)
        assert not self.membership.goodbye("self", 1)

    @invariant()
    def members_are_what_the_events_say(self) -> None:
        assert {peer.name for peer in self.membership.members} == self.alive
        assert set(self.membership.placement().names) == self.alive
        assert self.alive == {"self", *self.heard_at}


TestMembership = MembershipMachine.TestCase
TestMembership.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_registered_addresses_tell_their_node_and_go_with_it() -> None:
    membership = Membership(NodeInfo("self", 1))
    change = membership.heard(NodeInfo("a", 1, registered=frozenset({"warden/gate"})), 0.0)
    assert change.altered
    assert membership.registered() == {"warden/gate": "a"}
    membership.expire(GONE_AFTER_S + 0.1)
    assert membership.registered() == {}


def test_a_node_that_hosts_nothing_comes_and_goes_without_moving_anything() -> None:
    membership = Membership(NodeInfo("self", 1))
    joined = membership.heard(NodeInfo("client", 1), 0.0)
    assert (joined.joined, joined.altered) == (("client",), False)
    left = membership.goodbye("client", 1)
    assert ([name for name, _ in left.left], left.altered) == (["client"], False)


def test_the_number_of_agents_alone_does_not_move_anything() -> None:
    membership = Membership(NodeInfo("self", 1))
    membership.heard(NodeInfo("a", 1, agents=1), 0.0)
    assert not membership.heard(NodeInfo("a", 1, agents=2), 0.1)
