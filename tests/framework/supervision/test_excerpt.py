"""What is kept of a tree that is too large, and of which children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from covey import TreeLine
from covey.framework.messages import codec
from covey.framework.supervision.excerpt import (
    MOST_DEPTH,
    STRUCTURE,
    TROUBLED,
    WELL,
    Bounds,
    Excerpt,
    excerpt,
)
from covey.framework.supervision.tree import size_of

ROOMY = Bounds(most_children=1_000, most_bytes=1_000_000)


@dataclass
class Item:
    """One of a made-up tree."""

    name: str
    rank: int = WELL
    below: list[Item] = field(default_factory=list)


class Given:
    """A made-up tree."""

    def below(self, item: Item) -> Sequence[Item]:
        return item.below

    def rank(self, item: Item) -> int:
        return item.rank

    def line(self, item: Item) -> TreeLine:
        return TreeLine(label=item.name)


def kept(roots: list[Item], bounds: Bounds = ROOMY) -> Excerpt:
    return excerpt(roots, Given(), bounds)


def names(found: Excerpt) -> list[str]:
    return [line.label for line in found.lines]


def items(text: str, ranks: dict[str, int]) -> list[Item]:
    return [Item(name, ranks.get(name, WELL)) for name in text]


def test_a_tree_that_fits_is_kept_whole_each_line_followed_by_those_below_it() -> None:
    tree = [Item("a", below=[Item("b", below=[Item("c")]), Item("d")]), Item("e")]
    found = kept(tree)
    assert [(line.label, line.depth) for line in found.lines] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
        ("d", 1),
        ("e", 0),
    ]
    assert found.left_out == found.left_out_troubled == 0


def test_who_is_in_trouble_is_kept_first_then_who_has_others_below_and_all_stay_in_order() -> None:
    tree = items("abcdefgh", {"e": TROUBLED, "h": TROUBLED, "f": STRUCTURE})
    found = kept(tree, Bounds(4, 10_000))
    assert names(found) == ["a", "e", "f", "h"]
    assert (found.left_out, found.left_out_troubled) == (4, 0)


def test_it_says_how_many_were_left_out_below_each_parent_and_how_many_of_them_are_in_trouble() -> None:
    parent = Item("p", below=items("abcde", {"b": TROUBLED, "c": TROUBLED, "d": TROUBLED}))
    found = kept([parent], Bounds(2, 10_000))
    assert names(found) == ["p", "b", "c"]
    assert (found.lines[0].left_out, found.lines[0].left_out_troubled) == (3, 1)


def test_where_no_child_may_be_kept_all_are_counted() -> None:
    found = kept(items("abc", {"a": TROUBLED}), Bounds(0, 10_000))
    assert found == Excerpt([], 3, 1)


def test_what_fits_into_the_bytes_is_the_upper_part_of_the_tree() -> None:
    tree = [Item(name, below=[Item(name * 2), Item(name * 3)]) for name in "abc"]
    size = size_of(TreeLine(label="a"))
    found = kept(tree, Bounds(1_000, 3 * size + size + 5))
    assert names(found) == ["a", "aa", "b", "c"]
    assert [line.left_out for line in found.lines] == [1, 0, 2, 2]


def test_a_chain_of_100_000_ends_at_the_deepest_line_that_anybody_would_read() -> None:
    chain = Item("end")
    for number in range(100_000):
        chain = Item(str(number), below=[chain])
    found = kept([chain])
    assert len(found.lines) == MOST_DEPTH
    assert found.lines[-1].left_out == 1
    while chain.below:  # taken apart by hand: its destruction would be recursion
        chain = chain.below.pop()


trees = st.recursive(
    st.builds(Item, st.text(max_size=5), st.integers(TROUBLED, WELL)),
    lambda below: st.builds(
        Item, st.text(max_size=5), st.integers(TROUBLED, WELL), st.lists(below, max_size=6)
    ),
    max_leaves=30,
)


@given(st.lists(trees, max_size=6), st.integers(0, 4), st.integers(0, 2_000))
def test_bounds_hold_and_nobody_is_forgotten(roots: list[Item], most: int, most_bytes: int) -> None:
    found = kept(roots, Bounds(most, most_bytes))
    assert sum(map(size_of, found.lines)) <= most_bytes
    parents: list[TreeLine] = []
    children: dict[int, int] = {}
    for line in found.lines:
        assert line.depth <= len(parents)  # its parent stands above it
        del parents[line.depth :]
        above = id(parents[-1]) if parents else 0
        children[above] = children.get(above, 0) + 1
        parents.append(line)
    assert all(count <= most for count in children.values())
    assert children.get(0, 0) + found.left_out == len(roots)


@given(st.builds(TreeLine, label=st.text(), last_error=st.text(), restarts=st.integers(0, 1 << 40)))
def test_no_line_takes_more_bytes_on_the_wire_than_it_is_counted_for(line: TreeLine) -> None:
    line.strategy, line.state, line.what, line.restart = (
        "rest_for_one",
        "restarting",
        "supervisor",
        "permanent",
    )
    line.waiting = line.capacity = line.handled = line.left_out = line.left_out_troubled = 1 << 40
    line.depth, line.intensity, line.period_s = MOST_DEPTH, 1 << 40, 1e300
    assert len(codec.encode(line)[1]) + 4 <= size_of(line)
