"""The seam between a swarm and whatever keeps its records: leases, ownership, configuration.

A store is a small set of records by key, each with the revision of its last write. Revisions grow over the
whole store and are never used again, so that the revision of an ownership record is its fencing token. All
that decides anything goes through `compare_and_set`: of several writers at one revision one wins. What a
`watch` or a `read` shows may be old.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from covey.framework.errors import CoveyError

__all__ = [
    "MISSING",
    "Absent",
    "ClusterStore",
    "Conflict",
    "Fenced",
    "Record",
    "StoreError",
    "Unavailable",
    "Watcher",
    "Write",
]

MISSING = 0
"""The revision of a key that was never written, or whose record was deleted for good."""


class StoreError(CoveyError):
    """A store could not do what it was asked for."""


class Conflict(StoreError):
    """Another write came first: final for this revision. Read, and decide anew."""

    def __init__(self, key: str, revision: int) -> None:
        super().__init__(f"{key} is not at revision {revision} any more: another write came first")
        self.key = key
        self.revision = revision


class Fenced(StoreError):
    """The token is not the newest one: somebody else owns what it stood for. Final; nothing was written."""

    def __init__(self, key: str, token: int) -> None:
        super().__init__(f"{key} has a newer owner than the one with token {token}: stop serving it")
        self.key = key
        self.token = token


class Unavailable(StoreError):
    """The store cannot decide now: no leader, a minority, or no connection.

    Whether a write was stored is NOT known then: read to find out, or write again at the same revision,
    which is refused as a `Conflict` if the first one was.
    """


class Absent(Unavailable):
    """There is no store here at all, and waiting does not help."""


class Record(NamedTuple):
    """One key as the store had it at some time."""

    key: str
    value: bytes
    revision: int
    """Grows with each write to any key; the fencing token of what this record gives away."""


class Write(NamedTuple):
    """One write of a `fenced_commit`: last one wins, without a condition of its own."""

    key: str
    value: bytes


class Watcher(Protocol):
    """What a store calls, on the loop that started it. Nothing of it raises."""

    def on_record(self, record: Record) -> None:
        """A record as it is now: first each that there is, then each change. An old one may come again."""
        ...

    def on_deleted(self, key: str, revision: int) -> None:
        """A record is gone."""
        ...

    def on_watching(self, watching: bool) -> None:
        """True: all records that there are have been told, and changes follow. False: the watch is blind.

        After a blind time every record is told again.
        """
        ...


class ClusterStore(Protocol):
    """The records of one swarm. All methods are called on one loop, which is not the dispatcher's."""

    async def start(self, swarm: str, node_id: str, watcher: Watcher) -> None:
        """Connect, make what is missing, and begin to watch.

        Raises:
            Absent: there is no store; says what to do.
            Unavailable: it cannot decide.
            PermissionDeniedError: the server refuses a subject that the node needs.
        """
        ...

    async def read(self, key: str) -> Record | None:
        """The record as one server of the store has it, which may be an old one. None: there is none.

        Raises:
            Unavailable: nobody answered within the time.
        """
        ...

    async def compare_and_set(self, key: str, value: bytes, revision: int) -> int:
        """Write if the key is still at that revision (`MISSING`: if there is none); returns the new revision.

        Raises:
            Conflict: it is not; nothing was written.
            Unavailable: unknown, see there.
        """
        ...

    async def delete(self, key: str, revision: int) -> None:
        """Delete the record if it is still at that revision.

        Raises:
            Conflict, Unavailable: as `compare_and_set`.
        """
        ...

    async def fenced_commit(self, writes: Sequence[Write], fence_key: str, token: int) -> int:
        """Write all of these or none, if the key of the fence is still at revision `token`.

        Returns the revision of the last one.

        Raises:
            Fenced: it is not; nothing was written.
            Unavailable: unknown, see there.
        """
        ...

    async def close(self, timeout_s: float = 2.0) -> None:
        """Stop watching and let go of everything. Idempotent; never raises."""
        ...
