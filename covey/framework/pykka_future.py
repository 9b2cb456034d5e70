"""The future of an ask through Pykka's refs and proxies: threads wait for it, coroutines await it."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka

from covey.framework.current import CURRENT
from covey.framework.errors import AskTimeoutError, BlockingCallError
from covey.framework.reply import LOOP_THREADS, Reply

if TYPE_CHECKING:
    from covey.framework.cell import Cell

__all__ = ["AgentFuture", "derived"]

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")

ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class AgentFuture(pykka.Future[T]):
    """A `pykka.Future` over a `Reply`.

    `get()` blocks its thread, as Pykka documents it; on a node's own loop thread it raises instead.
    `await` waits in any event loop without blocking it, also for what `map`, `filter`, `reduce` and `join`
    return. Cancelling an `await` gives up waiting; the ask goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reply: Reply[Any] = Reply("the future")
        self._asked: Cell | None = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._hook_lock: Any = None
        """Held while the get hook runs, which happens once; None without a hook."""
        self._sources: tuple[pykka.Future[Any], ...] | None = None
        """What the get hook waits for; None if nobody knows."""

    def ask_of(self, cell: Cell) -> None:
        """Name whom it waits for; before anyone else has it."""
        self._asked = cell
        self._reply = Reply(str(cell.address))

    # -- Pykka's contract --------------------------------------------------------------------------

    def get(self, *, timeout: float | None = None) -> T:
        """Block until the value is there and return it, at most `timeout` seconds (0 only looks).

        Raises:
            AskTimeoutError: not within `timeout`; it is a `pykka.Timeout`.
            BlockingCallError: it would block a node's loop thread, or an agent waits for itself.
            Exception: what the handler raised.
        """
        if self._hook_lock is not None:
            return self._get_from_hook(timeout)
        if not self._reply.done():
            if timeout is not None and timeout <= 0:
                raise AskTimeoutError(self._reply.target, 0.0, still_pending=True)
            self._check_self()
        if self._error is not None:
            self._error.__traceback__ = self._traceback  # it would grow with every get()
        return cast("T", self._reply.get(timeout))

    def set(self, value: T | None = None) -> None:
        """Set the value; `queue.Full` if it has one already, or a get hook."""
        if self._get_hook is not None or not self._reply.resolve(value):
            raise queue.Full

    def set_exception(self, exc_info: ExceptionInfo | None = None) -> None:
        """Set an error, by default the one being handled; `queue.Full` as with `set`."""
        kind, error, traceback = sys.exc_info() if exc_info is None else exc_info
        if error is None:
            assert kind is not None, "set_exception() outside of an except block needs exc_info"
            error = kind()
        if self._get_hook is not None or self._reply.done():
            raise queue.Full
        self._error, self._traceback = error, traceback
        if not self._reply.fail(error):
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let `get()` return what the function gives; `queue.Full` if it has a value already."""
        if self._reply.done():
            raise queue.Full
        self._hook_lock = threading.RLock()
        super().set_get_hook(func)

    def filter(self: pykka.Future[Iterable[J]], func: Callable[[J], bool]) -> pykka.Future[Iterable[J]]:
        """As `pykka.Future.filter`."""
        return derived(pykka.Future.filter(self, func), self)

    def join(self: pykka.Future[Any], *futures: pykka.Future[Any]) -> pykka.Future[Iterable[Any]]:
        """As `pykka.Future.join`."""
        return derived(pykka.Future.join(self, *futures), self, *futures)

    def map(self, func: Callable[[T], M]) -> pykka.Future[M]:
        """As `pykka.Future.map`."""
        return derived(pykka.Future.map(self, func), self)

    def reduce(self: pykka.Future[Iterable[J]], func: Callable[[R, J], R], *args: R) -> pykka.Future[R]:
        """As `pykka.Future.reduce`."""
        return derived(pykka.Future.reduce(self, func, *args), self)

    def __await__(self) -> Generator[Any, None, T]:
        if self._hook_lock is not None and self._sources is None:
            return (yield from _in_a_thread(self))
        yield from self._until_ready()
        return self.get()

    __iter__ = __await__

    # -- parts -------------------------------------------------------------------------------------

    def _get_from_hook(self, timeout: float | None) -> T:
        on_loop = get_ident() in LOOP_THREADS
        wait_s = 0.0 if on_loop else -1.0 if timeout is None else max(0.0, timeout)
        if not self._hook_lock.acquire(timeout=wait_s):
            if on_loop and (timeout is None or timeout > 0):
                raise BlockingCallError(
                    "get() on a node's own thread would stop every agent on it: another thread waits for "
                    "this future already; await it in an async handler"
                )
            raise AskTimeoutError("the future", timeout or 0.0, still_pending=True)
        try:
            return super().get(timeout=timeout)
        finally:
            self._hook_lock.release()

    def _check_self(self) -> None:
        current = CURRENT.get()
        if current is None or current.cell is not self._asked or current.is_async:
            return
        raise BlockingCallError(
            f"{self._reply.target} waits for its own answer, which it can give only after this handler: "
            "call the method directly, tell, or stop with self.stop()"
        )

    def _until_ready(self) -> Generator[Any, None, None]:
        """Wait, without blocking, until `get()` returns or raises at once."""
        if self._hook_lock is None:
            if not self._reply.done():
                yield from _until_done(self._reply)
            return
        for source in self._sources or ():
            if isinstance(source, AgentFuture):
                yield from source._until_ready()
            else:
                try:
                    yield from _in_a_thread(source)
                except Exception:  # noqa: BLE001, S110 - the hook meets it again
                    pass


def derived(future: pykka.Future[M], *sources: pykka.Future[Any]) -> pykka.Future[M]:
    """Note what the get hook of an `AgentFuture` waits for, so that it can be awaited; returns the future."""
    cast("AgentFuture[M]", future)._sources = sources
    return future


def _until_done(reply: Reply[Any]) -> Generator[Any, None, None]:
    # Not `await reply`: who gives up waiting there cancels the ask for all others.
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not woken.done():
            woken.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(finish)
        except RuntimeError:
            return  # the waiting loop was closed: nobody waits any more

    reply.add_done_callback(wake)
    try:
        yield from woken
    except asyncio.CancelledError:
        reply.forget_callback(wake)
        raise


def _in_a_thread(future: pykka.Future[M]) -> Generator[Any, None, M]:
    """The value of a future that only threads can wait for."""
    waiting = asyncio.get_running_loop().run_in_executor(None, lambda: future.get())
    return (yield from waiting)
