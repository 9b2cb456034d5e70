"""The nodes of this process: the default local one, made lazily, and those of the process's swarms."""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from covey.framework.errors import ConfigurationError
from covey.framework.node import Node

__all__ = ["adopt", "default_node", "live_nodes", "node_of_swarm"]

_lock = threading.Lock()
_default: Node | None = None
_nodes: weakref.WeakValueDictionary[tuple[str, str], Node] = weakref.WeakValueDictionary()


def default_node() -> Node:
    """The process-wide local node that `Agent.start()` uses; ended at exit."""
    global _default
    with _lock:
        if _default is None or _default.ended.is_set():
            _default = Node("local", f"local-{os.getpid()}", host_anything=True)
            _default.start()
            _nodes[_default.swarm, _default.name] = _default
            atexit.register(_default.stop, 1.0)
        return _default


def adopt(node: Node) -> None:
    """Make a node findable by its name and its swarm's: for refs that are unpickled in this process."""
    with _lock:
        _nodes[node.swarm, node.name] = node


def live_nodes() -> tuple[Node, ...]:
    """The nodes that run in this process."""
    with _lock:
        known = list(_nodes.values())
    return tuple(node for node in known if not node.ended.is_set())


def node_of_swarm(swarm: str, name: str) -> Node:
    """The node of that name, if it runs in this process, else any node of the swarm that does.

    Raises:
        ConfigurationError: it has none.
    """
    with _lock:
        known = dict(_nodes)
    live = {key: node for key, node in known.items() if key[0] == swarm and not node.ended.is_set()}
    node = live.get((swarm, name)) or next(iter(live.values()), None)
    if node is None:
        raise ConfigurationError(
            f"this process has no running node in swarm {swarm!r}: "
            f"connect with Swarm.connect(..., name={swarm!r}) before you unpickle a ref"
        )
    return node


def _leave_to_parent() -> None:
    """In the child of a fork: threads do not survive it, so the nodes run on in the parent only."""
    global _default, _lock
    _lock = threading.Lock()
    if _default is not None:
        atexit.unregister(_default.stop)
        _default = None
    for node in list(_nodes.values()):
        node.leave_to_parent()
    _nodes.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
