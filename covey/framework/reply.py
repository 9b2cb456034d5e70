"""The answer to an ask: awaited from any loop, waited for in any thread, resolved exactly once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from covey.framework.errors import AskCancelledError, AskTimeoutError, BlockingCallError

if TYPE_CHECKING:
    from covey.framework.deadlines import Expiring

__all__ = ["LOOP_THREADS", "Reply", "finished"]

T = TypeVar("T")

_PENDING, _VALUE, _ERROR = 0, 1, 2

# One lock for all replies: it is held for three assignments only, and a lock per reply would double its
# memory. Re-entrant, because a garbage collection inside may resolve another reply.
_LOCK = threading.RLock()

LOOP_THREADS: set[int] = set()
"""Identifiers of the threads that run a node's loop: blocking one of them would stop its agents."""


class Reply(Generic[T]):
    """A handle on the answer to an ask.

    Await it (any number of times, from any event loop), or call `get()` from a thread that runs no node.
    It resolves exactly once: with the answer, with the handler's error, with `AskTimeoutError` at its
    deadline, or with `AskCancelledError`. A timeout does not stop a handler that has started; `cancel()`
    and a cancelled `await` do, as far as they reach.
    """

    __slots__ = (
        "_bucket",
        "_on_cancel",
        "_result",
        "_state",
        "_timeout_s",
        "_waiters",
        "chain",
        "deadline",
        "message_type",
        "target",
    )

    def __init__(
        self,
        target: str = "",
        deadline: float | None = None,
        timeout_s: float = 0.0,
        chain: tuple[str, ...] = (),
        message_type: str = "",
    ) -> None:
        self._state = _PENDING
        self._result: Any = None
        self._waiters: list[Callable[[], None]] | None = None
        self._bucket: set[Expiring] | None = None
        self._on_cancel: Callable[[], None] | None = None
        self._timeout_s = timeout_s
        self.target = target
        self.deadline = deadline
        self.chain = chain
        self.message_type = message_type

    def __repr__(self) -> str:
        state = ("pending", "answered", "failed")[self._state]
        return f"<Reply from {self.target}: {state}>"

    def done(self) -> bool:
        """Whether it has resolved, either way."""
        return self._state != _PENDING

    def resolve(self, value: Any = None) -> bool:
        """Answer; False if it was resolved before (the value is then dropped)."""
        return self._settle(_VALUE, value)

    def fail(self, error: BaseException) -> bool:
        """Answer with an error; False if it was resolved before."""
        return self._settle(_ERROR, error)

    def cancel(self) -> bool:
        """Give up waiting and cancel the handler, also one that has started (unless not `cancellable`).

        Across nodes this is best effort. Returns False if the reply had resolved before.
        """
        on_cancel = self._on_cancel  # settling takes it away
        if not self._settle(_ERROR, AskCancelledError(self.target)):
            return False
        if on_cancel is not None:
            on_cancel()
        return True

    def expire(self) -> None:
        """The deadline has passed."""
        self._settle(_ERROR, AskTimeoutError(self.target, self._timeout_s, self.message_type))

    def get(self, timeout: float | None = None) -> T:
        """Block until the answer is there and return it, at most `timeout` seconds.

        Raises:
            AskTimeoutError: not within `timeout`, or the ask's own deadline passed.
            BlockingCallError: called on a node's own loop thread, where it would stop every agent.
            Exception: what the handler raised.
        """
        if self._state == _PENDING:
            self._block(timeout)
        if self._state == _ERROR:
            raise self._result
        return cast("T", self._result)

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback()` once it has resolved, in the resolving thread, or now if it has."""
        with _LOCK:
            if self._state == _PENDING:
                if self._waiters is None:
                    self._waiters = []
                self._waiters.append(callback)
                return
        callback()

    def __await__(self) -> Generator[Any, None, T]:
        if self._state == _PENDING:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self.add_done_callback(lambda: _wake(loop, future))
            try:
                yield from future
            except asyncio.CancelledError:
                self.cancel()
                raise
        if self._state == _ERROR:
            raise self._result
        return cast("T", self._result)

    def _settle(self, state: int, result: Any) -> bool:
        with _LOCK:
            if self._state != _PENDING:
                return False
            self._result = result
            self._state = state
            self._on_cancel = None  # it knows the envelope, which knows this reply: no cycle may stay
            waiters, self._waiters = self._waiters, None
        bucket = self._bucket
        if bucket is not None:
            bucket.discard(self)
            self._bucket = None
        if waiters is not None:
            for waiter in waiters:
                waiter()
        return True

    def _block(self, timeout: float | None) -> None:
        if threading.get_ident() in LOOP_THREADS:
            raise BlockingCallError(
                f"get() on a node's own thread would stop every agent on it, the one that should answer "
                f"included: await the reply from {self.target} in an async handler, or set "
                'dispatcher = "thread" on this agent'
            )
        gate = threading.Lock()
        gate.acquire()
        self.add_done_callback(gate.release)
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        # 10 ms of grace: normally the node's wheel expires the ask; this is for a loop that is held up.
        waits = [t for t in (timeout, None if left is None else left + 0.01) if t is not None]
        if gate.acquire(timeout=min(waits) if waits else -1):
            return
        if left is not None and (timeout is None or timeout >= left):
            self.expire()
        elif self._forget_waiter(gate.release):
            raise AskTimeoutError(self.target, timeout or 0.0, self.message_type, still_pending=True)

    def _forget_waiter(self, callback: Callable[[], None]) -> bool:
        """Call it no more; False when it has resolved meanwhile."""
        with _LOCK:
            if self._state != _PENDING:
                return False
            if self._waiters is not None and callback in self._waiters:
                self._waiters.remove(callback)
            return True


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    if asyncio._get_running_loop() is loop:
        _finish(future)
        return
    try:
        loop.call_soon_threadsafe(_finish, future)
    except RuntimeError:
        return  # the waiting loop was closed: nobody waits any more


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def finished(value: Any = None) -> Reply[Any]:
    """A reply that is there already."""
    reply: Reply[Any] = Reply()
    reply.resolve(value)
    return reply
