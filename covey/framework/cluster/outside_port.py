"""The reply port of a client's request: answers it in the form in which it asked, exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from covey.framework import errors
from covey.framework.cluster.failures import MESSAGE_CHARS, pack_failure, without_traceback
from covey.framework.cluster.packing import pack_answer
from covey.framework.errors import CoveyError, PayloadTooLargeError
from covey.framework.messages import codec
from covey.framework.messages.json_codec import to_json
from covey.framework.proto.envelope_pb2 import Envelope as WireEnvelope

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.deadlines import Bucket
    from covey.framework.transport import Respond

__all__ = ["OutsidePort"]

_NO_HEADERS: Mapping[str, str] = {}
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.NoHostError, 404),
    (errors.AgentDeadError, 404),
    (errors.AskTimeoutError, 408),
    (errors.PayloadTooLargeError, 413),
    (errors.MailboxFullError, 429),
    (errors.UndecodableError, 400),
    (errors.UnhandledMessageError, 400),
    (errors.ConfigurationError, 400),
    (errors.Reject, 400),
)
"""As HTTP has them; everything else is 500."""
HEADER_CHARS = 512


class OutsidePort:
    """Resolves once, from any thread.

    Args:
        call: runs a function on the node's loop thread, where answers are sent.
        respond: sends an answer.
        deadline: on the node's clock; a handler is not started after it.
        timeout_s: what the client has asked for, to be told when it is over.
        on_settled: called once there is an answer.
    """

    __slots__ = (
        "_bucket",
        "_call",
        "_claim",
        "_is_json",
        "_limit_bytes",
        "_message_id",
        "_on_settled",
        "_respond",
        "chain",
        "deadline",
        "target",
        "timeout_s",
    )

    def __init__(
        self,
        target: str,
        deadline: float,
        timeout_s: float,
        respond: Respond,
        call: Callable[..., object],
        limit_bytes: int,
        on_settled: Callable[[], object],
        *,
        message_id: int = 0,
        is_json: bool = False,
    ) -> None:
        self._bucket: Bucket | None = None
        self._call = call
        self._claim = [True]  # popped by whoever resolves: list.pop is atomic
        self._is_json = is_json
        self._limit_bytes = limit_bytes
        self._message_id = message_id
        self._on_settled = on_settled
        self._respond = respond
        self.chain: tuple[Address, ...] = ()
        self.deadline: float | None = deadline
        self.target = target
        self.timeout_s = timeout_s

    def done(self) -> bool:
        return not self._claim

    def resolve(self, value: Any = None) -> bool:
        if not self._take():
            return False
        try:
            type_name, payload = (to_json if self._is_json else codec.encode)(value)
        except CoveyError as error:
            # The client learns why there is no answer; the handler has done its work.
            self._send_failure(error)
        else:
            self._send(type_name, payload)
        return True

    def resolve_with(self, type_name: str, payload: bytes) -> bool:
        """As `resolve`, with an answer that is encoded in the client's form already."""
        if not self._take():
            return False
        self._send(type_name, payload)
        return True

    def fail_with(self, failure: bytes) -> bool:
        """As `fail`, with a failure that another node has packed."""
        if not self._take():
            return False
        failure = without_traceback(failure)
        self._respond_with(pack_answer(WireEnvelope.FAILURE, self._message_id, payload=failure), _NO_HEADERS)
        return True

    def fail(self, error: BaseException) -> bool:
        if not self._take():
            return False
        self._send_failure(error)
        return True

    def expire(self) -> bool:
        """The time is over; a handler that has begun goes on."""
        return self.fail(errors.AskTimeoutError(self.target, self.timeout_s))

    def _take(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.discard(self)
            if not bucket:
                bucket.emptied()
        self._on_settled()
        return True

    def _send(self, type_name: str, payload: bytes) -> None:
        if len(payload) > self._limit_bytes:
            self._send_failure(PayloadTooLargeError(type_name, len(payload), self._limit_bytes))
        elif self._is_json:
            self._respond_with(payload, {"Covey-Type": type_name})
        else:
            answer = pack_answer(WireEnvelope.REPLY, self._message_id, type=type_name, payload=payload)
            self._respond_with(answer, _NO_HEADERS)

    def _send_failure(self, error: BaseException) -> None:
        if not self._is_json:
            answer = pack_answer(
                WireEnvelope.FAILURE, self._message_id, payload=pack_failure(error, with_traceback=False)
            )
            self._respond_with(answer, _NO_HEADERS)
            return
        name, text = _shown(error)
        code = next((code for kind, code in _CODES if isinstance(error, kind)), 500)
        headers = {
            # NATS ADR-32 names these two, and `nats req` shows them; a header is one line of ASCII.
            "Nats-Service-Error": " ".join(text.split()).encode("ascii", "replace").decode()[:HEADER_CHARS],
            "Nats-Service-Error-Code": str(code),
        }
        body = {"error": name[:HEADER_CHARS], "message": text[:MESSAGE_CHARS]}
        self._respond_with(json.dumps(body).encode(), headers)

    def _respond_with(self, data: bytes, headers: Mapping[str, str]) -> None:
        self._call(self._respond, data, headers)


def _shown(error: BaseException) -> tuple[str, str]:
    if isinstance(error, errors.RemoteError):  # of a third node's handler
        return error.type_name, error.message
    try:
        return type(error).__name__, str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not cost the client its answer
        return type(error).__name__, "its text cannot be shown"
