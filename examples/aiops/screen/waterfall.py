"""One incident as a waterfall: a bar for each step, to scale, in at most four lines of text."""

from __future__ import annotations

from .board_faults import Fault, Incident

__all__ = ["choose", "waterfall"]

STEPS = ("detect", "decide", "repair", "verify")
BAR = "█"


def choose(faults: list[Fault]) -> tuple[Fault, Incident] | None:
    """The newest fault that went all the way from injected to verified; a traced one before others."""
    complete = [
        (fault, seen) for fault in faults if (seen := fault.incident) is not None and seen.is_complete
    ]
    return max(complete, key=lambda pair: (bool(pair[1].trace_id), pair[0].injected_at), default=None)


def waterfall(fault: Fault, width: int = 36) -> list[str]:
    """The steps of `fault` as bars `width` columns long altogether; empty unless it was verified."""
    stages = fault.stages()
    times = [stage.at for stage in stages if stage.at is not None]
    if len(times) < len(stages):
        return []
    times = [max(times[: i + 1]) for i in range(len(times))]  # clocks of processes differ by a hair
    begin, span = times[0], max(times[-1] - times[0], 1e-9)
    lines = []
    for i, step in enumerate(STEPS):
        left = round((times[i] - begin) / span * width)
        right = round((times[i + 1] - begin) / span * width)
        left = min(left, width - 1)
        bar = " " * left + BAR * max(1, right - left)
        took_s = times[i + 1] - times[i]
        lines.append(f"  {step:<7} {bar:<{width}} {_duration(took_s):>8}  {stages[i + 1].note}".rstrip())
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
