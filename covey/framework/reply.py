"""The answer to an ask: awaited from any loop, waited for in any thread, resolved exactly once."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Generator
from contextvars import Context
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from covey.framework.errors import AskCancelledError, AskTimeoutError, BlockingCallError, ConfigurationError

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.deadlines import Bucket
    from covey.framework.dispatcher import Dispatcher

__all__ = ["LOOP_THREADS", "Reply", "finished"]

logger = logging.getLogger("covey.reply")

T = TypeVar("T")

_PENDING, _VALUE, _ERROR = 0, 1, 2
MAX_WAIT_S = 1e9

# One lock for all replies: it is held for three assignments only, and a lock per reply would double its
# memory. Re-entrant, because a garbage collection inside may resolve another reply.
_LOCK = threading.RLock()

LOOP_THREADS: dict[int, Dispatcher] = {}
"""The dispatchers by the threads that run their loops: blocking one of them would stop its agents."""


class Reply(Generic[T]):
    """A handle on the answer to an ask.

    Await it (any number of times, from any event loop), or call `get()` from a thread that runs no node.
    It resolves exactly once: with the answer, with the handler's error, with `AskTimeoutError` at its
    deadline, or with `AskCancelledError`. A timeout does not stop a handler that has started; `cancel()`
    and a cancelled `await` do, as far as they reach.
    """

    __slots__ = (
        "_bucket",
        "_now",
        "_on_cancel",
        "_result",
        "_state",
        "_target",
        "_timeout_s",
        "_type",
        "_waiters",
        "chain",
        "deadline",
    )

    def __init__(
        self,
        target: Address | str = "",
        deadline: float | None = None,
        timeout_s: float = 0.0,
        chain: tuple[Address, ...] = (),
        message_type: type | str = "",
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._state = _PENDING
        self._result: Any = None
        self._waiters: Callable[[], object] | list[Callable[[], object]] | None = None
        self._bucket: Bucket | None = None
        self._on_cancel: Callable[[Reply[Any]], object] | None = None
        self._timeout_s = timeout_s
        self._target = target
        self._type = message_type
        self._now = now
        self.deadline = deadline
        self.chain = chain

    @property
    def target(self) -> str:
        """Address of the agent that was asked."""
        return str(self._target)

    @property
    def message_type(self) -> str:
        """Name of the type of what it was asked."""
        return self._type.__name__ if isinstance(self._type, type) else self._type

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
            on_cancel(self)
        return True

    def expire(self) -> None:
        """The deadline has passed."""
        self._settle(_ERROR, AskTimeoutError(self.target, self._timeout_s, self.message_type))

    def error(self) -> BaseException | None:
        """The error that it resolved with; None while it is pending, and for an answer."""
        return self._result if self._state == _ERROR else None

    def get(self, timeout: float | None = None) -> T:
        """Block until the answer is there and return it, at most `timeout` seconds.

        Raises:
            AskTimeoutError: not within `timeout`, or the ask's own deadline passed.
            BlockingCallError: called on a node's own loop thread, where it would stop every agent.
            Exception: what the handler raised.
        """
        if self._state == _PENDING:
            if timeout is not None and not 0 <= timeout <= MAX_WAIT_S:
                raise ConfigurationError(f"get(timeout={timeout!r}): give seconds, from 0 to {MAX_WAIT_S:g}")
            self._block(timeout)
        if self._state == _ERROR:
            raise self._result
        return cast("T", self._result)

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Call `callback()` once it has resolved, in the resolving thread, or now if it has."""
        with _LOCK:
            if self._state == _PENDING:
                waiters = self._waiters
                if waiters is None:
                    self._waiters = callback
                elif type(waiters) is list:
                    waiters.append(callback)
                else:
                    self._waiters = [cast("Callable[[], object]", waiters), callback]
                return
        callback()

    def __await__(self) -> Generator[Any, None, T]:
        if self._state == _PENDING:
            dispatcher = LOOP_THREADS.get(get_ident())
            if dispatcher is not None:
                yield _Parked(self, dispatcher)
            else:
                yield from self._wait_in(asyncio.get_running_loop())
        if self._state == _ERROR:
            raise self._result
        return cast("T", self._result)

    def _wait_in(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, None, None]:
        future: asyncio.Future[None] = loop.create_future()
        self.add_done_callback(lambda: _wake(loop, future))
        try:
            yield from future
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _settle(self, state: int, result: Any) -> bool:
        with _LOCK:
            if self._state != _PENDING:
                return False
            self._result = result
            self._state = state
            waiters = self._waiters
        self._waiters = self._on_cancel = None  # they know this reply: no cycle may stay
        bucket = self._bucket
        if bucket is not None:
            bucket.discard(self)
            self._bucket = None
            if not bucket:
                bucket.emptied()
        if waiters is not None:
            if type(waiters) is list:
                for waiter in waiters:
                    _tell(waiter)
            else:
                _tell(waiters)  # type: ignore[arg-type]
        return True

    def _block(self, timeout: float | None) -> None:
        if get_ident() in LOOP_THREADS:
            raise BlockingCallError(
                f"get() on a node's own thread would stop every agent on it, the one that should answer "
                f"included: await the reply from {self.target} in an async handler, or set "
                'dispatcher = "thread" on this agent'
            )
        gate = threading.Lock()
        gate.acquire()
        self.add_done_callback(gate.release)
        left = None if self.deadline is None else max(0.0, self.deadline - self._now())
        # 10 ms of grace: normally the node's wheel expires the ask; this is for a loop that is held up.
        waits = [t for t in (timeout, None if left is None else left + 0.01) if t is not None]
        if gate.acquire(timeout=min(threading.TIMEOUT_MAX, *waits) if waits else -1):
            return
        if left is not None and (timeout is None or timeout >= left):
            self.expire()
        elif self.forget_callback(gate.release):
            raise AskTimeoutError(self.target, timeout or 0.0, self.message_type, still_pending=True)

    def forget_callback(self, callback: Callable[[], object]) -> bool:
        """Call it no more; False when the reply has resolved meanwhile."""
        with _LOCK:
            if self._state != _PENDING:
                return False
            if type(self._waiters) is list:
                if callback in self._waiters:
                    self._waiters.remove(callback)
            elif self._waiters == callback:
                self._waiters = None
            return True


