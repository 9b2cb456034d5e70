"""An ask that came from another node: its reply port sends the answer back, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covey.framework.address import Address
from covey.framework.cluster.failures import pack_failure
from covey.framework.cluster.packing import pack_answer
from covey.framework.cluster.peer import Peer
from covey.framework.errors import AskTimeoutError, CoveyError, PayloadTooLargeError
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

__all__ = ["InboundAsk"]

_REPLY, _FAILURE = WireEnvelope.REPLY, WireEnvelope.FAILURE


class InboundAsk:
    """The reply port of an ask from another node; resolves once, from any thread."""

    __slots__ = (
        "_claim",
        "_limit_bytes",
        "_peer",
        "chain",
        "deadline",
        "message_id",
        "on_settled",
        "target",
    )

    def __init__(
        self,
        peer: Peer,
        message_id: int,
        target: str,
        deadline: float | None,
        chain: tuple[Address, ...],
        limit_bytes: int,
    ) -> None:
        self._peer = peer
        self._limit_bytes = limit_bytes
        self._claim = [True]  # popped by whoever resolves: list.pop is atomic
        self.message_id = message_id
        self.target = target
        self.deadline = deadline
        self.chain = chain
        self.on_settled: Callable[[], object] | None = None

    @property
    def asker(self) -> str:
        """Name of the node that gets the answer."""
        return self._peer.name

    def done(self) -> bool:
        return not self._claim

    def resolve(self, value: Any = None) -> bool:
        if not self._take():
            return False
        try:
            type_name, payload = codec.encode(value)
            if len(payload) > self._limit_bytes:
                raise PayloadTooLargeError(type_name, len(payload), self._limit_bytes)
        except CoveyError as error:
            # The asker learns why there is no answer; the handler has done its work.
            self._send(_FAILURE, "", pack_failure(error))
        else:
            self._send(_REPLY, type_name, payload)
        return True

    def fail(self, error: BaseException) -> bool:
        if not self._take():
            return False
        self._send(_FAILURE, "", pack_failure(error))
        return True

    def expire(self) -> None:
        """Nobody waits for it over there any more; an answer costs little and is dropped."""
        self.fail(AskTimeoutError(self.target, 0.0))

    def drop(self) -> None:
        """The asker has gone or has cancelled: resolve without an answer."""
        self._take()

    def _take(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        if self.on_settled is not None:
            self.on_settled()
        return True

    def _send(self, kind: Any, type_name: str, payload: bytes) -> None:
        answer = pack_answer(kind, self.message_id, type=type_name, payload=payload)
        self._peer.send_urgent(answer, type_name)
