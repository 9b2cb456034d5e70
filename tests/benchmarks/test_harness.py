"""The benchmark harness: rounds and the rows that come of them."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from benchmarks import environment
from benchmarks.harness import BenchmarkError, Measure, System, compare, interleave
from benchmarks.table import print_rows

RATE = Measure("rate", "tell", "messages/s", "higher")


def scripted(name: str, values: list[float], order: list[str]) -> System:
    """A system whose samples are known beforehand; notes in `order` when it is sampled."""
    left: Iterator[float] = iter(values)

    def sample() -> dict[str, float]:
        order.append(name)
        return {"rate": next(left)}

    return System(name, sample)


def failing(name: str, order: list[str]) -> System:
    def sample() -> dict[str, float]:
        order.append(name)
        raise BenchmarkError("no luck")

    return System(name, sample)


class TestRounds:
    def test_the_systems_take_turns_and_the_first_one_rotates(self) -> None:
        order: list[str] = []
        systems = [scripted(name, [1, 2, 3, 4], order) for name in "abc"]
        interleave(systems, 4)
        assert order == [*"abc", *"bca", *"cab", *"abc"]

    def test_samples_stay_with_their_round(self) -> None:
        samples = interleave([scripted("a", [1, 2], []), scripted("b", [4, 5], [])], 2)
        assert samples.rounds == [{"a": {"rate": 1}, "b": {"rate": 4}}, {"a": {"rate": 2}, "b": {"rate": 5}}]

    def test_no_rounds_are_refused(self) -> None:
        with pytest.raises(BenchmarkError, match="at least one pair"):
            interleave([scripted("a", [], []), scripted("b", [], [])], 0)

    def test_a_peer_that_is_not_installed_is_never_sampled(self) -> None:
        order: list[str] = []
        absent = replace(scripted("b", [], order), absent="not installed")
        samples = interleave([scripted("a", [1, 2], order), absent], 2)
        assert order == ["a", "a"]
        assert samples.missing == {"b": "not installed"}

    def test_a_peer_that_fails_is_left_out_from_then_on(self) -> None:
        order: list[str] = []
        peer = replace(failing("b", order), required=False)
        samples = interleave([scripted("a", [1, 2, 3], order), peer], 3)
        assert order == ["a", "b", "a", "a"]
        assert samples.missing == {"b": "failed: no luck"}

    def test_a_required_system_that_fails_ends_the_benchmark(self) -> None:
        with pytest.raises(BenchmarkError, match="no luck"):
            interleave([scripted("a", [1], []), failing("b", [])], 1)


class TestRows:
    def test_the_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_the_medians(self) -> None:
        rows = compare(scripted("a", [10, 20, 90], []), [scripted("b", [1, 10, 30], [])], [RATE], 3)
        assert [(row.system, row.value, row.unit) for row in rows] == [
            ("a", 20, "messages/s"),
            ("b", 10, "messages/s"),
            ("a / b", 3, "ratio"),
        ]
        assert (rows[2].low, rows[2].high, rows[2].coverage, rows[2].pairs) == (2, 10, 0.75, 3)

    def test_a_figure_that_is_missing_or_zero_is_refused_by_name(self) -> None:
        absent = Measure("latency", "ask", "ms", "lower")
        with pytest.raises(BenchmarkError, match="a gave None for latency"):
            compare(scripted("a", [1], []), [scripted("b", [1], [])], [absent], 1)
        with pytest.raises(BenchmarkError, match="b gave 0 for rate"):
            compare(scripted("a", [1], []), [scripted("b", [0], [])], [RATE], 1)

    def test_each_peer_gets_its_own_ratio_and_one_without_the_figure_gets_no_row(self) -> None:
        peers = [
            scripted("b", [2], []),
            replace(scripted("c", [3], []), gives=frozenset({"latency"})),
            scripted("d", [4], []),
        ]
        rows = compare(scripted("a", [8], []), peers, [RATE], 1)
        assert [(row.system, row.value) for row in rows] == [
            ("a", 8),
            ("b", 2),
            ("d", 4),
            ("a / b", 4),
            ("a / d", 2),
        ]

    def test_a_peer_without_figures_has_a_row_that_says_why(self) -> None:
        absent = replace(scripted("b", [], []), absent="not installed: make bench-peers")
        rows = compare(scripted("a", [8], []), [absent], [RATE], 1)
        assert [(row.system, row.value, row.note) for row in rows] == [
            ("a", 8, ""),
            ("b", None, "not installed: make bench-peers"),
        ]
        output = io.StringIO()
        print_rows("local", rows, {}, Console(file=output, width=140))
        assert "not measured" in output.getvalue()
        assert "b: not installed: make bench-peers" in output.getvalue()

    def test_a_figure_that_is_not_compared_has_no_ratio_and_may_be_negative(self) -> None:
        left = Measure("rate", "memory left", "MiB", "lower", compared=False)
        rows = compare(scripted("a", [-2], []), [scripted("b", [0], [])], [left], 1)
        assert [(row.system, row.value) for row in rows] == [("a", -2), ("b", 0)]

    def test_the_table_shows_every_figure_and_where_it_was_measured(self) -> None:
        rows = compare(scripted("a", [1234.5], []), [scripted("b", [617.25], [])], [RATE], 1)
        output = io.StringIO()
        print_rows("local", rows, {"python": "3.11.7", "cpus": "2"}, Console(file=output, width=140))
        shown = output.getvalue()
        for text in ("1,234", "617", "a / b", "tell (higher is better)", "python 3.11.7", "cpus 2"):
            assert text in shown

    def test_the_environment_names_python_and_the_peers(self) -> None:
        facts = environment.describe()
        assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
        assert {"date", "cpus", "pykka", "nats-py", "protobuf"} <= facts.keys()
