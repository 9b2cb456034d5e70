from __future__ import annotations

import pytest

from covey.observability import RecordedSpan, group_traces, layout, pick_traces
from covey.observability.waterfall import duration_text


def span(
    span_id: str, parent_id: str, name: str, start: float, duration_s: float, **changes: object
) -> RecordedSpan:
    values: dict[str, object] = {"trace_id": "t1", "service": "shop", "node": "n1", **changes}
    return RecordedSpan(
        span_id=span_id,
        parent_id=parent_id,
        name=name,
        start=start,
        duration_s=duration_s,
        **values,  # type: ignore[arg-type]
    )


CONVERSATION = [
    span("d", "b", "decide", 100.5, 0.25, service="pricer", node="n2"),
    span("a", "", "send pricer", 100.0, 0.0),
    span("b", "a", "process pricer", 100.25, 0.75, service="pricer", node="n2"),
    span(
        "c", "b", "process stock", 100.5, 0.5, service="stock", status="error",
        attributes={"error.type": "KeyError"},
    ),
]  # fmt: skip


def picture(spans: list[RecordedSpan], width: int, *, ascii_only: bool = False) -> list[str]:
    return [str(row) for row in layout(spans, width, ascii_only=ascii_only)]


def test_a_trace_is_drawn_as_a_waterfall() -> None:
    assert picture(CONVERSATION, 80) == [
        "send pricer        shop       0 us  •                             0 us",
        "└ process pricer   pricer   250 ms        ███████████████████   750 ms",
        "  └ process stock  stock    500 ms              ████████████    500 ms  KeyError",
        "  └ decide         pricer   500 ms              ██████          250 ms",
    ]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert picture(CONVERSATION, 80, ascii_only=True) == [
        "send pricer        shop       0 us  .                             0 us",
        "`-process pricer   pricer   250 ms        ###################   750 ms",
        "  `-process stock  stock    500 ms              ############    500 ms  KeyError",
        "  `-decide         pricer   500 ms              ######          250 ms",
    ]


def test_a_narrow_terminal_cuts_labels_not_times() -> None:
    assert picture(CONVERSATION, 50) == [
        "send pr…  shop       0 us  •            0 us",
        "└ proce…  pricer   250 ms    ██████   750 ms",
        "  └ pro…  stock    500 ms      ████   500 ms  KeyError",
        "  └ dec…  pricer   500 ms      ██     250 ms",
    ]


def test_a_span_whose_parent_is_missing_stands_at_the_margin() -> None:
    assert picture([span("a", "", "root", 1.0, 1.0), span("b", "gone", "left", 1.5, 0.5)], 80) == [
        "root  shop     0 us  ██████████████████████████████████   1.00 s",
        "left  shop   500 ms                   █████████████████   500 ms  parent missing",
    ]


def test_a_node_whose_clock_is_behind_is_moved_to_its_parent_with_all_below() -> None:
    rows = layout(
        [
            span("a", "", "root", 100.0, 1.0),
            span("b", "a", "child", 90.0, 0.5, node="n2"),
            span("c", "b", "grandchild", 90.25, 0.25, node="n2"),
        ]
    )
    assert [(row.offset.strip(), row.note) for row in rows] == [
        ("0 us", ""),
        ("0 us", "clock"),
        ("250 ms", "clock"),
    ]


def test_a_span_that_began_before_its_parent_on_the_same_node_stays_where_it_was() -> None:
    rows = layout([span("a", "", "root", 100.0, 1.0), span("b", "a", "restart", 99.5, 0.5)])
    assert [(row.offset.strip(), row.note) for row in rows] == [("500 ms", ""), ("0 us", "")]


def test_a_handler_that_was_cancelled_says_so() -> None:
    (row,) = layout([span("a", "", "root", 1.0, 1.0, attributes={"covey.outcome": "cancelled"})])
    assert row.note == "cancelled"


def test_a_thousand_spans_one_below_the_other_are_drawn_within_the_width() -> None:
    deep = [span(str(n), str(n - 1) if n else "", f"s{n}", float(n), 1.0) for n in range(1_000)]
    lines = picture(deep, 100)
    assert len(lines) == 1_000
    assert max(map(len, lines)) <= 100


def test_spans_that_name_each_other_as_parents_are_drawn_once_each() -> None:
    loop = [
        span("a", "b", "one", 1.0, 1.0),
        span("b", "a", "two", 2.0, 1.0),
        span("c", "c", "self", 3.0, 1.0),
    ]
    assert sorted(row.span.name for row in layout(loop)) == ["one", "self", "two"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert layout([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 us"),
        (0.00042, "420 us"),
        (0.00123, "1.23 ms"),
        (0.0456, "45.6 ms"),
        (0.789, "789 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (754.0, "754 s"),
    ],
)
def test_durations_are_written_in_the_unit_people_use(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_spans_are_grouped_into_traces_oldest_first() -> None:
    later = span("x", "", "tick", 50.0, 1.0, trace_id="t0")
    first, second = group_traces([*CONVERSATION, later])
    assert (first.trace_id, second.trace_id) == ("t0", "t1")
    assert (second.root.name, second.services, second.errors) == (
        "send pricer",
        ["shop", "pricer", "stock"],
        1,
    )
    assert (second.start, second.duration_s) == (100.0, 1.0)


def test_traces_of_several_services_are_picked_before_newer_ones_of_one() -> None:
    ticks = [span("x", "", "tick", 200.0 + n, 1.0, trace_id=f"tick{n}") for n in range(5)]
    picked = pick_traces(group_traces([*ticks, *CONVERSATION]), 3)
    assert [trace.trace_id for trace in picked] == ["t1", "tick3", "tick4"]
