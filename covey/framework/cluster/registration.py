"""This node's registry and its copies of the others': told when they change, when somebody joins or asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from covey.framework.cluster.registry import Registries, check_size, parts_of
from covey.framework.proto.envelope_pb2 import Beacon, Hello, Registry, RegistryRequest

if TYPE_CHECKING:
    from covey.framework.node import Node

__all__ = ["Registration"]

TELL_AFTER_S = 0.01
"""Many ask at once, and children often end together: one broadcast serves all."""


class Registration:
    """What reads or changes the own addresses may be called from any thread, the rest on the loop thread."""

    def __init__(self, node: Node, incarnation: int) -> None:
        self._node = node
        self._incarnation = incarnation
        self._lock = threading.RLock()
        self._others = Registries()
        self._timer: asyncio.TimerHandle | None = None
        self._own: set[str] = set()
        self._copy: frozenset[str] | None = frozenset()
        """Of `_own`, once somebody has asked for it since the last change."""
        self.version = 0
        """Grows with every change; 0 before the first."""

    @property
    def own(self) -> frozenset[str]:
        """Addresses of the agents that are supervised here; from any thread, and copied once per version."""
        with self._lock:
            if self._copy is None:
                self._copy = frozenset(self._own)
            return self._copy

    def __contains__(self, address: object) -> bool:
        """Whether an agent of that address is supervised here; from any thread, without the lock."""
        return address in self._own

    def check(self, addresses: Iterable[str]) -> None:
        """Raise ConfigurationError if these would be too many for every node to know."""
        check_size(len(self._own) + len(self._lacking(addresses)))

    def add(self, addresses: Iterable[str]) -> bool:
        """Register addresses; whether that changed anything. Time is in proportion to their number."""
        with self._lock:
            new = self._lacking(addresses)
            if new:
                check_size(len(self._own) + len(new))
                self._own |= new
                self._changed()
            return bool(new)

    def remove(self, addresses: Iterable[str]) -> bool:
        """Unregister addresses; whether that changed anything. Time is in proportion to their number."""
        with self._lock:
            gone = self._own.intersection(addresses)
            if gone:
                self._own -= gone
                self._changed()
            return bool(gone)

    def _lacking(self, addresses: Iterable[str]) -> set[str]:
        return {address for address in addresses if address not in self._own}

    def _changed(self) -> None:
        self._copy = None
        self.version += 1

    def tell(self) -> None:
        """Broadcast the registry, unless there never was one."""
        self._cancel()
        with self._lock:
            version, addresses = self.version, self.own
        if version:
            limit = self._node.max_payload_bytes
            for part in parts_of(self._node.name, self._incarnation, version, addresses, limit):
                self._node.broadcast(Beacon(registry=part))

    def wanted(self, node: str) -> None:
        """Somebody lacks the registry of a node."""
        if node == self._node.name:
            self.tell_soon()

    def tell_soon(self) -> None:
        """Broadcast the registry a moment later, once for all changes and requests until then."""
        if self._timer is None:
            self._timer = self._node.dispatcher.loop.call_later(TELL_AFTER_S, self.tell)

    def heard(self, part: Registry) -> bool:
        """A part of another node's registry came in; whether a new version is complete with it."""
        return part.node != self._node.name and self._others.heard(part, self._node.presence.sees)

    def compare(self, hello: Hello) -> None:
        """Ask for the registry that a hello tells of, unless it is here."""
        if self._others.lacks(hello.node, hello.incarnation, hello.registry_version):
            self._node.broadcast(Beacon(registry_request=RegistryRequest(node=hello.node)))

    def of(self, node: str, incarnation: int) -> frozenset[str]:
        """The addresses that another node told of."""
        return self._others.addresses(node, incarnation)

    def forget(self, node: str) -> None:
        """A node has left."""
        self._others.forget(node)

    def close(self) -> None:
        """Answer nobody any more."""
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
