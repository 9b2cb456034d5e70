"""Mail for an agent that is about to live on another node: it waits here until the agent is up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from covey.framework.cell import Cell
from covey.framework.cluster import moving
from covey.framework.envelope import Envelope, opened
from covey.framework.reply import Reply

if TYPE_CHECKING:
    from covey.framework.envelope import ReplyPort

__all__ = ["HeldCell"]


class HeldCell(Cell):
    """A mailbox without an agent, at the address of a child that has no node yet.

    It is bounded, as the child's own mailbox is, and takes no turns. What is left when it ends goes to where
    the child lives by then, else to the dead letters.
    """

    __slots__ = ()

    is_held = True

    def send_on(self, item: Any) -> bool:
        envelope = opened(item)
        port = envelope.reply
        if port is not None and not isinstance(port, Reply):
            item = self._asked_for(envelope, port)
        return moving.send_elsewhere(self, item)

    def _asked_for(self, envelope: Envelope, port: ReplyPort) -> Envelope:
        """The ask of another node, asked once more from here, with its deadline."""
        node = self.node
        asked: Reply[Any] = Reply(
            self.address, port.deadline, 0.0, port.chain, type(envelope.message), node.now
        )
        asked.add_done_callback(partial(_pass_on, asked, port.resolve, port.fail))
        if port.deadline is not None:
            node.expect(asked, port.deadline)
        return Envelope(envelope.message, asked, envelope.sender, envelope.context, envelope.put_at)


def _pass_on(
    asked: Reply[Any], resolve: Callable[[Any], object], fail: Callable[[BaseException], object]
) -> None:
    error = asked.error()
    if error is None:
        resolve(asked.get())
    else:
        fail(error)
