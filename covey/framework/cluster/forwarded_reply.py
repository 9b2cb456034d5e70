"""The answer to a client's ask that another node gives: passed on as it came, undecoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply

if TYPE_CHECKING:
    from covey.framework.cluster.outside_port import OutsidePort

__all__ = ["ForwardedReply"]


class ForwardedReply(Reply[WireEnvelope]):
    """Resolves with the answer's envelope, whose type need not be known here."""

    __slots__ = ()

    def pass_to(self, port: OutsidePort) -> None:
        """Answer the client once there is an answer."""

        def passed() -> None:
            error = self.error()
            if error is not None:
                port.fail(error)
                return
            wire = self.get()
            if wire.kind == WireEnvelope.FAILURE:
                port.fail_with(wire.payload)
            else:
                port.resolve_with(wire.type, wire.payload)

        self.add_done_callback(passed)
