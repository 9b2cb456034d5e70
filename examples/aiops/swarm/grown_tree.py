"""The demo's supervision tree at work: grown once the nodes are there, ended branch by branch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import groupby

from covey import AskTimeoutError, Child, CoveyError, Supervisor, Swarm

__all__ = ["GrownTree"]

LOOK_S = 0.02


class GrownTree:
    """A supervisor in the demo's own process whose children live on all nodes."""

    def __init__(self, swarm: Swarm, root: Supervisor) -> None:
        self._swarm = swarm
        self._root = swarm.supervise(root)
        self._kept = {child.id for child in self._root.which_children()}

    def grow(self, branches: Iterable[Child | Supervisor], within_s: float) -> None:
        """Add the branches in order and wait until all run.

        Raises:
            CoveyError: that took longer, or the root has given up.
        """
        for branch in branches:
            self._root.start_child(branch)
        deadline = time.monotonic() + within_s
        while late := [c for c in self._root.which_children() if c.state not in ("running", "passive")]:
            if time.monotonic() > deadline:
                names = ", ".join(f"{child.id} ({child.last_error or child.state})" for child in late)
                raise CoveyError(f"not all agents started within {within_s:g} s: {names}")
            self._swarm.wait(LOOK_S)

    def cut(self, within_s: float) -> bool:
        """End the branches, the last first and supervisors side by side; the root's first children stay.

        False when that takes longer, and goes on by itself.
        """
        deadline = time.monotonic() + within_s
        grown = [child for child in reversed(self._root.which_children()) if child.id not in self._kept]
        for _, group in groupby(grown, key=lambda child: child.is_supervisor):
            ends = [self._root.terminate_child(child.id) for child in group]
            for end in ends:
                try:
                    end.get(timeout=max(0.0, deadline - time.monotonic()))
                except AskTimeoutError:
                    return False
        return True

    def fell(self) -> None:
        """End what is left, and restart and move nothing any more; returns at once."""
        self._root.stop()