def _tell(waiter: Callable[[], object]) -> None:
    try:
        waiter()
    except Exception:  # it must not stop whoever answers
        logger.exception("a callback of a reply raised")


class _Parked:
    """What a task on a dispatcher's loop waits for: asyncio's future protocol, as much as a task uses.

    A future would wake its task in the next round of the loop. This takes a turn like an agent instead,
    mostly in the same turn of the dispatcher that answered.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_dispatcher", "_reply")

    def __init__(self, reply: Reply[Any], dispatcher: Dispatcher) -> None:
        self._asyncio_future_blocking = True
        self._reply = reply
        self._dispatcher = dispatcher

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._dispatcher.loop

    def add_done_callback(self, callback: Callable[[_Parked], object], *, context: Context) -> None:
        self._callback = callback
        self._context = context
        self._reply.add_done_callback(self)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the protocol's signature
        self._reply.cancel()
        return False  # the task throws CancelledError when it is woken, which the reply's end does

    def result(self) -> None:
        """The task takes the result from the reply."""

    def __call__(self) -> None:
        self._dispatcher.schedule(self)

    def turn(self, limit: int, until: float) -> int:  # noqa: ARG002 - one step, whatever the limit
        self._context.run(self._callback, self)
        self._dispatcher.meter.at = monotonic()
        return 0

    def turn_broke(self) -> None:
        """Nothing: a task takes one turn for each wait."""


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


def _forget_threads() -> None:
    """In the child of a fork: no loop thread is left, and one of them may have held the lock."""
    global _LOCK
    _LOCK = threading.RLock()
    LOOP_THREADS.clear()


os.register_at_fork(after_in_child=_forget_threads)
