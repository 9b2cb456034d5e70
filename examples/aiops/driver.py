"""Runs the demo: opens the view, lets the run happen in it, prints the report."""

from __future__ import annotations

import errno
import time

from rich.console import Console

from .interrupts import interruptible
from .options import DemoOptions
from .screen import board_events as events
from .screen.board import Board
from .screen.display import open_view, print_report
from .screen.report import to_json, to_lines, write_json
from .screen.verdict import exit_status
from .world.ward_client import NAMES

__all__ = ["run"]


def run(options: DemoOptions) -> int:
    """The whole demo; returns the exit status of `covey demo aiops`. Main thread only.

    Raises:
        CoveyError: something could not start, or ended before its time; the message says what to do.
        KeyboardInterrupt: Ctrl-C or SIGTERM; everything has been ended by then.
        BrokenPipeError: nobody reads the output any more; everything has been ended by then.
    """
    patients = NAMES[: options.patients]
    started = time.monotonic()
    console = Console()
    board = Board(patients, seconds=options.seconds, faults=options.faults, repair=options.repair)

    def now() -> float:
        return time.monotonic() - started

    with interruptible(), open_view(board, console, now) as view:
        view.show(events.Phase(f"starting {len(patients) + 1} services and {options.nodes} nodes"))
        from .run import DemoRun  # only now: the first frame is on the screen

        with DemoRun(options, patients, view, now) as demo:
            demo.watch()
    if not view.is_read:
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")
    print_report(to_lines(board, demo.traces), console)
    if options.report is not None:
        write_json(options.report, to_json(board, options))
    return exit_status(board)
