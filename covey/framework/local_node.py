"""The nodes of this process: the default local one, made lazily, and those of the process's swarms."""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from covey.framework.errors import ConfigurationError
from covey.framework.node import Node

__all__ = ["adopt", "default_node", "node_of_swarm"]

_lock = threading.Lock()
_default: Node | None = None
_nodes: weakref.WeakValueDictionary[str, Node] = weakref.WeakValueDictionary()


def default_node() -> Node:
    """The process-wide local node that `Agent.start()` uses; ended at exit."""
    global _default
    with _lock:
        if _default is None or _default.ended.is_set():
            _default = Node("local", f"local-{os.getpid()}", host_anything=True)
            _default.start()
            atexit.register(_default.stop, 1.0)
        return _default


def adopt(node: Node) -> None:
    """Make a node findable by the name of its swarm: for refs that are unpickled in this process."""
    with _lock:
        _nodes[node.swarm] = node


def node_of_swarm(swarm: str) -> Node:
    """This process's node in the swarm.

    Raises:
        ConfigurationError: it has none.
    """
    node = _nodes.get(swarm)
    if node is None or node.ended.is_set():
        raise ConfigurationError(
            f"this process has no running node in swarm {swarm!r}: "
            f"connect with Swarm.connect(..., name={swarm!r}) before you unpickle a ref"
        )
    return node
