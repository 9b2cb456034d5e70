"""`NodeTree`: what a node tells of its supervisors, their children, and its other agents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from covey.framework.messages.message import field, message

__all__ = ["NodeTree", "TreeLine", "fill_in", "size_of"]

LINE_BYTES = 128
"""What a line takes besides its texts, at most."""


@message
class TreeLine:
    """One line of a tree, at one moment; each figure was read for itself."""

    depth: int = 0
    """0 for the roots; the lines below one follow it."""
    what: str = ""
    """`supervisor`, `child` (of the supervisor above), `spawned` (without a supervisor, or by the agent
    above), `hosted` (for a supervisor of another node), `placed`, or `group`, a heading."""
    label: str = ""
    """An agent's address, a supervisor's name, or the heading."""
    state: str = ""
    """As in `ChildInfo`; of agents without a supervisor as in `AgentInfo`; empty for a heading."""
    restart: str = ""
    """A child's restart type."""
    restarts: int = 0
    """Of an agent, in its life; of a supervisor's children, those that count towards its intensity now."""
    last_error: str = ""
    waiting: int = 0
    """Messages in its mailbox."""
    capacity: int = 0
    """How many its mailbox takes; 0 where that is not known."""
    handled: int = 0
    """Messages handled so far."""
    node: str = ""
    """Where it lives, if that is another node."""
    waits_for: str = ""
    """The node that it waits for; `*` stands for any that hosts its kind."""
    supervisor: str = ""
    """Of a hosted one: path of its supervisor, and in `node` where that runs."""
    strategy: str = ""
    """Of a supervisor, like the next two."""
    intensity: int = 0
    period_s: float = 0.0
    left_out: int = 0
    """Those below it that are not in the tree."""
    left_out_troubled: int = 0
    """How many of these are in trouble: not running, restarted, or with an error."""


@message
class NodeTree:
    """One node, with its tree in lines, each followed by those below it."""

    node: str
    pid: int = 0
    agents: int = 0
    """Live agents, those that are left out included."""
    handled: int = 0
    """Messages that its agents have handled."""
    dead_letters: int = 0
    failure: str = ""
    """Why its root supervisor gave up."""
    problem: str = ""
    """Why there is nothing else about it: it did not answer, for instance."""
    peers: list[str] = field(default_factory=list)
    """The nodes that it sees, itself included."""
    lines: list[TreeLine] = field(default_factory=list)
    left_out: int = 0
    """Roots that are not in the tree."""
    left_out_troubled: int = 0


def size_of(line: TreeLine) -> int:
    """Bytes that a line takes on the wire, at most."""
    texts = (line.label, line.last_error, line.node, line.waits_for, line.supervisor)
    return LINE_BYTES + sum(len(text.encode()) for text in texts)


def fill_in(trees: Iterable[NodeTree]) -> tuple[NodeTree, ...]:
    """The trees by name, where children on other nodes have the figures that those nodes told of them."""
    known = tuple(sorted(trees, key=lambda tree: tree.node))
    hosted = {(tree.node, line.label): line for tree in known for line in tree.lines if line.what == "hosted"}
    return tuple(replace(tree, lines=[_filled(line, hosted) for line in tree.lines]) for tree in known)


def _filled(line: TreeLine, hosted: dict[tuple[str, str], TreeLine]) -> TreeLine:
    there = hosted.get((line.node, line.label)) if line.what == "child" and line.node else None
    if there is None:
        return line
    is_passive = line.state == "running" and there.state == "passive"
    return replace(
        line,
        state=there.state if is_passive else line.state,
        restarts=max(line.restarts, there.restarts),
        last_error=line.last_error or there.last_error,
        waiting=there.waiting,
        capacity=there.capacity,
        handled=there.handled,
    )
