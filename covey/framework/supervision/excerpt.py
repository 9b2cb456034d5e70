"""What is kept of a tree that may be too large to send: a pure rule."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from covey.framework.supervision.tree import TreeLine, size_of

__all__ = ["MOST_DEPTH", "STRUCTURE", "TROUBLED", "WELL", "Bounds", "Excerpt", "Source", "excerpt"]

TROUBLED, STRUCTURE, WELL = range(3)
"""What is kept first: who is in trouble, then who has others below, then the rest."""

MOST_DEPTH = 30
"""Nobody reads what is nested deeper; nothing below is kept."""

T = TypeVar("T")


class Source(Protocol[T]):
    """The whole tree."""

    def below(self, item: T) -> Sequence[T]:
        """Those below an item, in order."""
        ...

    def rank(self, item: T) -> int:
        """`TROUBLED`, `STRUCTURE` or `WELL`."""
        ...

    def line(self, item: T) -> TreeLine:
        """The item's line; its depth and what is left out are filled in here."""
        ...


class Bounds(NamedTuple):
    """How much is kept."""

    most_children: int
    """Of the children of one parent."""
    most_bytes: int
    """In all."""


class Excerpt(NamedTuple):
    """What was kept: each line is followed by those below it."""

    lines: list[TreeLine]
    left_out: int
    """Roots that are not among the lines."""
    left_out_troubled: int


class _Kept(Generic[T]):
    """A line with its place in the tree."""

    __slots__ = ("below", "item", "line")

    def __init__(self, item: T | None, line: TreeLine) -> None:
        self.item = item
        self.line = line
        self.below: list[_Kept[T]] = []


def excerpt(roots: Sequence[T], source: Source[T], bounds: Bounds) -> Excerpt:
    """The upper part of a tree, level by level, within the bounds.

    Where not all children of a parent are kept, those in trouble come first, then those that have others
    below, then the rest, each in their order; all that are kept stand in the order of the whole. Time is in
    proportion to the number of all children of those that are kept.
    """
    top: _Kept[T] = _Kept(None, TreeLine(depth=-1))
    left_bytes = bounds.most_bytes
    queue = deque([top])
    while queue:
        parent = queue.popleft()
        items = roots if parent.item is None else source.below(parent.item)
        if not items:
            continue
        left_bytes = _keep(parent, items, source, bounds.most_children, left_bytes)
        queue.extend(parent.below)
    return Excerpt(_in_order(top), top.line.left_out, top.line.left_out_troubled)


def first_of(ranks: Sequence[int], most: int) -> list[int]:
    """Positions of the `most` lowest ranks, the lowest first, among equals in their order."""
    return heapq.nsmallest(most, range(len(ranks)), key=ranks.__getitem__)


def _keep(parent: _Kept[T], items: Sequence[T], source: Source[T], most: int, left_bytes: int) -> int:
    """Put as many items as may be below their parent; returns the bytes that are left then."""
    ranks = [source.rank(item) for item in items]
    depth, kept = parent.line.depth + 1, []
    for at in first_of(ranks, most if depth < MOST_DEPTH else 0):
        line = source.line(items[at])
        line.depth = depth
        size = size_of(line)
        if size > left_bytes:
            left_bytes = 0  # what would still fit is smaller, not more important
            break
        left_bytes -= size
        kept.append((at, _Kept(items[at], line)))
    kept.sort(key=lambda pair: pair[0])
    parent.below = [child for _, child in kept]
    parent.line.left_out = len(items) - len(kept)
    parent.line.left_out_troubled = ranks.count(TROUBLED) - sum(ranks[at] == TROUBLED for at, _ in kept)
    return left_bytes


def _in_order(top: _Kept[T]) -> list[TreeLine]:
    lines, pending = [], [*reversed(top.below)]
    while pending:
        kept = pending.pop()
        lines.append(kept.line)
        pending.extend(reversed(kept.below))
    return lines
