"""An ask that came from another node: its reply port sends the answer back, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covey.framework.cluster.failures import pack_failure
from covey.framework.cluster.peer import Peer
from covey.framework.errors import AskTimeoutError, CoveyError, PayloadTooLargeError
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

__all__ = ["InboundAsk"]

_REPLY, _FAILURE = WireEnvelope.REPLY, WireEnvelope.FAILURE


class InboundAsk:
    """The reply port of an ask from another node; resolves once, from any thread."""

    __slots__ = (
        "_claim",
        "_encode",
        "_limit_bytes",
        "_message_id",
        "_peer",
        "_settled",
        "chain",
        "deadline",
        "target",
    )

    def __init__(
        self,
        peer: Peer,
        message_id: int,
        target: str,
        deadline: float | None,
        chain: tuple[str, ...],
        encode: Callable[[Any], tuple[str, bytes]],
        limit_bytes: int,
        settled: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._message_id = message_id
        self._encode = encode
        self._limit_bytes = limit_bytes
        self._settled = settled
        self._claim = [True]  # popped by whoever resolves: list.pop is atomic
        self.target = target
        self.deadline = deadline
        self.chain = chain

    def done(self) -> bool:
        return not self._claim

    def resolve(self, value: Any = None) -> bool:
        if not self._take():
            return False
        try:
            type_name, payload = self._encode(value)
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
        self._settled()
        return True

    def _send(self, kind: Any, type_name: str, payload: bytes) -> None:
        self._peer.send_urgent(
            WireEnvelope(
                kind=kind, message_id=self._message_id, type=type_name, payload=payload
            ).SerializeToString()
        )
