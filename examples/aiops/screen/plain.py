"""The run as plain lines, for a pipe or a log: one line per event, no control characters.

Each bears the time at which it was written, so they are in order; what took how long the words say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import singledispatch
from types import TracebackType
from typing import IO

from . import board_events as events
from .board import Board
from .numbers_row import big_percent

__all__ = ["PULSE_S", "PlainLines", "line_of", "speakable"]

PULSE_S = 5.0
"""Availability is told this often; the other running totals are left to the report."""


def speakable(text: str, encoding: str) -> str:
    """`text` with what `encoding` cannot say replaced: bars by `#`, the rest by `?`."""
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.replace("█", "#").encode(encoding, "replace").decode(encoding)


class PlainLines:
    """Writes a line per event; `now` gives seconds on the demo's clock. Callable from any thread."""

    def __init__(self, board: Board, stream: IO[str], now: Callable[[], float]) -> None:
        self._board = board
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._now = now
        self._lock = threading.Lock()
        self._next_pulse = PULSE_S
        self.is_read = True
        """False once whoever read the lines has gone: `| head`."""

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_read:
            self._stream.flush()

    def show(self, event: events.Event) -> None:
        """Put the event on the board and write its line, if it has one."""
        now = self._now()
        with self._lock:
            self._board.apply(event, now)
            text = line_of(event)
            if isinstance(event, events.Availability) and now >= self._next_pulse:
                self._next_pulse = now + PULSE_S
                text = _pulse(self._board)
            if text and self.is_read:
                self._write(f"{now:6.1f} s  {events.one_line(text)}")

    def _write(self, line: str) -> None:
        try:
            self._stream.write(speakable(line, self._encoding) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self.is_read = False


def _pulse(board: Board) -> str:
    treated, twin = board.availability_treated, board.availability_twin
    if treated is None or twin is None:
        return ""
    return f"availability {board.twin_of} {big_percent(treated)}, {board.twin} {big_percent(twin)}"


@singledispatch
def line_of(event: object) -> str:  # noqa: ARG001 (the registered ones read it)
    """What happened, in one line; empty for running totals, which the report sums up."""
    return ""


@line_of.register
def _(event: events.Phase) -> str:
    return event.text


@line_of.register
def _(event: events.NodeUp) -> str:
    return f"node {event.node} is up (process {event.pid})"


@line_of.register
def _(event: events.NodeDown) -> str:
    return f"node {event.node} is down: {event.reason}"


@line_of.register
def _(event: events.Injected) -> str:
    return f"{event.patient}: injected {event.kind} (fault {event.fault_id})"


@line_of.register
def _(event: events.FaultEnded) -> str:
    return (
        f"{event.patient}: healthy again, {event.kind} lasted {event.lasted_s:.1f} s (fault {event.fault_id})"
    )


@line_of.register
def _(event: events.Detected) -> str:
    return f"{event.patient}: detected in {event.metric} by {event.decided_by} (incident {event.incident})"


@line_of.register
def _(event: events.Decided) -> str:
    choice = f"{event.remedy}, cause {event.cause}" + (
        f", attempt {event.attempt}" if event.attempt > 1 else ""
    )
    return f"{event.patient}: decided on {choice} (incident {event.incident})"


@line_of.register
def _(event: events.Repaired) -> str:
    return f"incident {event.incident}: {event.remedy} done in {event.took_s:.2f} s"


@line_of.register
def _(event: events.Verified) -> str:
    return f"incident {event.incident}: {'verified, health is back' if event.ok else 'health is not back'}"


@line_of.register
def _(event: events.GaveUp) -> str:
    return f"{event.patient}: GAVE UP, {event.why} (incident {event.incident})"


@line_of.register
def _(event: events.FalseAlarm) -> str:
    return f"{event.patient}: FALSE ALARM, {event.remedy} while no fault was active"


@line_of.register
def _(event: events.AgentCrashed) -> str:
    return f"agent {event.address} crashed on {event.node}: {event.error}"


@line_of.register
def _(event: events.AgentRestarted) -> str:
    if event.cause:
        return ""  # a group of them goes down with each crash: the report counts them
    by = f" by {event.supervisor}" if event.supervisor else ""
    return f"agent {event.address} restarted on {event.node}{by}, down {event.down_s * 1000:.0f} ms"


@line_of.register
def _(event: events.TorchState) -> str:
    return f"torch: {event.text}"
