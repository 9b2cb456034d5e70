"""`gather`: many replies as one."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Literal, TypeVar, overload

from covey.framework.errors import ConfigurationError
from covey.framework.reply import Reply

__all__ = ["gather"]

T = TypeVar("T")


@overload
def gather(*replies: Reply[T]) -> Reply[list[T]]: ...
@overload
def gather(*replies: Reply[T], return_errors: Literal[False]) -> Reply[list[T]]: ...
@overload
def gather(*replies: Reply[T], return_errors: bool) -> Reply[list[T | BaseException]]: ...


def gather(*replies: Reply[Any], return_errors: bool = False) -> Reply[Any]:
    """One reply for many: the list of their answers, in the order of the arguments, once all have resolved.

    The first that fails fails it at once, and the others go on; with `return_errors` it waits for all, and
    errors stand in the list. To cancel it cancels those that are pending. Every reply has a deadline of
    its own, so it needs none. Await it, or `get()` it, as any other.
    """
    for reply in replies:
        if not isinstance(reply, Reply):
            raise ConfigurationError(f"gather({reply!r}): give replies, such as ref.ask(...) returns")
    return _Gathering(replies, return_errors).gathered


class _Gathering:
    """Counts the replies down; they may resolve in any thread."""

    def __init__(self, replies: tuple[Reply[Any], ...], return_errors: bool) -> None:
        self._replies = replies
        self._return_errors = return_errors
        self._left = len(replies)
        self._lock = threading.RLock()
        self.gathered: Reply[list[Any]] = Reply(f"{len(replies)} agents", message_type="gather")
        self.gathered._on_cancel = self._cancel
        if not replies:
            self.gathered.resolve([])
        for reply in replies:
            reply.add_done_callback(self._one_done if return_errors else partial(self._look, reply))

    def _look(self, reply: Reply[Any]) -> None:
        error = reply.error()
        if error is not None:
            self.gathered.fail(error)
        else:
            self._one_done()

    def _one_done(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self.gathered.resolve([_outcome(reply) for reply in self._replies])

    def _cancel(self, _gathered: Reply[Any]) -> None:
        for reply in self._replies:
            reply.cancel()


def _outcome(reply: Reply[Any]) -> Any:
    error = reply.error()
    return reply.get() if error is None else error
