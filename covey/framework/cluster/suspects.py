"""Nodes for which nobody listens, says the server: gone, or only reconnecting? On the loop thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["SILENT_S", "Suspects"]

SILENT_S = 0.15
"""For so long nobody listens for a node that is gone: one that reconnects takes less."""
LOOK_AGAIN_S = 0.05


class Suspect:
    """A node for which nobody listens."""

    __slots__ = ("has_returned", "lease_revision", "pinged", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.has_returned = True
        """Whether the last ping to it came back."""
        self.pinged = 0
        """The number of that ping."""
        self.lease_revision = 0
        """Where the node's lease stood when that ping was sent."""


class Suspects:
    """Pings nodes from which frames came back, until they are heard of or gone.

    Where the node holds a lease, a ping that came back is a hint about it; else it is gone once pings have
    come back for `SILENT_S`.
    """

    def __init__(self, node: Node, gone: Callable[[str], None]) -> None:
        self._node = node
        self._gone = gone
        self._suspects: dict[str, Suspect] = {}
        self._linked_at = float("-inf")
        self._is_deaf = False

    def link(self, up: bool) -> None:
        """The own link was lost, or is back: nobody is silent who could not be heard."""
        self._is_deaf = not up
        if up:
            self._linked_at = self._node.now()

    def forget(self, name: str) -> None:
        """The node is heard of, or known to be gone."""
        self._suspects.pop(name, None)

    def look_at(self, name: str) -> None:
        """Ping a node that may be gone."""
        if not self._is_deaf and name not in self._suspects:
            self._node.ping(self._node.outbound.peer(name))

    def came_back(self, name: str, number: int) -> None:
        """A frame to a node came back."""
        suspect = self._suspects.get(name)
        if suspect is None:
            if not self._is_deaf:
                suspect = self._suspects[name] = Suspect(self._node.now())
                self._ping(name, suspect)
        elif number >= suspect.pinged:
            suspect.has_returned = True
            # It was sent while the lease stood there, so the connection over which that was renewed is gone:
            # an older word, that came late, would not fall on a node that is back.
            self._node.tenancy.hint(name, suspect.lease_revision)

    def _ping(self, name: str, suspect: Suspect) -> None:
        suspect.has_returned = False
        suspect.lease_revision = self._node.tenancy.revision_of(name)
        suspect.pinged = self._node.ping(self._node.outbound.peer(name))
        self._node.dispatcher.loop.call_later(LOOK_AGAIN_S, self._look_again, name, suspect)

    def _look_again(self, name: str, suspect: Suspect) -> None:
        if self._suspects.get(name) is not suspect:
            return  # it was heard of, or is gone
        if self._is_deaf:
            del self._suspects[name]  # we are the one that nobody hears
        elif not suspect.has_returned:
            self._node.presence.reached(name)  # somebody has listened to the ping, and is only slow to answer
        elif self._node.tenancy.judges(name):
            self._ping(name, suspect)  # until its lease is over, or it is back
        elif self._node.now() - max(suspect.since, self._linked_at) < SILENT_S:
            self._ping(name, suspect)
        else:
            del self._suspects[name]
            self._gone(name)
