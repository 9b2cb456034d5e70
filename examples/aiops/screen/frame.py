"""The demo's picture: a board, a time and a size in, lines out. Nothing here reads a clock or a terminal."""

from __future__ import annotations

from rich.text import Text

from .board import Board
from .incidents import history, timeline
from .lines import cut, rule, wrapped
from .numbers_row import numbers
from .swarm_rows import services, swarm

__all__ = ["LARGE_HEIGHT", "frame", "sentence"]

LARGE_HEIGHT = 30
"""From this many lines on there is room for tall digits and for air between the sections."""

MIN_HISTORY = 2
SWARM_LINES = 6
"""Lines of the swarm's section besides its nodes: the newest crashes, restarts, asks, verdicts."""


def sentence(board: Board) -> str:
    """What is seen, in one sentence."""
    count = f"{len(board.patients)} services" if len(board.patients) != 1 else "1 service"
    if not board.wants_faults:
        return f"{count}, and nobody breaks them; agents watch and should leave them alone"
    deed = "agents repair them" if board.may_repair else "agents notice, but may not repair"
    return f"{count}, we break them; {deed}; `{board.twin}` gets the same faults and no help"


def frame(board: Board, now: float, width: int, height: int) -> list[Text]:
    """The picture at `now` seconds: `height` lines of at most `width` columns, a margin on the left."""
    inner = max(20, width - 2)
    large = height >= LARGE_HEIGHT
    air = [Text()] if large else []
    top = [*_head(board, now, inner), *air, *numbers(board, inner, tall=large), *air]
    top += [*timeline(board, now, inner), *air]
    wish = max(len(board.health), len(board.nodes) + SWARM_LINES)
    room = height - len(top) - MIN_HISTORY - len(air) - 1
    bottom = _bottom(board, inner, max(2, min(wish, room)))
    rows = height - len(top) - len(air) - len(bottom)
    past = history(board, now, inner, rows)
    past += [Text()] * (rows - len(past))
    lines = [*top, *past, *air, *bottom][:height]
    return [cut(Text(" ") + line, width) for line in lines]


def _head(board: Board, now: float, width: int) -> list[Text]:
    """The title with the run's progress, the sentence, and what goes on now."""
    shown = min(max(now, 0.0), board.seconds)
    title, clock = "covey demo aiops", f"{shown:.0f} of {board.seconds:.0f} s"
    room = max(0, width - len(title) - len(clock) - 4)
    done = round(room * shown / board.seconds)
    line = Text.assemble(
        (title, "bold"), "  ", ("━" * done, "cyan"), ("━" * (room - done), "dim"), "  ", (clock, "dim")
    )
    words = wrapped(sentence(board), width, "")
    phase = board.phase or "starting"
    if len(words[-1]) > width // 2:
        return [line, *words, Text(phase, "dim")]
    room = width - len(words[-1])
    return [line, *words[:-1], words[-1].append(cut(Text(phase), room - 2).plain.rjust(room), "dim"), Text()]


def _bottom(board: Board, width: int, rows: int) -> list[Text]:
    """The services on the left, the swarm on the right, `rows` lines under their rules."""
    left_width = (width - 3) // 2
    right_width = width - 3 - left_width
    left = [rule("services", left_width), *services(board, left_width, rows)]
    right = [rule("swarm", right_width), *swarm(board, right_width, rows)]
    lines = []
    for i in range(max(len(left), len(right))):
        line = cut(left[i] if i < len(left) else Text(), left_width, pad=True).append("   ")
        lines.append(line.append_text(right[i]) if i < len(right) else line)
    return lines
