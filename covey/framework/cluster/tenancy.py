"""This node's lease as the node feels it: when it may serve, when it has to let go, and who is gone.

Where the transport brings no store of records (the memory transport, a server without JetStream) beacons
alone say who is there, and nothing is fenced: see `Membership`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from covey.framework.cluster.lease_keeper import LeaseKeeper
from covey.framework.cluster.store import Absent
from covey.framework.errors import SwarmFailedError, TransportError

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Tenancy"]

logger = logging.getLogger("covey.node")

JOINED_WITHIN_S = 20.0
ENDED_WITHIN_S = 2.5


class Tenancy:
    """The `LeaseHolder` of one node. What others ask of it may be asked from any thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._keeper: LeaseKeeper | None = None
        self._leaving: asyncio.Task[None] | None = None

    # -- on the loop thread ------------------------------------------------------------------------

    async def join(self, incarnation: int) -> None:
        """Take the lease of this node's name; returns at once where there are no leases.

        Raises:
            AddressInUseError: a live node holds it.
            StoreError: the store does not decide.
            PermissionDeniedError: the server refuses what a lease needs.
        """
        node = self._node
        store = None if node.alone or node.transport is None else node.transport.cluster_store()
        if store is None:
            return
        node.serving.pause()  # until it holds a lease
        self._keeper = LeaseKeeper(node.swarm, node.name, incarnation, store, self)
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._keeper.start()), JOINED_WITHIN_S)
        except TimeoutError as error:
            raise TransportError(
                f"node {node.name} got no lease within {JOINED_WITHIN_S:g} s: has JetStream a leader?"
            ) from error
        except Absent as error:
            self._keeper = None
            node.serving.trust(float("inf"))
            logger.warning("node %s holds no lease, beacons tell who is there: %s", node.name, error)

    async def leave(self) -> None:
        """End the lease, so that nobody has to wait for it."""
        keeper = self._keeper
        if keeper is not None:
            keeper.close()
            ended = asyncio.wrap_future(keeper.done)
            if not (await asyncio.wait([ended], timeout=ENDED_WITHIN_S))[0]:
                logger.warning("the lease of node %s could not be ended in time", self._node.name)

    def link(self, up: bool) -> None:
        """The connection to the server was lost, or is back: without it this node serves no placed agent."""
        if self._keeper is not None:
            self._keeper.connected(up)
            if not up:
                self._node.serving.pause()

    def revision_of(self, name: str) -> int:
        """Where a node's lease stood when it was seen last; for `hint`."""
        return 0 if self._keeper is None else self._keeper.revision_of(name)

    def hint(self, name: str, revision: int) -> None:
        """The server says that the connection by which a node renewed its lease to this revision is gone."""
        if self._keeper is not None:
            self._keeper.hint(name, revision)

    @property
    def has_leases(self) -> bool:
        """Whether this swarm's nodes hold leases."""
        return self._keeper is not None

    def judges(self, name: str) -> bool:
        """Whether a node's lease says if it is there, and not its beacons."""
        return self._keeper is not None and self._keeper.knows(name)

    def is_over(self, name: str) -> bool:
        """Whether a node has lost its lease: what it says of itself is not believed until it has another."""
        return self._keeper is not None and self._keeper.is_over(name)

    def _let_go(self, why: str) -> None:
        node = self._node
        logger.error("node %s has lost its lease: %s; its placed agents live elsewhere now", node.name, why)
        for cell in node.directory.cells:
            if cell.placed:
                node.life.request_kill(cell, f"its node lost its lease: {why}")
        if self._keeper is not None and not node.stopping:
            self._keeper.rejoin()

    def _leave_swarm(self) -> None:
        """Another process may have the name: say nothing under it any more."""
        self._node.presence.leave()
        self._leaving = self._node.dispatcher.loop.create_task(self._node.close_transport())

    # -- what the keeper tells, on its thread ------------------------------------------------------

    def lease_trusted(self, until: float) -> None:
        """See `LeaseHolder`."""
        serving = self._node.serving
        if self._node.is_linked:
            serving.trust(until)
            if not self._node.is_linked:  # it broke just now
                serving.pause()

    def lease_lost(self, why: str) -> None:
        """See `LeaseHolder`."""
        self._node.serving.pause()
        self._node.dispatcher.call(self._let_go, why)

    def lease_regained(self) -> None:
        """See `LeaseHolder`."""
        self._node.dispatcher.call(self._node.presence.say_hello)

    def lease_refused(self, error: BaseException) -> None:
        """See `LeaseHolder`."""
        self._node.serving.pause()
        self._node.dispatcher.call(self._leave_swarm)
        self._node.give_up(SwarmFailedError(f"node {self._node.name} cannot hold a lease any more: {error}"))

    def lease_ended(self, node: str, why: str) -> None:
        """See `LeaseHolder`."""
        self._node.dispatcher.call(self._node.presence.lease_ended, node, why)

    def lease_late(self, node: str) -> None:
        """See `LeaseHolder`."""
        self._node.dispatcher.call(self._node.presence.look_at, node)

    def take_pulse(self, beat: Callable[[], None]) -> None:
        """See `LeaseHolder`."""
        self._node.dispatcher.call(beat)
