"""This node among the others: its beacons, its view of the members, and where agents live by that view."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from covey.framework.address import Address
from covey.framework.cluster.membership import BEACON_S, Change, Membership, NodeInfo
from covey.framework.cluster.placement import Member, Placement
from covey.framework.errors import AddressInUseError
from covey.framework.events import NodeJoined, NodeLeft
from covey.framework.proto.envelope_pb2 import Beacon, Hello

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["JOIN_S", "Presence"]

logger = logging.getLogger("covey.node")

JOIN_S = 0.15
"""How long a joining node listens for the others' answers before it serves."""
WIRE_VERSION = 1
LOCATED_KEPT = 65_536


class Presence:
    """Says hello, hears the others, and answers where an agent lives.

    `locate`, `registered_on` and `placement` may be called from any thread: they read immutable views.
    """

    def __init__(self, node: Node, weight: int, listen_s: float = JOIN_S) -> None:
        self._node = node
        self._weight = weight
        self._listen_s = listen_s
        self._incarnation = secrets.randbits(63) | 1
        self._registered: frozenset[str] = frozenset()
        self._registered_on: dict[str, str] = {}
        self._members = Membership(self._own())
        self._located: dict[Address, str | None] = {}
        self._deaf = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_beat = monotonic()
        self._refused = False
        self._joined = asyncio.Event()
        self.placement = self._members.placement()

    def _own(self) -> NodeInfo:
        hosts = frozenset(self._node.directory.hosts)
        return NodeInfo(
            self._node.name,
            self._incarnation,
            hosts,
            self._weight,
            os.getpid(),
            len(self._node.directory),
            self._registered,
        )

    # -- from any thread ---------------------------------------------------------------------------

    def locate(self, address: Address, node_name: str) -> str | None:
        """Name of the node where an agent lives: the one it is bound to, else where it is supervised,
        else where placement puts it. None when no live node hosts its kind."""
        if node_name:
            return node_name if node_name == self._node.name or self._members.get(node_name) else None
        # The dict is taken before the look-up: when the placement changes in between, the old one is gone.
        located = self._located
        try:
            return located[address]
        except KeyError:
            pass
        text = str(address)
        owner = self._registered_on.get(text) or self.placement.owner(address.kind, text)
        if len(located) >= LOCATED_KEPT:
            located.clear()
        located[address] = owner
        return owner

    def registered_on(self, address: Address) -> str | None:
        """The node that supervises an agent at this address, if any does."""
        return self._registered_on.get(str(address))

    @property
    def members(self) -> tuple[NodeInfo, ...]:
        """All nodes of the swarm that this one sees, itself included."""
        return self._members.members

    def announce(self) -> None:
        """What this node hosts has changed: tell, and place by it."""
        if self._node.dispatcher.here:
            self._update_own()
        else:
            own = self._own()
            # The caller's next lookup must see it, so the view is renewed here already.
            self.placement = Placement.of(
                [
                    *(m for m in self.placement.members if m.name != own.name),
                    Member(own.name, own.hosts, own.weight),
                ]
            )
            self._forget_located()
            self._node.dispatcher.call(self._update_own)

    def register(self, addresses: Iterable[str]) -> None:
        """Addresses of agents that are supervised here, ahead of placement."""
        self._registered = self._registered.union(addresses)
        self._registered_on = {**self._registered_on, **dict.fromkeys(self._registered, self._node.name)}
        self._forget_located()
        self._node.dispatcher.call(self._update_own)

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
        self._beat()

    def leave(self) -> None:
        """Say goodbye and stop the beacons."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._joined.is_set():
            self._say(leaving=True)
        self._joined.clear()

    def heard(self, hello: Hello) -> None:
        """A beacon came in; this node's own come back too."""
        if not hello.node or not hello.incarnation:
            return  # of no node that could be told apart
        if hello.node == self._node.name:
            self._heard_own_name(hello)
            return
        if hello.leaving:
            self._apply(self._members.goodbye(hello.node, hello.incarnation))
            return
        peer = NodeInfo(
            hello.node,
            hello.incarnation,
            frozenset(hello.hosts),
            hello.weight,
            hello.pid,
            hello.agents,
            frozenset(hello.registered),
        )
        known = self._members.get(hello.node)
        if hello.joining:
            self._say()
            if known is None or known.incarnation != hello.incarnation:
                # Not in yet: it may be refused, and must not be taken for a live node that restarted.
                return
        self._apply(self._members.heard(peer, monotonic()))

    def _heard_own_name(self, hello: Hello) -> None:
        if hello.incarnation == self._incarnation or hello.leaving:
            return
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
        if up:
            self._members.forgive(monotonic())
            if self._joined.is_set():
                self._say(joining=True)

    def _beat(self) -> None:
        self._timer = self._node.dispatcher.loop.call_later(BEACON_S, self._beat)
        now = monotonic()
        if now - self._last_beat > 4 * BEACON_S:
            self._members.forgive(now)  # our own loop was held up: the beacons wait in the socket
        self._last_beat = now
        self._members.update_own(self._own())
        self._say()
        if not self._deaf:  # without a link nobody can be heard: nobody is gone for that
            self._apply(self._members.expire(now))
        self._node.probe_peers()

    def _update_own(self) -> None:
        self._apply(self._members.update_own(self._own()))
        if self._joined.is_set():
            self._say()

    def _forget_located(self) -> None:
        self._located = {}
        self._node.outbound.placement_changed()

    def _say(self, *, joining: bool = False, leaving: bool = False, refused_incarnation: int = 0) -> None:
        own = self._own()
        hello = Hello(
            node=own.name,
            incarnation=own.incarnation,
            hosts=sorted(own.hosts),
            weight=own.weight,
            wire_version=WIRE_VERSION,
            joining=joining,
            leaving=leaving,
            agents=own.agents,
            pid=own.pid,
            registered=sorted(own.registered),
            refused_incarnation=refused_incarnation,
        )
        self._node.broadcast(Beacon(hello=hello))

    def _apply(self, change: Change) -> None:
        if not change:
            return
        self.placement = self._members.placement()
        self._registered_on = self._members.registered()
        self._forget_located()
        for name, why in change.left:
            logger.warning("node %s left: %s", name, why)
            self._node.node_left(name, why)
            self._node.emit(NodeLeft(name, why))
        for name in change.joined:
            logger.info("node %s joined", name)
            self._node.emit(NodeJoined(name))
        if change.altered:
            self._node.placement_changed()
