"""The plot of cost per message against the number of live agents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import BenchmarkError

__all__ = ["Point", "draw"]

COVEY, PYKKA, INK, FAINT = "#1b6ca8", "#c2571a", "#333333", "#dddddd"


class Point(NamedTuple):
    """The cost of a message among so many agents, and its interval, in microseconds."""

    agents: int
    us: float
    low_us: float
    high_us: float


def draw(covey: Sequence[Point], pykka: Sequence[Point], path: Path) -> tuple[Path, Path]:
    """Write the plot beside `path` with the suffixes .svg and .png, and return where.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter
    except ImportError as error:
        raise BenchmarkError("matplotlib is not installed: pip install -e '.[bench]'") from error
    # The same rows give the same file.
    with mpl.rc_context({"svg.hashsalt": "covey", "svg.fonttype": "none", "font.size": 11}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        for points, colour, label in (
            (pykka, PYKKA, "Pykka (a thread for each actor)"),
            (covey, COVEY, "Covey"),
        ):
            if not points:
                continue
            agents = [point.agents for point in points]
            axes.plot(agents, [point.us for point in points], "o-", color=colour, linewidth=2, label=label)
            lows, highs = [point.low_us for point in points], [point.high_us for point in points]
            axes.fill_between(agents, lows, highs, color=colour, alpha=0.15, linewidth=0)
        axes.set(xscale="log", yscale="log", xlabel="live agents in one process", ylabel="microseconds")
        axes.set_title("Cost of one message, by the number of live agents", loc="left", color=INK)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(*_limits([*covey, *pykka]))
        axes.grid(which="major", color=FAINT, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left")
        path.parent.mkdir(parents=True, exist_ok=True)
        svg, png = path.with_suffix(".svg"), path.with_suffix(".png")
        figure.savefig(svg, metadata={"Date": None})
        figure.savefig(png, dpi=150)
    return svg, png


def _limits(points: Sequence[Point]) -> tuple[float, float]:
    """Whole decades around all points, with at least two, so that a flat line looks flat."""
    low, high = min(point.low_us for point in points), max(point.high_us for point in points)
    bottom, top = 1e-3, 1e-3
    while bottom * 10 <= low:
        bottom *= 10
    while top < high or top < bottom * 100:
        top *= 10
    return bottom, top
