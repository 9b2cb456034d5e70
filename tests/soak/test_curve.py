"""The verdict on a curve: what counts as growth, with curves made by hand."""

from __future__ import annotations

from collections import Counter

from tests.soak.census import Census
from tests.soak.curve import FEWEST, growths, table

MIB = 1 << 20


def curve(
    *, replies: list[int] | None = None, rss_mib: list[float] | None = None, blocks: list[int] | None = None
) -> list[Census]:
    """Nine quiet points, flat but for what is given."""
    return [
        Census(
            at_s=float(n),
            sent=1_000 * n,
            asked=100 * n,
            rss_bytes=int((rss_mib[n] if rss_mib else 50.0) * MIB),
            blocks=blocks[n] if blocks else 200_000,
            threads=13,
            objects=Counter({"Reply": replies[n] if replies else 100, "Cell": 2_600}),
        )
        for n in range(9)
    ]


def test_a_curve_that_stays_where_it_is_is_flat() -> None:
    assert growths(curve()) == []


def test_a_curve_that_wavers_without_rising_is_flat() -> None:
    wavering = [100, 103, 101, 99, 102, 100, 103, 101, 102]
    mib = [50.0, 50.8, 50.1, 50.6, 50.0, 50.7, 50.2, 50.9, 50.4]
    assert growths(curve(replies=wavering, rss_mib=mib)) == []


def test_one_object_more_in_every_round_is_growth() -> None:
    assert growths(curve(replies=list(range(100, 109)))) == [
        "Reply: at most 102 in the first third, 107 in the last"
    ]


def test_a_few_more_are_none_where_quiet_points_differ_by_as_many() -> None:
    assert growths(curve(replies=[100] * 6 + [102] * 3), waver=2) == []
    assert growths(curve(replies=[100] * 6 + [103] * 3), waver=2) != []


def test_five_percent_more_resident_memory_is_growth() -> None:
    assert growths(curve(rss_mib=[50.0] * 6 + [52.4] * 3)) == []
    assert growths(curve(rss_mib=[50.0] * 6 + [52.6] * 3)) == ["resident memory: 50.00 MiB, then 52.60 MiB"]


def test_four_mebibytes_are_growth_however_large_the_process_is() -> None:
    assert growths(curve(rss_mib=[1_000.0] * 6 + [1_004.0] * 3)) == [
        "resident memory: 1000.00 MiB, then 1004.00 MiB"
    ]


def test_more_blocks_of_memory_are_growth() -> None:
    assert growths(curve(blocks=[200_000] * 6 + [203_000] * 3)) == ["blocks of memory: 200000, then 203000"]


def test_a_curve_that_is_too_short_gets_no_verdict() -> None:
    assert growths(curve()[:8]) == [f"only 8 quiet points: no verdict with fewer than {FEWEST}"]


def test_the_table_shows_both_ends_of_a_long_curve_in_a_few_rows() -> None:
    rows = table(curve() * 20).splitlines()
    assert len(rows) == 16
    assert rows[1].split()[0] == "0.0"
    assert rows[-1].split()[0] == "8.0"
