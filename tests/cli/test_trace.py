from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from covey.cli.main import covey
from covey.observability import RecordedSpan

INCIDENT = "aa11" + "0" * 28
TICKS = ["ab22" + "0" * 28, "ab33" + "0" * 28]


def _span(trace_id: str, span_id: str, parent_id: str, name: str, start: float, **changes: object) -> str:
    values: dict[str, object] = {"service": "shop", "node": "n1", "duration_s": 0.5, **changes}
    span = RecordedSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name=name,
        start=start,
        **values,  # type: ignore[arg-type]
    )
    return json.dumps(span.to_json()) + "\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One trace over two nodes and, later, two of one service."""
    (tmp_path / "n1.jsonl").write_text(
        _span(INCIDENT, "1", "", "send pricer", 100.0)
        + "".join(_span(tick, "1", "", "tick [x]", 200.0 + n) for n, tick in enumerate(TICKS))
    )
    (tmp_path / "n2.jsonl").write_text(
        _span(INCIDENT, "2", "1", "process pricer", 100.5, service="pricer", node="n2", status="error")
    )
    return tmp_path


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(covey, ["trace", "--dir", str(directory), *arguments])


def test_traces_are_listed_with_the_newest_last(directory: Path) -> None:
    done = run(directory)
    assert done.exit_code == 0
    head, *rows, hint = done.output.splitlines()
    assert head.split() == ["id", "began", "root", "services", "spans", "duration", "errors"]
    assert [row.split()[0] for row in rows] == ["aa110000", "ab220000", "ab330000"]
    assert "shop, pricer" in rows[0]
    assert rows[0].split()[-4:] == ["2", "1.00", "s", "1"]
    assert "tick [x]" in rows[2]
    assert "covey trace last" in hint
    assert "\x1b" not in done.output


def test_a_short_list_keeps_the_trace_that_crosses_services_and_says_what_it_left_out(
    directory: Path,
) -> None:
    done = run(directory, "--last", "1")
    _, row, hint = done.output.splitlines()
    assert row.startswith("aa110000")
    assert hint.startswith("2 more not listed (--last 3 lists all)")


def test_a_trace_is_drawn_by_the_first_digits_of_its_id(directory: Path) -> None:
    done = run(directory, "AA1", "--width", "70")
    head, *rows = done.output.splitlines()
    assert head.startswith(f"trace {INCIDENT}")
    assert "1.00 s  2 spans, 1 with errors, 2 services" in head
    assert rows == [
        "send pricer       shop       0 us  ██████████            500 ms",
        "└ process pricer  pricer   500 ms           ██████████   500 ms  error",
    ]


def test_last_is_the_newest_trace(directory: Path) -> None:
    assert TICKS[1] in run(directory, "last").output


def test_json_has_the_list_and_the_spans(directory: Path) -> None:
    listed = json.loads(run(directory, "--json").output)
    assert [row["trace_id"] for row in listed] == [INCIDENT, *TICKS]
    assert listed[0]["services"] == ["shop", "pricer"]
    drawn = json.loads(run(directory, "aa", "--json").output)
    assert [span["name"] for span in drawn["spans"]] == ["send pricer", "process pricer"]
    assert drawn["errors"] == 1


def test_an_ambiguous_id_names_those_that_it_could_be(directory: Path) -> None:
    done = run(directory, "ab")
    assert done.exit_code == 2
    assert done.output == "error: 2 traces begin with 'ab', say more digits: ab220000, ab330000\n"


def test_an_unknown_id_says_where_to_look(directory: Path) -> None:
    done = run(directory, "ff")
    assert done.exit_code == 2
    assert done.output == "error: no trace begins with 'ff' among 3: `covey trace` lists them\n"


def test_where_there_are_no_traces_it_says_where_it_looked_and_how_to_make_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVEY_TRACE_DIR", str(tmp_path / "nowhere"))
    done = CliRunner().invoke(covey, ["trace"])
    assert done.exit_code == 2
    assert done.output.startswith(
        f"error: no traces in {tmp_path / 'nowhere'}: make some with `covey demo aiops`"
    )
