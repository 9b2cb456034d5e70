"""Names the handler that holds a node's loop: while it does no other agent of the node runs."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any

from covey.framework.attending import Attending
from covey.framework.cell import Cell
from covey.framework.cluster.topic_message import TopicMessage
from covey.framework.construction import construct
from covey.framework.envelope import message_of
from covey.framework.events import LoopHeld
from covey.framework.hooks import run_hook
from covey.framework.messages import codec
from covey.framework.receive import Receiver

if TYPE_CHECKING:
    from covey.framework.dispatch_loop import LoopSelector
    from covey.framework.events import Event

__all__ = ["HOLD_S", "Watchdog"]

logger = logging.getLogger("covey.watchdog")

HOLD_S = 0.05
REPORT_AGAIN_S = 60.0
REMEMBERED = 1_000
NARROWLY_S = 0.001
"""The shortest pause between two looks."""
STACK_FRAMES = 12
TURN_WITHIN = 10
"""Frames from a handler's first step out to the turn that began it, at most."""

_TURN = Cell.turn.__code__
_COLLECTIONS: deque[tuple[float, float]] = deque(maxlen=64)
"""Begin and end of the garbage collections of late: they stop every thread, and are no handler's fault."""
_collecting_since = 0.0


def _note_collection(phase: str, _info: object) -> None:
    global _collecting_since
    if phase == "start":
        _collecting_since = monotonic()
    else:
        _COLLECTIONS.append((_collecting_since, monotonic()))


def _collected_s(since: float, until: float) -> float:
    """Seconds of garbage collection within a span of time."""
    spans = tuple(_COLLECTIONS)
    return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in spans)


_RUNNING_CODE = {
    _TURN,
    Receiver._call.__code__,
    Attending._attend.__code__,
    Attending._attend_hook.__code__,
    run_hook.__code__,
    construct.__code__,
}


@dataclass(slots=True)
class _Run:
    """What runs on the loop now."""

    cell: Attending
    handler: str
    message: Any
    since: float | None
    """When it began, where that is known."""
    stack: str

    @property
    def message_type(self) -> str:
        return "" if self.message is None else codec.type_name(self.message)


class Watchdog:
    """Looks at a dispatcher's thread from one of its own, every 50 ms while the loop sleeps.

    A handler that holds the loop for longer than `hold_s` is logged and told as a `LoopHeld` event, with
    its stack, once per handler and minute. One that ends between two looks is reported without its stack.
    """

    def __init__(
        self,
        node: str,
        ident: int,
        selector: LoopSelector | None,
        hold_s: float,
        emit: Callable[[Event], None],
    ) -> None:
        self._node = node
        self._ident = ident
        self._selector = selector
        self._hold_s = hold_s
        self._emit = emit
        self._reported_at: dict[tuple[str, str], float] = {}
        self._seen: tuple[float, int] = (0.0, 0)
        self._seen_at = 0.0
        self._told_since = -1.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"covey-watchdog-{node}", daemon=True)

    def start(self) -> None:
        if _note_collection not in gc.callbacks:
            gc.callbacks.append(_note_collection)
        if self._selector is not None:  # a loop of another make cannot be looked at
            self._thread.start()

    def close(self) -> None:
        """End the thread; returns when it has ended."""
        self._ended.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(1.0)

    def late(self, cell: Attending, message: Any, since: float, took_s: float) -> None:
        """A plain handler has ended that took too long; on the loop thread."""
        took_s -= _collected_s(since, since + took_s)
        if since == self._told_since or took_s < self._hold_s:
            return
        handler = cell.routes.cache.get(type(message))
        if type(message) is TopicMessage:
            handler = message.subscription.handler
        name = f"{cell.actor_class.__qualname__}.{'on_receive' if handler is None else handler.name}"
        self._report(cell, name, codec.type_name(message), took_s, "")

    def _run(self) -> None:
        pause_s = self._hold_s
        while not self._ended.wait(pause_s):
            try:
                pause_s = max(NARROWLY_S, self._look(monotonic()))
            except Exception:
                logger.exception("internal error in the watchdog of node %s", self._node)
                pause_s = self._hold_s

    def _look(self, now: float) -> float:
        """Look once; returns when to look again, in seconds."""
        selector, hold_s = self._selector, self._hold_s
        assert selector is not None
        age_s = now - selector.woke_at
        if selector.waiting or age_s < hold_s:
            return hold_s if selector.waiting else hold_s - age_s
        frame = sys._current_frames().get(self._ident)
        run = None if frame is None else _running(frame)
        if run is None or frame is None:
            return hold_s / 5
        if run.since is not None:
            held_s = now - run.since
        else:
            # A later step of a task, or a hook: it began after the last look that did not see it.
            seen = (selector.woke_at, id(run.cell))
            if seen != self._seen:
                self._seen, self._seen_at = seen, now
            held_s = now - self._seen_at
        held_s -= _collected_s(now - held_s, now)
        if held_s < hold_s:
            return min(hold_s - held_s, hold_s / 5)
        self._told_since = -1.0 if run.since is None else run.since
        self._report(run.cell, run.handler, run.message_type, held_s, run.stack)
        return hold_s

    def _report(self, cell: Attending, handler: str, message_type: str, held_s: float, stack: str) -> None:
        address, now = str(cell.address), monotonic()
        key = (cell.address.kind, handler.rpartition(".")[2])
        if now - self._reported_at.get(key, float("-inf")) < REPORT_AGAIN_S:
            return
        if len(self._reported_at) >= REMEMBERED:
            self._reported_at.clear()
        self._reported_at[key] = now
        logger.warning(
            "%s holds the loop of node %s: %s (message: %s) has run for %.0f ms, and no other agent of the "
            "node runs meanwhile: await what it waits for, split the work, or set dispatcher = 'thread' on "
            "its class%s",
            address,
            self._node,
            handler,
            message_type or "none",
            held_s * 1e3,
            f"\n{stack}" if stack else " (it had ended before its stack could be read)",
        )
        self._emit(LoopHeld(address, self._node, handler, message_type, held_s, stack))


def _running(frame: FrameType) -> _Run | None:
    """The agent and the handler in the stack of a thread; None when the runtime itself is at work."""
    inner: list[FrameType] = []
    owner: FrameType | None = frame
    while owner is not None and owner.f_code not in _RUNNING_CODE:
        inner.append(owner)
        owner = owner.f_back
    own = [f for f in reversed(inner) if not f.f_globals.get("__name__", "").startswith("covey.framework")]
    if owner is None or not own:
        return None
    names = owner.f_locals
    message = message_of(names["item"]) if owner.f_code is _TURN else names.get("message")
    cell = names["self"] if isinstance(names.get("self"), Attending) else names["cell"]
    stack = "".join(traceback.format_list(traceback.StackSummary.extract(_numbered(own[:STACK_FRAMES]))))
    return _Run(cell, own[0].f_code.co_qualname, message, _since(owner), stack.rstrip())


def _since(frame: FrameType | None) -> float | None:
    """When the message began that a turn on this stack handles."""
    for _ in range(TURN_WITHIN):
        if frame is None:
            return None
        if frame.f_code is _TURN:
            return frame.f_locals.get("since")
        frame = frame.f_back
    return None


def _numbered(frames: list[FrameType]) -> Any:
    return ((frame, frame.f_lineno) for frame in frames)
