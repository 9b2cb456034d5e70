"""Pykka's registry of running actors, with a removal whose cost does not grow with their number."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pykka

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["RunningRefs", "leave", "register", "speed_up_registry", "wait_until_left"]

logger = logging.getLogger("pykka")


class RunningRefs:
    """Stands for the list in Pykka's registry: the same order and use, removal in constant time.

    Pykka calls it under the registry's lock. A ref that is registered twice is there twice, side by side.
    """

    __slots__ = ("_counts",)

    def __init__(self, refs: Iterable[pykka.ActorRef[Any]] = ()) -> None:
        self._counts: dict[pykka.ActorRef[Any], int] = {}
        for ref in refs:
            self.append(ref)

    def append(self, ref: pykka.ActorRef[Any]) -> None:
        """Add a ref at the end."""
        self._counts[ref] = self._counts.get(ref, 0) + 1

    def remove(self, ref: pykka.ActorRef[Any]) -> None:
        """Take a ref out, once; `ValueError` if it is not there."""
        count = self._counts.get(ref, 0)
        if count == 0:
            raise ValueError(f"{ref} is not registered")
        if count == 1:
            del self._counts[ref]
        else:
            self._counts[ref] = count - 1

    def __contains__(self, ref: object) -> bool:
        return ref in self._counts

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __iter__(self) -> Iterator[pykka.ActorRef[Any]]:
        for ref, count in self._counts.items():
            for _ in range(count):
                yield ref

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


def speed_up_registry() -> None:
    """Put `RunningRefs` into Pykka's registry, unless it is there.

    `unregister` scans the registry's list twice, so that stopping n actors costs O(n * n) comparisons. The
    registry itself stays Pykka's: only what it keeps its refs in changes.
    """
    registry: Any = pykka.ActorRegistry
    if type(registry._actor_refs) is not list:
        return
    with registry._actor_refs_lock:
        if type(registry._actor_refs) is list:
            registry._actor_refs = RunningRefs(registry._actor_refs)


def register(cell: Cell) -> None:
    """Make an agent known to Pykka's registry, until it stops."""
    assert cell.actor is not None
    ref = cell.actor.actor_ref
    pykka.ActorRegistry.register(ref)
    cell.registered = True
    logger.debug("Starting %s", ref)


_lock = threading.RLock()
_waiting: dict[Cell, list[threading.Lock]] = {}
"""Locks that threads wait for, by the agent whose end releases them: a slot per agent would cost all."""


def leave(cell: Cell) -> None:
    """The agent handles no further message: forget it, and let those go on who wait for that. Idempotent."""
    cell.left = True
    ref = cell.actor_ref
    if ref is not None and ref in pykka.ActorRegistry._actor_refs:
        pykka.ActorRegistry.unregister(ref)
        logger.debug("Stopped %s", ref)
    if _waiting:
        with _lock:
            gates = _waiting.pop(cell, ())
        for gate in gates:
            gate.release()


def wait_until_left(cell: Cell, flag: threading.Event, timeout_s: float | None) -> bool:
    """Block until `leave`, at most `timeout_s` seconds; returns the flag, which is set before `leave`."""
    gate = threading.Lock()
    gate.acquire()
    with _lock:
        _waiting.setdefault(cell, []).append(gate)
    if not flag.is_set():  # else it may have left before it could see the gate
        gate.acquire(timeout=-1 if timeout_s is None else min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
    with _lock:
        gates = _waiting.get(cell, [])
        if gate in gates:
            gates.remove(gate)
            if not gates:
                del _waiting[cell]
    return flag.is_set()
