"""What is left of a node in the child of a fork: threads do not survive it, so the node is the parent's."""

from __future__ import annotations

from typing import Any, NoReturn

from covey.framework.errors import ConfigurationError

__all__ = ["Forked", "as_forked"]


class Forked:
    """Stands for a part of the node that runs in the parent only: any use of it raises."""

    __slots__ = ("_node",)

    def __init__(self, node: str) -> None:
        self._node = node

    def __getattr__(self, name: str) -> NoReturn:
        raise ConfigurationError(
            f"node {self._node} was started before this process was forked, and runs in the parent only: "
            "start a swarm after the fork, or start processes with multiprocessing's 'spawn' method"
        )


def as_forked(node: str) -> Any:
    """A `Forked` in the place of any part of a node."""
    return Forked(node)
