"""Asks all nodes of a swarm for their trees, and waits for the answers up to a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from covey.framework.cluster.membership import SAID_GOODBYE
from covey.framework.cluster.refusals import CrowdedError
from covey.framework.error_text import encodable, error_text
from covey.framework.errors import AskTimeoutError, ConfigurationError, CoveyError
from covey.framework.events import NodeJoined, NodeLeft
from covey.framework.messages.message import message
from covey.framework.reply import MAX_WAIT_S, Reply
from covey.framework.supervision.snapshot import MOST_CHILDREN, check_most, tree_of
from covey.framework.supervision.tree import NodeTree, fill_in

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cluster.inbound_ask import InboundAsk
    from covey.framework.node import Node

__all__ = ["SURVEY_S", "Survey", "TreeAnswers", "TreeRequest"]

logger = logging.getLogger("covey.supervisor")

SURVEY_S = 2.0
MOST_WAITING = 256
"""Nodes that wait for the tree of one; more are refused."""
OVERDUE_S = 1.0
"""After which a survey whose node has stopped meanwhile fails."""


@message
class TreeRequest:
    """Asks a node for its tree."""

    most_children: int
    """Of one parent."""


class TreeAnswers:
    """Answers other nodes' requests, one by one in a thread: the agents of a large node go on meanwhile."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._waiting: deque[tuple[TreeRequest, InboundAsk]] = deque()
        self._has_thread = False

    def serve(self, request: TreeRequest, _target: Address, _sender: Address, port: InboundAsk) -> None:
        """A node asks for the tree of this one. Raises CrowdedError when too many wait."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise CrowdedError(f"{MOST_WAITING} nodes wait for the tree of node {self._node.name}")
            self._waiting.append((request, port))
            if self._has_thread:
                return
            self._has_thread = True
        threading.Thread(target=self._answer, name=f"covey-{self._node.name}-tree", daemon=True).start()

    def _answer(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._has_thread = False
                    return
                request, port = self._waiting.popleft()
            if port.done():
                continue
            try:
                port.resolve(tree_of(self._node, request.most_children))
            except Exception as error:
                if not isinstance(error, CoveyError):
                    logger.exception("the tree of node %s cannot be told", self._node.name)
                port.fail(error)


class Survey:
    """One look at all nodes; on the loop thread, but for `__init__`.

    It asks the nodes that this one sees, and those that they see and that are heard of in time. `trees`
    resolves with all of them by name, when all have answered or the time is up: who has not answered has a
    `problem` then. One that says goodbye meanwhile is left out.
    """

    def __init__(self, node: Node, most_children: int = MOST_CHILDREN, timeout_s: float = SURVEY_S) -> None:
        is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
        if not (is_number and 0 <= timeout_s <= MAX_WAIT_S):
            raise ConfigurationError(f"timeout={timeout_s!r}: give seconds, from 0 to {MAX_WAIT_S:g}")
        self._node = node
        self._request = TreeRequest(most_children=max(0, min(check_most(most_children), 1 << 31)))
        self._timeout_s = timeout_s
        self._due = node.now() + timeout_s
        self._found: dict[str, NodeTree | None] = {}
        """By node; None while it is waited for, and once it has said goodbye (then it is in `_left`)."""
        self._left: set[str] = set()
        self._asked: set[str] = set()
        self.trees: Reply[tuple[NodeTree, ...]] = Reply(
            f"the nodes of {node.swarm}", message_type="survey", now=node.now
        )
        self._note(tree_of(node, most_children))
        node.expect(self.trees, self._due + OVERDUE_S)
        node.dispatcher.call(self._begin)

    def _begin(self) -> None:
        node = self._node
        end_listening = node.on_event(self._changed, NodeJoined, NodeLeft)
        timer = node.dispatcher.call_at(self._due, self._time_is_up)
        self.trees.add_done_callback(end_listening)
        self.trees.add_done_callback(lambda: node.dispatcher.call(timer.cancel))
        self._ask_all()

    def _ask_all(self) -> None:
        """Ask those that are seen by now; done when nobody is waited for."""
        if self.trees.done():
            return
        members = [peer.name for peer in self._node.presence.members]
        for name in members:
            self._found.setdefault(name, None)
            if name not in self._asked and self._found[name] is None:
                self._ask(name)
        if all(tree is not None or name in self._left for name, tree in self._found.items()):
            self._finish()

    def _ask(self, name: str) -> None:
        self._asked.add(name)
        reply = self._node.outbound.request(name, self._request, max(0.0, self._due - self._node.now()))
        reply.add_done_callback(lambda: self._node.dispatcher.call(self._answered, name, reply))

    def _answered(self, name: str, reply: Reply[Any]) -> None:
        error = reply.error()
        if error is None:
            self._note(reply.get())
        elif self._found[name] is None and not isinstance(error, AskTimeoutError):
            self._found[name] = NodeTree(node=name, problem=_why(error))
        self._ask_all()

    def _note(self, tree: NodeTree) -> None:
        self._found[tree.node] = tree
        for peer in tree.peers:
            self._found.setdefault(peer, None)

    def _changed(self, event: NodeJoined | NodeLeft) -> None:
        if isinstance(event, NodeLeft) and event.reason == SAID_GOODBYE:
            self._left.add(event.node)
        elif isinstance(event, NodeJoined):
            self._left.discard(event.node)
        self._node.dispatcher.call(self._ask_all)

    def _time_is_up(self) -> None:
        for name, tree in self._found.items():
            if tree is None and name not in self._left:
                self._found[name] = NodeTree(node=name, problem=f"no answer within {self._timeout_s:g} s")
        self._finish()

    def _finish(self) -> None:
        answers = [tree for tree in self._found.values() if tree is not None and tree.node not in self._left]
        self.trees.resolve(fill_in(answers))


def _why(error: BaseException) -> str:
    return encodable(str(error) if isinstance(error, CoveyError) else error_text(error))
