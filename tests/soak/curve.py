"""Whether a curve of memory is flat: pure functions of the censuses at quiet points."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.soak.census import Census

__all__ = ["FEWEST", "GROWTH_BYTES", "GROWTH_SHARE", "growths", "table"]

FEWEST = 9
"""Quiet points that a verdict needs."""
GROWTH_SHARE = 0.05
GROWTH_BYTES = 4 << 20
"""Resident memory may not grow by either of these from the first third of the run to the last.

Its pages fragment a little for minutes. In a run of a minute 5 % are about five bytes for each message that
was sent: no leak is as small. What a round leaks shows in the counts of objects.
"""
BLOCKS_SHARE = 0.01
"""As much may the allocator's pieces grow: they know no pages, so they waver less."""
ROWS = 15


def growths(curve: Sequence[Census], waver: int = 0) -> list[str]:
    """What has grown from the first third of the curve to the last, in words; empty when it is flat.

    An object type has grown when its median in the last third is above its highest count in the first: as
    every round sends the same, one object more in every other round is enough. `waver` is how many more of a
    type are none, where quiet points differ by as many.
    """
    if len(curve) < FEWEST:
        return [f"only {len(curve)} quiet points: no verdict with fewer than {FEWEST}"]
    third = len(curve) // 3
    first, last = curve[:third], curve[-third:]
    found = []
    for kind in sorted({kind for census in last for kind in census.objects}):
        before = max(census.objects[kind] for census in first)
        after = median(census.objects[kind] for census in last)
        if after > before + waver:
            found.append(f"{kind}: at most {before} in the first third, {after:g} in the last")
    threads = median(census.threads for census in last)
    if threads > max(census.threads for census in first):
        found.append(f"threads: {max(census.threads for census in first)}, then {threads:g}")
    blocks = [median(census.blocks for census in part) for part in (first, last)]
    if blocks[1] - blocks[0] >= BLOCKS_SHARE * blocks[0]:
        found.append(f"blocks of memory: {blocks[0]:g}, then {blocks[1]:g}")
    rss = [median(census.rss_bytes for census in part) for part in (first, last)]
    if rss[1] - rss[0] >= min(GROWTH_SHARE * rss[0], GROWTH_BYTES):
        found.append(f"resident memory: {_mib(rss[0])} MiB, then {_mib(rss[1])} MiB")
    return found


def table(curve: Sequence[Census]) -> str:
    """The curve in at most 15 rows, evenly spaced, its ends included."""
    count = min(ROWS, len(curve))
    chosen = [round(n * (len(curve) - 1) / max(1, count - 1)) for n in range(count)]
    lines = ["    at s   rss MiB    blocks   objects   threads      sent      asks"]
    for number in chosen:
        c = curve[number]
        lines.append(
            f"{c.at_s:8.1f} {_mib(c.rss_bytes):>9} {c.blocks:9d} {c.objects.total():9d} {c.threads:9d} "
            f"{c.sent:9d} {c.asked:9d}"
        )
    return "\n".join(lines)


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / (1 << 20):.2f}"
