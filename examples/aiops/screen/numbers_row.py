"""Availability with agents against availability without, as two big numbers."""

from __future__ import annotations

import math

from rich.text import Text

from .board import Board
from .digits import big
from .lines import cut

__all__ = ["big_percent", "health_style", "numbers"]

GOOD = 0.95
FAIR = 0.80
CLEARLY = 0.05


def health_style(share: float | None) -> str:
    """Green, yellow or red for a share of answered probes; dim while nothing is known."""
    if share is None:
        return "dim"
    if share >= GOOD:
        return "green"
    return "yellow" if share >= FAIR else "red"


def big_percent(share: float | None, digits: int = 1) -> str:
    """The share in percent, rounded down: 100 % means that not one probe failed."""
    if share is None:
        return "--"
    if share >= 1:
        return "100%"
    factor = 10**digits
    return f"{math.floor(share * 100 * factor) / factor:.{digits}f}%"


def number_style(share: float | None, other: float | None) -> str:
    """Green for a good share or one clearly above the other's, else red; dim while nothing is known."""
    if share is None:
        return "dim"
    return "green" if share >= GOOD or share - (1.0 if other is None else other) >= CLEARLY else "red"


def numbers(board: Board, width: int, *, tall: bool) -> list[Text]:
    """Two numbers side by side, each above the line that says whose it is."""
    treated, twin, everyone = board.availability_treated, board.availability_twin, board.availability_all
    left_width = width // 2
    all_of_them = f" (all {len(board.patients)}: {everyone * 100:.1f} %)" if everyone is not None else ""
    deed = "with agents" if board.may_repair else "no repairs"
    whose = f"{board.twin_of}, {deed}{all_of_them}"
    left = _number(treated, number_style(treated, twin), tall, left_width, whose)
    if not board.wants_faults:
        return left
    whose = f"{board.twin}, the same faults, no help"
    right = _number(twin, number_style(twin, treated), tall, width - left_width, whose)
    return [cut(a, left_width, pad=True) + b for a, b in zip(left, right, strict=True)]


def _number(share: float | None, style: str, tall: bool, width: int, label: str) -> list[Text]:
    text = big_percent(share)
    if len(big(text, tall=tall)[0]) > width - 1:
        text = big_percent(share, 0)
    lines = [Text.assemble((line, style)) for line in big(text, tall=tall)]
    return [cut(line, width) for line in [*lines, Text(label)]]
