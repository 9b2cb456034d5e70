"""Errors on the wire: how a handler's error becomes an answer, and what it is when it comes back."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from google.protobuf.message import DecodeError

from covey.framework import errors
from covey.framework.proto.envelope_pb2 import Failure

__all__ = ["pack_failure", "unpack_failure", "without_traceback"]

TRACEBACK_CHARS = 8_000
MESSAGE_CHARS = 8_000

# Covey's own errors come back as themselves, made from their data; every other one as RemoteError.
_PACK: dict[type[BaseException], Callable[..., list[str]]] = {
    errors.AgentDeadError: lambda e: [e.target, e.reason],
    errors.AgentStuckError: lambda e: [e.target, e.handler, repr(e.deadline_s)],
    errors.AskCancelledError: lambda e: [e.target],
    errors.AskCycleError: lambda e: list(e.path),
    errors.AskTimeoutError: lambda e: [e.target, repr(e.timeout_s), e.message_type],
    errors.MailboxFullError: lambda e: [e.target, str(e.capacity), str(e.waiting_bytes)],
    errors.NoHostError: lambda e: [e.kind, "\n".join(e.nodes), "\n".join(e.hosted)],
    errors.PayloadTooLargeError: lambda e: [e.message_type, str(e.size_bytes), str(e.limit_bytes)],
    errors.Reject: lambda e: [str(e)],
    errors.SchemaChangedError: lambda e: [e.message_type, *e.differences],
    errors.UndecodableError: lambda e: [str(e)],
    errors.UnhandledMessageError: lambda e: [e.target, e.message_type, *e.handled],
}

_UNPACK: dict[str, Callable[[list[str]], BaseException]] = {
    "AgentDeadError": lambda d: errors.AgentDeadError(d[0], d[1]),
    "AgentStuckError": lambda d: errors.AgentStuckError(d[0], d[1], float(d[2])),
    "AskCancelledError": lambda d: errors.AskCancelledError(d[0]),
    "AskCycleError": lambda d: errors.AskCycleError(d),
    "AskTimeoutError": lambda d: errors.AskTimeoutError(d[0], float(d[1]), d[2]),
    "MailboxFullError": lambda d: errors.MailboxFullError(d[0], int(d[1]), int(d[2])),
    "NoHostError": lambda d: errors.NoHostError(d[0], _lines(d[1]), _lines(d[2])),
    "PayloadTooLargeError": lambda d: errors.PayloadTooLargeError(d[0], int(d[1]), int(d[2])),
    "Reject": lambda d: errors.Reject(d[0]),
    "SchemaChangedError": lambda d: errors.SchemaChangedError(d[0], d[1:]),
    "UndecodableError": lambda d: errors.UndecodableError(d[0]),
    "UnhandledMessageError": lambda d: errors.UnhandledMessageError(d[0], d[1], d[2:]),
}


def pack_failure(error: BaseException, *, with_traceback: bool = True) -> bytes:
    """The error as bytes, with its traceback as text (its last 8,000 characters); never raises."""
    if isinstance(error, errors.RemoteError):  # it came from a third node: keep what that one said
        text = error.traceback_text if with_traceback else ""
        return Failure(type=error.type_name, message=error.message, traceback=text).SerializeToString()
    pack = _PACK.get(type(error))
    data = [] if pack is None else [_text(part) for part in pack(error)]
    return Failure(
        type=type(error).__name__,
        message=_text(_shown(error)),
        traceback=_traceback(error) if with_traceback else "",
        data=data,
    ).SerializeToString()


def without_traceback(failure: bytes) -> bytes:
    """A packed error for somebody who is no node: files and lines of ours are not their business."""
    try:
        parsed = Failure.FromString(failure)
    except DecodeError:
        return failure
    parsed.ClearField("traceback")
    return parsed.SerializeToString()


def _traceback(error: BaseException) -> str:
    return _text("".join(traceback.format_exception(error))[-TRACEBACK_CHARS:])


def _shown(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a broken __str__ must not cost the asker its answer
        return f"its text cannot be shown: __str__ raised {type(broken).__name__}"


def _text(text: str) -> str:
    """Short enough for a frame, and such that UTF-8 can hold it."""
    return text[:MESSAGE_CHARS].encode(errors="backslashreplace").decode()


def unpack_failure(payload: bytes) -> BaseException:
    """The error that an answer carries; never raises."""
    try:
        failure = Failure.FromString(payload)
    except Exception as error:  # noqa: BLE001 - protobuf's DecodeError has no public base here
        return errors.RemoteError("UndecodableError", f"the other node's error could not be read: {error}")
    unpack = _UNPACK.get(failure.type) if failure.data else None
    if unpack is not None:
        try:
            return unpack(list(failure.data))
        except (IndexError, ValueError):
            pass  # from a node of another version: its text is still worth showing
    return errors.RemoteError(failure.type, failure.message, failure.traceback)


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []
