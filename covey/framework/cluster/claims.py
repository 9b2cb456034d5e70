"""Who may claim what: pure rules over what records of leases and of ownership say.

A *life* is the time of one process as the holder of a node's lease. It is named by the revision of its
first write, so that the lives of a node are in order: one that is over stays over, whatever an old record
shows. That is why a claim may be decided on an old view: what was seen to be over is over, and the store
refuses the claim unless the ownership record is still the one that was seen.

- A name is taken only where there is no lease or an *ended* one, by the rules of `lease`: two processes of
  one name wait for each other as strangers do.
- The record of an ended life stays as long as an ownership record may name it: of a life that was never
  seen nobody can say that it is over.
- Who gives a partition up stops serving it first, and never serves it with that token again: its release
  may be stored long after it seemed to be lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Lease", "Life", "Owner", "end_of", "life_of", "may_claim"]


class Lease(NamedTuple):
    """What the record of a node's lease says."""

    process: str
    """A name that no other process has, by which one knows its own writes that were not acknowledged."""
    connection: str
    """The connection that it was sent over, which a hint names."""
    life: int = 0
    """Revision of the first write of this life; 0 in that write, which cannot know it."""
    is_ended: bool = False


class Life(NamedTuple):
    """How it stands with the newest life of a node that was seen."""

    born: int
    is_ended: bool


class Owner(NamedTuple):
    """What the record of a partition says; its revision is the token. None instead: it was given up."""

    node: str
    life: int


def life_of(lease: Lease, revision: int) -> Life:
    """The life that a lease at this revision speaks of."""
    return Life(lease.life or revision, lease.is_ended)


def end_of(lease: Lease, revision: int) -> Lease:
    """What to write at this revision, and only there, to end the life that the lease speaks of."""
    return lease._replace(life=lease.life or revision, is_ended=True)


def may_claim(owner: Owner | None, lives: Mapping[str, Life]) -> bool:
    """Whether a node with a valid lease may write itself into the record that names this owner.

    It does so at the revision at which it saw that record; one that does not exist names nobody.
    """
    if owner is None:
        return True
    life = lives.get(owner.node)
    if life is None or life.born < owner.life:
        return False  # what was seen of it is older than its claim
    return life.born > owner.life or life.is_ended
