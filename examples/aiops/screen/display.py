"""The live display: the demo's picture, drawn about four times a second on a terminal.

It needs nothing but rich, so it can stand before anything else is up. `show` may be called from any
thread. The picture fills the terminal's alternate screen and leaves the scrollback as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from .board import Board
from .board_events import Event
from .frame import frame
from .plain import PlainLines, speakable

__all__ = ["FRAMES_PER_SECOND", "LiveDisplay", "View", "open_view", "print_report"]

FRAMES_PER_SECOND = 4.0


class LiveDisplay:
    """Draws the board until it is closed; `now` gives seconds on the demo's clock."""

    is_read = True
    """A terminal that goes away ends the program by a signal."""

    def __init__(self, board: Board, console: Console, now: Callable[[], float]) -> None:
        self._board = board
        self._now = now
        self._lock = threading.Lock()
        self._console = console
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            screen=True,
            refresh_per_second=FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def __enter__(self) -> LiveDisplay:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Put the event on the board; the next frame shows it."""
        with self._lock:
            self._board.apply(event, self._now())

    def _picture(self) -> Group:
        width, height = self._console.size
        with self._lock:
            return Group(*frame(self._board, self._now(), width, height))


View = LiveDisplay | PlainLines
"""What shows a run while it goes on: a context manager with `show(event)`."""


def open_view(board: Board, console: Console, now: Callable[[], float]) -> View:
    """The live display on a terminal that can draw it, plain lines anywhere else."""
    capable = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    return LiveDisplay(board, console, now) if capable else PlainLines(board, console.file, now)


def print_report(lines: Iterable[tuple[str, str]], console: Console) -> None:
    """Print the report's (text, style) lines: the same text everywhere, coloured on a terminal."""
    for text, style in lines:
        console.print(Text(speakable(text, console.encoding), style), soft_wrap=True, highlight=False)
