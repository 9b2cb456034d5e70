"""This node among the others: its beacons, its view of the members, and where agents live by that view."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from covey.framework.address import Address
from covey.framework.cluster.hello import pack_hello, unpack_hello
from covey.framework.cluster.locator import Locator
from covey.framework.cluster.membership import (
    BEACON_S,
    MAX_NODES,
    NOBODY_LISTENS,
    Change,
    Membership,
    NodeInfo,
)
from covey.framework.cluster.placement import Member, Placement
from covey.framework.cluster.registration import TELL_AFTER_S, Registration
from covey.framework.cluster.suspects import Suspects
from covey.framework.errors import AddressInUseError, UndecodableError
from covey.framework.events import NodeJoined, NodeLeft
from covey.framework.proto.envelope_pb2 import Beacon, Hello, Registry

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["JOIN_S", "Presence"]

logger = logging.getLogger("covey.node")

JOIN_S = 0.15
"""How long a joining node listens for the others' answers before it serves."""
REMINDERS = 3  # for each beacon


class Presence:
    """Says hello, hears the others, and answers where an agent lives.

    What reads where agents live may be called from any thread.
    """

    def __init__(self, node: Node, weight: int, listen_s: float = JOIN_S) -> None:
        self._node = node
        self._weight = weight
        self._listen_s = listen_s
        self._incarnation = secrets.randbits(63) | 1
        self.registration = Registration(node, self._incarnation)
        self._members = Membership(self._own())
        self._locator = Locator(self._members.placement(), node.name, self.registration)
        self._deaf = False
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._greeting: asyncio.TimerHandle | None = None
        self._last_beat = self._node.now()
        self._refused = False
        self._suspects = Suspects(node, self._is_gone)
        self._joined = asyncio.Event()

    def _own(self) -> NodeInfo:
        node, registered = self._node, self.registration.own
        hosts, agents = frozenset(node.directory.hosts), len(node.directory)
        return NodeInfo(node.name, self._incarnation, hosts, self._weight, os.getpid(), agents, registered)

    # -- from any thread ---------------------------------------------------------------------------

    def locate(self, address: Address, node_name: str) -> str | None:
        """Name of the node where an agent lives: the one it is bound to, else where it is supervised,
        else where placement puts it. None when no live node hosts its kind."""
        if node_name:
            return node_name if node_name == self._node.name or self._members.get(node_name) else None
        return self._locator.locate(address)

    def registered_on(self, address: Address) -> str | None:
        """The node that supervises an agent at this address, if any does."""
        return self._locator.registered_on(address)

    def home_of(self, find: Callable[[str], str | None]) -> None:
        """Ask this function where children of this node's supervisors live."""
        self._locator.home_of = find

    def moved(self) -> None:
        """A child of this node's supervisors lives elsewhere now: look again for each."""
        self._locator.forget()
        self._node.outbound.placement_changed()

    @property
    def incarnation(self) -> int:
        """Which life of its name this node is."""
        return self._incarnation

    def incarnation_of(self, name: str) -> int:
        """Which life of a node is seen now; 0 for none."""
        member = self._members.get(name)
        return 0 if member is None else member.incarnation

    @property
    def placement(self) -> Placement:
        """The view of the members that decides where agents live."""
        return self._locator.placement

    @property
    def members(self) -> tuple[NodeInfo, ...]:
        """All nodes of the swarm that this one sees, itself included."""
        return (self._own(),) if self._node.alone else self._members.members

    def announce(self) -> None:
        """What this node hosts has changed: tell, and place by it."""
        if self._node.dispatcher.here:
            self._update_own()
        else:
            own = self._own()
            # The caller's next lookup must see it, so the view is renewed here already.
            others = (m for m in self.placement.members if m.name != own.name)
            self._locator.update(Placement.of([*others, Member(own.name, own.hosts, own.weight)]))
            self._node.outbound.placement_changed()
            self._node.dispatcher.call(self._update_own)

    def sees(self, name: str) -> bool:
        """Whether a node of this name is in the swarm."""
        return self._members.get(name) is not None

    @property
    def member_count(self) -> int:
        """How many nodes this one sees, itself included."""
        return self._members.count

    @property
    def alone(self) -> bool:
        """Whether no other node is in the swarm, as far as this one sees."""
        return self._members.count == 1

    def check_registry(self, addresses: Iterable[str]) -> None:
        """Raise ConfigurationError if these were too many to register."""
        self.registration.check(addresses)

    def register(self, addresses: Iterable[str]) -> None:
        """Addresses of agents that are supervised here, ahead of placement. Raises as `check_registry`."""
        if self.registration.add(addresses):
            self._registered()

    def unregister(self, addresses: Iterable[str]) -> None:
        """Agents that are supervised here no more: their addresses are free for others."""
        if self.registration.remove(addresses):
            self._registered()

    def _registered(self) -> None:
        # The caller's next lookup must see it, so what was located is forgotten here already.
        self._locator.forget()
        self._node.outbound.placement_changed()
        self._node.dispatcher.call(self._registry_changed)

    # -- on the loop thread ------------------------------------------------------------------------

    async def join(self) -> None:
        """Say hello and listen; returns once the others had time to answer.

        Raises:
            AddressInUseError: a node of this name is in the swarm already.
        """
        self._say(joining=True)
        await asyncio.sleep(self._listen_s)
        if self._refused:
            raise AddressInUseError(
                f"the node name {self._node.name!r}",
                f"a live node of swarm {self._node.swarm!r} has it; give this one another node=...",
            )
        self._joined.set()
        if not self._node.alone:  # nobody else can be there to hear, and an idle process costs nothing
            self._beat()

    def say_hello(self) -> None:
        """This node is there again."""
        if self._joined.is_set():
            self._say(joining=True)

    def leave(self) -> None:
        """Say goodbye and stop the beacons."""
        self.registration.close()
        for timer in (self._renewal, self._greeting, self._timer):
            if timer is not None:
                timer.cancel()
        self._renewal = self._greeting = self._timer = None
        if self._joined.is_set():
            self._say(leaving=True)
        self._joined.clear()

    def heard(self, hello: Hello) -> None:
        """A beacon came in; this node's own come back too."""
        if hello.node == self._node.name:
            self._heard_own_name(hello)
            return
        if hello.leaving:
            self._apply(self._members.goodbye(hello.node, hello.incarnation))
            return
        if self._node.tenancy.is_over(hello.node):
            if hello.joining:
                self._greet_soon()
            return  # it does not know yet, or its new lease is not known here
        if not self.sees(hello.node) and self._members.count >= MAX_NODES:
            detail = f"node {hello.node} joins, and there are {MAX_NODES} nodes already"
            self._node.dead_letter_wire("", "hello", "dropped", detail)
            return
        self.reached(hello.node)
        peer = unpack_hello(hello, self.registration.of(hello.node, hello.incarnation))
        known = self._members.get(hello.node)
        if hello.joining:
            self._node.publishing.node_joined()
            self._greet_soon()
            if known is None or known.incarnation != hello.incarnation:
                # Not in yet: it may be refused, and must not be taken for a live node that restarted.
                return
        self._apply(self._members.heard(peer, self._node.now()))
        self.registration.compare(hello)

    def heard_registry(self, part: Registry) -> None:
        """A part of a node's registry came in."""
        known = self._members.get(part.node)
        try:
            is_complete = self.registration.heard(part)
        except UndecodableError as error:
            self._node.dead_letter_wire("", "registry", "too large", str(error))
            return
        if is_complete and known is not None and known.incarnation == part.incarnation:
            registered = self.registration.of(part.node, part.incarnation)
            self._apply(self._members.heard(replace(known, registered=registered), self._node.now()))

    # -- who listens -------------------------------------------------------------------------------

    def look_at(self, name: str) -> None:
        """A node may be gone: the server says so if its connection is."""
        if self.sees(name):
            self._suspects.look_at(name)

    def unreachable(self, name: str, number: int) -> None:
        """The server said that nobody listened when the frame of this number was sent to a node."""
        self._suspects.came_back(name, number)

    def _is_gone(self, name: str, why: str = NOBODY_LISTENS) -> None:
        change = self._members.disconnected(name, why)
        self._apply(change)
        if not change:
            self._node.outbound.node_left(name, why)

    def lease_ended(self, name: str, why: str) -> None:
        """A node's lease is over: whatever it says, it serves no more."""
        self._suspects.forget(name)
        self._is_gone(name, why)

    def is_heard(self, name: str) -> None:
        """A frame of a node came in."""
        self._members.is_heard(name, self._node.now())

    def reached(self, name: str) -> None:
        """A node is heard of: somebody listens there."""
        self._suspects.forget(name)
        self._node.outbound.reached(name)

    def _greet_soon(self) -> None:
        """Answer who has just come a moment later: many may come at once."""
        if self._greeting is None:
            self._greeting = self._node.dispatcher.loop.call_later(TELL_AFTER_S, self._greet)

    def _greet(self) -> None:
        self._greeting = None
        self._tell_registry()
        self._say()

    def _tell_registry(self) -> None:
        if self._joined.is_set() and not self._deaf:
            self.registration.tell()

    def _heard_own_name(self, hello: Hello) -> None:
        if hello.incarnation == self._incarnation or hello.leaving or self._node.tenancy.has_leases:
            return  # of two with one name the lease decides, where there are any
        if hello.refused_incarnation == self._incarnation and not self._joined.is_set():
            self._refused = True
        elif hello.joining and (self._joined.is_set() or self._incarnation < hello.incarnation):
            # Of two that join at once the lower incarnation wins; both tell, for one may be deaf yet.
            logger.error("another process tried to join as node %s and was refused", self._node.name)
            self._say(refused_incarnation=hello.incarnation)
        elif hello.joining:
            self._refused = True

    def link(self, up: bool) -> None:
        """The link to the server came back: everybody was silent only because we were deaf."""
        self._deaf = not up
        self._suspects.link(up)
        if up:
            self._members.forgive(self._node.now())
            self._node.publishing.node_joined()  # what was told on the way down may be lost
            if self._joined.is_set():
                self._tell_registry()
                self._say(joining=True)

    def _beat(self) -> None:
        self._timer = self._node.dispatcher.loop.call_later(BEACON_S, self._beat)
        now = self._node.now()
        if now - self._last_beat > 4 * BEACON_S:
            self._members.forgive(now)  # our own loop was held up: the beacons wait in the socket
        self._last_beat = now
        self._members.update_own(self._own())
        if not self._deaf:  # without a link nobody can be heard: nobody is gone for that
            self._say()
            self._apply(self._members.expire(now, self._node.tenancy.judges))
        self._node.tick_peers()
        self._node.publishing.gate.tick()
        self._remind(REMINDERS)

    def _remind(self, times: int) -> None:
        """Ask nodes that owe answers for a sign of life: if they are gone the server says so at once."""
        if self._deaf or not self._node.outbound.asks_in_flight:
            return
        for name in self._node.outbound.debtors():
            self._node.ping(self._node.outbound.peer(name))
        if times > 1:
            pause_s = BEACON_S / REMINDERS
            self._node.dispatcher.loop.call_later(pause_s, self._remind, times - 1)

    def _update_own(self) -> None:
        self._apply(self._members.update_own(self._own()))
        if self._joined.is_set():
            self._say()

    def _registry_changed(self) -> None:
        if self._renewal is None:  # children come and go by the thousand: once for all until then
            self._renewal = self._node.dispatcher.loop.call_later(TELL_AFTER_S, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        self._apply(self._members.update_own(self._own()))
        self.registration.tell()

    def _say(self, *, joining: bool = False, leaving: bool = False, refused_incarnation: int = 0) -> None:
        hello = pack_hello(self._own(), joining=joining, leaving=leaving)
        hello.registry_version = self.registration.version
        hello.refused_incarnation = refused_incarnation
        self._node.broadcast(Beacon(hello=hello))

    def _apply(self, change: Change) -> None:
        if not change:
            return
        self._locator.update(self._members.placement(), self._members.registered())
        self._node.outbound.placement_changed()
        for name, why in change.left:
            logger.warning("node %s left: %s", name, why)
            if self._members.get(name) is None:
                self.registration.forget(name)
            self._node.node_left(name, why)
            self._node.publishing.node_left(name)
            self._node.emit(NodeLeft(name, why))
        for name in change.joined:
            logger.info("node %s joined", name)
            self._node.publishing.node_joined()
            self._node.emit(NodeJoined(name))
        if change.altered:
            self._node.placement_changed()
