"""The answer to a client's ask that another node gives: passed on as it came, undecoded."""

from __future__ import annotations

from typing import Protocol

from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope
from covey.framework.reply import Reply

__all__ = ["ForwardedReply", "PassingPort"]


class PassingPort(Protocol):
    """Takes an answer as another node has packed it, once."""

    deadline: float | None
    """On the node's clock."""
    timeout_s: float
    """What the client gave for an answer."""

    def fail(self, error: BaseException) -> bool: ...

    def fail_with(self, failure: bytes) -> bool: ...

    def resolve_with(self, type_name: str, payload: bytes) -> bool: ...


class ForwardedReply(Reply[WireEnvelope]):
    """Resolves with the answer's envelope, whose type need not be known here."""

    __slots__ = ()

    def pass_to(self, port: PassingPort) -> None:
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
