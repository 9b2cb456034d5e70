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
    """The nodes, the latest crashes of agents, restarts, asks and verdicts, in at most `rows` lines."""
    figures = [*_restarts(board), *_asks(board, width), *_verdicts(board)]
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
    """Who crashed under which supervisor, how soon it was back, and how many were restarted with it."""
    took = "" if crash.down_s is None else f"{crash.down_s * 1000:.0f} ms"
    back = f"back in {took}" if took else "restarting"
    style = "green" if took else "yellow"
    siblings = f" +{crash.siblings}" if crash.siblings else ""
    with_it = f", {crash.siblings} with it" if crash.siblings else ""
    branch, who = crash.supervisor.rpartition("/")[2], _within(crash)
    path = f"{crash.supervisor}: " if crash.supervisor else ""
    branch = f"{branch}: " if branch else ""
    wordings = (
        (f"{path}{who} crashed, ", f"{back}{with_it}"),
        (f"{path}{who} ", f"{back}{siblings}"),
        (f"{branch}{who} ", f"{back}{siblings}"),
        (f"{branch}{who} ", f"{took or back}{siblings}"),
    )
    words, outcome = next((w for w in wordings if 2 + len(w[0]) + len(w[1]) <= width), wordings[-1])
    room = max(6, width - 2 - len(outcome))
    words = words if len(words) <= room else f"…{words[1 - room :]}"  # its end tells more
    return Text.assemble(("↻ ", style), words, (outcome, style))


def _within(crash: Crash) -> str:
    """What tells the agent from its siblings: the end of its key, else its kind."""
    kind, _, key = crash.address.partition("/")
    branch = crash.supervisor.rpartition("/")[2]
    if not crash.supervisor:
        return crash.address
    if key in (branch, "main"):
        return kind
    return key.removeprefix(f"{branch}.")


def _restarts(board: Board) -> list[Text]:
    """The sum, once there is more than one."""
    if board.crash_count < 2:
        return []
    figures = f"{board.restart_count} of {board.crash_count} crashes, +{board.sibling_count} siblings"
    style = "dim" if board.restart_count == board.crash_count else "yellow"
    return [Text.assemble("restarts  ", (figures, style))]


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
