"""The trees of a swarm's nodes as rich draws them: names, states and figures in columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from covey.cli.console import printable
from covey.framework.supervision.tree import NodeTree, TreeLine

__all__ = ["draw"]

INDENT = 4
MOST_NAME = 48
"""Columns for names and indentation; a longer one pushes its own line aside."""
NEARLY_FULL = 0.8
GUIDE = "bright_black"

STATE_STYLES = {
    "running": "green",
    "passive": "dim",
    "ended": "dim",
    "stopped": "red",
    "halted": "bold yellow",
    "backoff": "bold yellow",
    "restarting": "bold yellow",
}
"""All others are on their way from one to another: yellow."""


class Cells(NamedTuple):
    """One line in columns."""

    name: Text
    state: Text = Text()
    restarts: Text = Text()
    mailbox: Text = Text()
    notes: Text = Text()
    has_figures: bool = True
    """Whether it has restarts and a mailbox; else the notes stand in their place."""


class Widths(NamedTuple):
    """Of the columns, in terminal cells; of `name` with its indentation."""

    name: int
    state: int
    restarts: int
    mailbox: int


def draw(title: str, trees: Sequence[NodeTree], encoding: str = "utf-8") -> RenderableType:
    """The title and one tree per node; nothing but ASCII where the encoding is no UTF."""
    view = _View(encoding)
    rows = [[(line.depth, view.cells(line)) for line in tree.lines] for tree in trees]
    widths = _widths(row for node in rows for row in node)
    parts: list[RenderableType] = [view.title(title, trees)]
    for tree, node_rows in zip(trees, rows, strict=True):
        parts += [Text(""), view.node(tree, node_rows, widths)]
    return Group(*parts)


def _widths(rows: Iterable[tuple[int, Cells]]) -> Widths:
    name = state = restarts = mailbox = 0
    for depth, cells in rows:
        at = INDENT * (depth + 1) + cells.name.cell_len
        is_heading = not cells.state
        name = max(name, 0 if is_heading or at > MOST_NAME else at)
        state = max(state, cells.state.cell_len)
        restarts = max(restarts, cells.restarts.cell_len)
        mailbox = max(mailbox, cells.mailbox.cell_len)
    return Widths(name, state, restarts, mailbox)


class _View:
    """What it looks like in one encoding."""

    def __init__(self, encoding: str) -> None:
        self._is_utf = encoding.lower().startswith("utf")
        self._encoding = encoding
        self._dots = " · " if self._is_utf else ", "
        self._ellipsis = "…" if self._is_utf else "..."

    def title(self, title: str, trees: Sequence[NodeTree]) -> Text:
        silent = sum(bool(tree.problem) for tree in trees)
        facts = [_count(len(trees), "node"), _count(sum(tree.agents for tree in trees), "agent")]
        text = self._line((title, "bold")).append("  " + self._dots.join(facts), "dim")
        if silent:
            text.append(f"{self._dots}{silent} silent", "bold red")
        return text

    def node(self, tree: NodeTree, rows: Sequence[tuple[int, Cells]], widths: Widths) -> Tree:
        root = Tree(self._header(tree), guide_style=GUIDE)
        open_branches: list[tuple[Tree, int, int]] = [(root, tree.left_out, tree.left_out_troubled)]

        def close_to(depth: int) -> None:
            while len(open_branches) > depth:
                branch, left_out, troubled = open_branches.pop()
                if left_out:
                    branch.add(self._more(left_out, troubled))

        for line, (depth, cells) in zip(tree.lines, rows, strict=True):
            close_to(depth + 1)
            branch = open_branches[-1][0].add(self._row(depth, cells, widths))
            open_branches.append((branch, line.left_out, line.left_out_troubled))
        close_to(0)
        return root

    def cells(self, line: TreeLine) -> Cells:
        """The columns of a line, not padded yet."""
        if line.what == "group":
            return Cells(self._text(line.label, "italic"))
        if line.what == "supervisor":
            return self._cells_of_supervisor(line)
        return Cells(
            self._text(line.label),
            self._state(line),
            Text(_count(line.restarts, "restart") if line.restarts else "", "yellow"),
            _mailbox(line),
            self._line(
                (_whereabouts(line), "cyan"),
                (_wanted(line), "yellow"),
                (line.last_error, "red"),
                ("" if line.restart == "permanent" else line.restart, "dim"),
            ),
        )

    def _cells_of_supervisor(self, line: TreeLine) -> Cells:
        is_running = line.state == "running"
        limit = f"{line.restarts} of {line.intensity} restarts in {line.period_s:g} s"
        notes = self._line(
            ("" if is_running else line.strategy, "dim"),
            (limit if line.restarts else "", "yellow"),
            (line.last_error, "red"),
        )
        state = self._text(line.strategy, "dim") if is_running else self._state(line)
        return Cells(self._text(line.label, "bold"), state, notes=notes, has_figures=False)

    def _state(self, line: TreeLine) -> Text:
        return self._text(line.state, STATE_STYLES.get(line.state, "yellow"))

    def _line(self, *parts: tuple[str, str]) -> Text:
        """Texts and their styles, two spaces apart, without those that are empty."""
        line = self._text("")
        for text, style in parts:
            if text:
                line.append("  " if line else "").append_text(self._text(text, style))
        return line

    def _row(self, depth: int, cells: Cells, widths: Widths) -> Text:
        padded = [(cells.name, widths.name - INDENT * (depth + 1)), (cells.state, widths.state)]
        if cells.has_figures:
            padded += [(cells.restarts, widths.restarts), (cells.mailbox, widths.mailbox)]
        row = self._text("")
        for text, width in padded:
            if width:
                row.append_text(text).append(" " * max(0, width - text.cell_len) + "  ")
        row.append_text(cells.notes)
        row.rstrip()
        return row

    def _header(self, tree: NodeTree) -> Text:
        if tree.problem:
            return self._line((tree.node, "bold cyan"), (tree.problem, "bold red"))
        header = self._line((tree.node, "bold cyan"))
        facts = [
            f"pid {tree.pid}",
            _count(tree.agents, "agent"),
            f"{_count(tree.handled, 'message')} handled",
        ]
        header.append("  " + self._dots.join(facts), "dim")
        if tree.dead_letters:
            header.append(f"{self._dots}{_count(tree.dead_letters, 'dead letter')}", "yellow")
        if tree.failure:
            header.append("  ").append_text(self._text(f"gave up: {tree.failure}", "bold red"))
        return header

    def _more(self, left_out: int, troubled: int) -> Text:
        how = f"{troubled:,} of them in trouble" if troubled else "all well"
        style = "yellow" if troubled else "dim"
        return self._text(f"{self._ellipsis} and {left_out:,} more, {how}", style)

    def _text(self, text: str, style: str = "") -> Text:
        """One line that any terminal can show: an error's text may hold anything."""
        line = printable(text, self._encoding)
        return Text(line, style, no_wrap=True, overflow="ellipsis" if self._is_utf else "crop")


def _mailbox(line: TreeLine) -> Text:
    if not line.waiting:
        return Text()
    is_nearly_full = bool(line.capacity) and line.waiting >= NEARLY_FULL * line.capacity
    of = f" of {line.capacity:,}" if line.capacity else ""
    return Text(f"{line.waiting:,}{of} waiting", "bold red" if is_nearly_full else "cyan")


def _whereabouts(line: TreeLine) -> str:
    if line.what == "hosted":
        return f"of {line.supervisor} on {line.node}"
    return f"on {line.node}" if line.node else ""


def _wanted(line: TreeLine) -> str:
    whom = "a node that hosts it" if line.waits_for == "*" else line.waits_for
    return f"waits for {whom}" if whom else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
