"""The plot of cost per message: drawn from rows, never from a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import agents
from benchmarks.harness import BenchmarkError
from benchmarks.row import Row, row_of


def cost(system: str, size: int, us: float) -> Row:
    return row_of(system, f"cost per message among {size:,} live agents", "us", "lower", [us, us * 2])


ROWS = [
    cost("covey", 1, 0.9),
    cost("covey", 1_000_000, 1.1),
    cost("pykka", 1, 5.0),
    cost("pykka", 5_000, 40.0),
]


def test_the_plot_is_written_as_svg_and_png_with_both_curves_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[bench]'")
    agents.plot(ROWS, tmp_path / "deep" / "cost.svg")
    drawn = (tmp_path / "deep" / "cost.svg").read_text()
    for text in ("live agents in one process", "microseconds", "Covey", "Pykka", "1,000,000"):
        assert text in drawn
    assert (tmp_path / "deep" / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_rows_give_the_same_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[bench]'")
    for name in ("one.svg", "other.svg"):
        agents.plot(ROWS, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_rows_without_a_cost_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no cost per message to draw"):
        agents.plot([row_of("covey", "starting agents", "agents/s", "higher", [1.0])], tmp_path / "cost.svg")
