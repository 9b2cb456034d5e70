"""The lower half: every service's health over the run, and the swarm's nodes, asks, verdicts, crashes."""

from __future__ import annotations

from rich.text import Text

from .board import BUCKETS, Board
from .board_rows import Crash, Health
from .lines import cut
from .numbers_row import health_style

__all__ = ["services", "swarm"]

LEVELS = "▁▂▃▄▅▆"
STATE_WIDTH = 5


def services(board: Board, width: int, rows: int) -> list[Text]:
    """A row per service, the twin last; dots and names only where `rows` are too few."""
    names = list(board.health)
    if len(names) > rows:
        return _grid(board, names, width, rows)
    name_width = min(max(len(name) for name in names), 14)
    spark_width = max(4, width - name_width - STATE_WIDTH - 6)
    lines = []
    for name in names:
        fault = board.fault_on(name)
        line = _dot(board, name)
        line.append_text(
            cut(Text(f" {name}", "italic" if name == board.twin else ""), name_width + 1, pad=True)
        )
        line.append("  ")
        line.append_text(_spark(board.health[name], board.seconds, spark_width))
        line.append(f"  {fault.kind}" if fault else "", "yellow")
        lines.append(cut(line, width))
    return lines


def swarm(board: Board, width: int, rows: int) -> list[Text]:
    """The nodes, the latest crashes of agents, asks and verdicts, in at most `rows` lines."""
    figures = [*_asks(board, width), *_verdicts(board)]
    crashes = board.crashes[-max(1, rows - len(board.nodes) - len(figures)) :]
    lines = [
        *_nodes(board, rows - len(crashes) - len(figures)),
        *(_crash(c, width) for c in crashes),
        *figures,
    ]
    return [cut(line, width) for line in lines[:rows]]


def _dot(board: Board, name: str) -> Text:
    health = board.health[name]
    style = health_style(health.last)
    if style == "green" and board.fault_on(name):
        style = "yellow"
    return Text.assemble(("●" if health.total else "○", style))


def _grid(board: Board, names: list[str], width: int, rows: int) -> list[Text]:
    cell = max(len(name) for name in names) + 4
    per_row = max(1, width // cell)
    lines = []
    for start in range(0, len(names), per_row):
        line = Text()
        for name in names[start : start + per_row]:
            line.append_text(cut(_dot(board, name).append(f" {name}"), cell, pad=True))
        lines.append(cut(line, width))
    return lines[:rows]


def _spark(health: Health, seconds: float, width: int) -> Text:
    """The run from left to right: high and green where probes were answered, low and red where not."""
    slice_s = max(0.5, seconds / BUCKETS)
    cells: list[tuple[int, int]] = [(0, 0)] * width
    for index, (ok, total) in health.slices.items():
        i = min(width - 1, int(index * slice_s / seconds * width))
        cells[i] = (cells[i][0] + ok, cells[i][1] + total)
    line = Text()
    for ok, total in cells:
        if total:
            line.append(LEVELS[round(ok / total * (len(LEVELS) - 1))], health_style(ok / total))
        else:
            line.append("·", "dim")
    return line


def _nodes(board: Board, rows: int) -> list[Text]:
    if not board.nodes:
        return [Text("no node is up yet", "dim")]
    shown = list(board.nodes.values())
    lines = []
    for row in shown if len(shown) <= rows else shown[: max(0, rows - 1)]:
        if row.down:
            lines.append(Text(f"● {row.node}  down: {row.down}", "red"))
        else:
            figures = f"{row.agents:>4} agents {row.messages:>9,} msgs"
            lines.append(Text.assemble(("● ", "green"), f"{row.node:<8} ", (figures, "dim")))
    if len(lines) < len(shown):
        rest = shown[len(lines) :]
        figures = f"{sum(r.agents for r in rest)} agents, {sum(r.messages for r in rest):,} messages"
        lines.append(Text(f"and {len(rest)} more nodes: {figures}", "dim"))
    return lines


def _crash(crash: Crash, width: int) -> Text:
    back = "restarting" if crash.down_s is None else f"back in {crash.down_s * 1000:.0f} ms"
    style = "yellow" if crash.down_s is None else "green"
    room = max(6, width - len(f"↻  crashed, {back}"))
    who = crash.address
    if len(who) > room:  # the key tells more than the kind
        who = who.partition("/")[2] or who
    who = who if len(who) <= room else f"…{who[1 - room :]}"
    return Text.assemble(("↻ ", style), f"{who} crashed, ", (back, style))


def _asks(board: Board, width: int) -> list[Text]:
    if board.ask is None:
        return []
    figures = f"p50 {board.ask.p50_ms:.1f} ms  p99 {board.ask.p99_ms:.1f} ms"
    line = Text.assemble("asks      ", (figures, "dim"))
    where = "  between nodes"
    return [line.append(where, "dim") if line.cell_len + len(where) <= width else line]


def _verdicts(board: Board) -> list[Text]:
    loading = not board.verdicts.torch and board.torch
    torch = board.torch if loading else f"{board.verdicts.torch:,}"
    return [Text.assemble("verdicts  ", (f"torch {torch}  baseline {board.verdicts.baseline:,}", "dim"))]
