"""Leases: who may serve, by its own clock, and who may be taken for dead, by an observer's. Pure rules.

Each node has one lease: a record that it writes anew every `RENEW_S`, each time at the revision of its last
write. Ending a lease is the same kind of write, so the store decides between the two: only one succeeds.

- The holder trusts a renewal from the moment at which it was *sent*, for `LEASE_S` less `MARGIN_S`.
- An observer waits for `LEASE_S` from the moment at which it *saw* the last renewal, and then ends the lease
  at the revision that it saw. A renewal that came in between makes that write fail.

Sent before stored before seen: the holder has stopped serving before anybody may end its lease. Neither side
compares clocks; the margin is for clocks that run at different speeds (at 100 ppm, 2 s differ by 0.2 ms) and
for the work between the look at the clock and what it allowed.

A *hint* (the server said that a connection of the node is gone) shortens the wait: a node stops serving the
moment that it is disconnected, and serves again only by a renewal that it sent over its next connection. A
hint counts only against a renewal that was sent over the connection that it is about: it may be old, and must
not fall on a node that is back. (`LeaseJudge` knows it by the revision that the lease had when the frame was
sent that came back.) An observer that the store does not answer ends nothing, and waits anew for
everybody once it does.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HINTED_S", "LEASE_S", "MARGIN_S", "RENEW_S", "Expired", "Leases", "OwnLease"]

RENEW_S = 0.1
LEASE_S = 2.0
MARGIN_S = 0.2
HINTED_S = 0.15
"""For so long a lease has stood still before a hint is believed: one that is connected renews it."""
DECIDES_S = 0.5
"""Who has not had an answer of the store for so long does not know whether it decides."""


class OwnLease:
    """The lease of this node, as it may trust it.

    `connected` and `is_valid` may be called from any thread, the others from one: what a renewal allows is
    kept with the connection that it came over, so that a break at that very moment is not overlooked.
    """

    def __init__(self) -> None:
        self.revision = 0
        """Where to write it next."""
        self.is_lost = False
        """Another node ended it, or took the name: final, this life of the node is over."""
        self._connected_since = float("inf")
        self._trust = (float("inf"), float("-inf"))
        """Since when there was the connection over which it was renewed, and until when that is trusted."""

    @property
    def trusted_until(self) -> float:
        """Until when this node may serve if nothing happens; in the past if it may not."""
        since, until = self._trust
        return until if since == self._connected_since else float("-inf")

    def taken_anew(self) -> None:
        """A new life begins: its first write was stored. Its acknowledgement follows, by `renewed`."""
        self._trust = (float("inf"), float("-inf"))
        self.revision, self.is_lost = 0, False

    def renewed(self, revision: int, sent_at: float) -> None:
        """A write of it was acknowledged that was sent at that time."""
        self.revision = max(self.revision, revision)
        # What was sent before the connection broke says nothing: observers may have been told since. A coarse
        # clock shows one time for both, hence not "at or after".
        since, (trusted_since, until) = self._connected_since, self._trust
        if sent_at > since:
            trusted = sent_at + LEASE_S - MARGIN_S
            self._trust = since, max(trusted, until) if trusted_since == since else trusted

    def adopt(self, revision: int) -> None:
        """A read shows that this life wrote it there: an earlier write was stored, whenever it was sent."""
        self.revision = revision

    def lost(self) -> None:
        """Somebody else wrote it."""
        self.is_lost = True

    def connected(self, is_connected: bool, now: float) -> None:
        """The connection broke, or there is another one: only a renewal sent from now on makes it valid."""
        self._connected_since = now if is_connected else float("inf")

    def is_valid(self, now: float) -> bool:
        """Whether this node may serve."""
        return not self.is_lost and now < self.trusted_until


class Expired(NamedTuple):
    """A lease that may be ended, at this revision only."""

    node: str
    revision: int
    why: str


class _Seen:
    __slots__ = ("connection", "hinted", "is_current", "is_retold", "revision", "since")

    def __init__(self, revision: int, since: float, connection: str) -> None:
        self.revision = revision
        self.since = since
        self.connection = connection
        self.hinted = False
        self.is_current = True
        """Whether it was renewed since the last time that this observer was blind, or without an answer."""
        self.is_retold = False
        """Whether the watch broke: what it tells next is what there is, whatever its revision."""

    def due_at(self) -> float:
        return self.since + (HINTED_S if self.hinted else LEASE_S)


class Leases:
    """The leases of the other nodes, as one observer sees them.

    It ends nothing while the store does not decide: `answered` is called for each answer of the store, and
    `watching` when the watch begins and breaks.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._answered_at = float("-inf")
        self._is_watching = False

    def saw(self, node: str, revision: int, now: float, connection: str = "") -> bool:
        """The node's lease is at this revision, sent over this connection; False if that is no news."""
        known = self._seen.get(node)
        if known is not None and revision <= known.revision and not known.is_retold:
            return False
        self._seen[node] = seen = _Seen(revision, now, connection)
        seen.is_current = known is None or revision > known.revision
        return True

    def revision_of(self, node: str) -> int:
        """Where the node's lease stood when it was seen last; 0 if it was not."""
        known = self._seen.get(node)
        return 0 if known is None else known.revision

    def standing(self, now: float, for_s: float) -> list[str]:
        """Whose lease has stood still for longer than that."""
        return [node for node, seen in self._seen.items() if now - seen.since > for_s]

    def forget(self, node: str) -> None:
        """The node has left, or its lease was ended."""
        self._seen.pop(node, None)

    def hint(self, node: str, connection: str = "") -> None:
        """The server says that this connection of the node is gone; a renewal disproves it.

        No news if the last renewal that was seen came over another one.
        """
        known = self._seen.get(node)
        # After a restart of the server the one who is back first must not judge those who are not yet.
        if known is not None and known.connection == connection and known.is_current:
            known.hinted = True

    def answered(self, now: float) -> None:
        """The store answered this observer: it decides. After a time without answers all waits begin anew."""
        if now - self._answered_at > DECIDES_S:
            self._restart(now)
        self._answered_at = now

    def watching(self, is_watching: bool, now: float) -> None:
        """The watch shows all changes from now on, or none."""
        self._is_watching = is_watching
        if is_watching:
            self._restart(now)
        for seen in self._seen.values():
            seen.is_retold = not is_watching

    def _restart(self, now: float) -> None:
        for seen in self._seen.values():
            seen.since = now
            seen.hinted = seen.is_current = False

    def is_frozen(self, now: float) -> bool:
        """Whether this observer must not judge anybody."""
        return not self._is_watching or now - self._answered_at > DECIDES_S

    def expired(self, now: float) -> list[Expired]:
        """The leases that may be ended now."""
        if self.is_frozen(now):
            return []
        return [
            Expired(node, seen.revision, why)
            for node, seen in self._seen.items()
            if (why := _why(seen, now)) is not None
        ]

    def due_at(self) -> float:
        """When to look again, if nothing is seen until then; in the past while frozen, or not yet ended."""
        return min((seen.due_at() for seen in self._seen.values()), default=float("inf"))

    def __contains__(self, node: str) -> bool:
        return node in self._seen


def _why(seen: _Seen, now: float) -> str | None:
    if now < seen.due_at():  # the same sum as there: a look at that very time must find it
        return None
    stood_s = now - seen.since
    if seen.hinted:
        return f"its connection is gone, and its lease was not renewed for {stood_s:.2f} s"
    return f"its lease was not renewed for {stood_s:.1f} s"
