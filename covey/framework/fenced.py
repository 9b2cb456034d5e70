"""The check of what changes the world: a handler that was given up may do nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.current import is_fenced

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["check_acting"]


def check_acting(node: Node, what: str) -> None:
    """Raise `AgentDeadError`, with a dead letter, where the caller is a handler that was given up."""
    if is_fenced():
        raise node.fencing.refusal(what)
