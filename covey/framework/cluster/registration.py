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
    """`add` and `remove` may be called from any thread, the rest on the loop thread."""

    def __init__(self, node: Node, incarnation: int) -> None:
        self._node = node
        self._incarnation = incarnation
        self._lock = threading.RLock()
        self._others = Registries()
        self._timer: asyncio.TimerHandle | None = None
        self.own: frozenset[str] = frozenset()
        """Addresses of the agents that are supervised here."""
        self.version = 0
        """Grows with every change of `own`; 0 before the first."""

    def check(self, addresses: Iterable[str]) -> None:
        """Raise ConfigurationError if these would be too many for every node to know."""
        check_size(len(self.own.union(addresses)))

    def add(self, addresses: Iterable[str]) -> bool:
        """Register addresses; whether that changed anything."""
        with self._lock:
            return self._replace(self.own.union(addresses))

    def remove(self, addresses: Iterable[str]) -> bool:
        """Unregister addresses; whether that changed anything."""
        with self._lock:
            return self._replace(self.own.difference(addresses))

    def _replace(self, addresses: frozenset[str]) -> bool:
        if addresses == self.own:
            return False
        if len(addresses) > len(self.own):
            check_size(len(addresses))
        self.own = addresses
        self.version += 1
        return True

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
        return bool(part.node) and part.node != self._node.name and self._others.heard(part)

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
