"""One trace as a picture in text: who called whom, when, and for how long. Pure: spans in, rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from covey.observability import names
from covey.observability.jsonl import RecordedSpan

__all__ = ["Row", "duration_text", "layout"]

_MIN_BAR = 8
_MAX_SERVICE = 16
_TIME = 7


@dataclass(frozen=True, slots=True)
class Glyphs:
    branch: str
    bar: str
    instant: str
    cut: str


_UNICODE = Glyphs(branch="└ ", bar="█", instant="•", cut="…")
_ASCII = Glyphs(branch="`-", bar="#", instant=".", cut="~")


@dataclass(frozen=True, slots=True)
class Row:
    """One span's line; all cells but the note are padded, `str()` joins them."""

    label: str
    service: str
    offset: str
    bar: str
    duration: str
    note: str
    span: RecordedSpan

    def __str__(self) -> str:
        cells = (self.label, self.service, self.offset, self.bar, self.duration, self.note)
        return "  ".join(cells).rstrip()


@dataclass(frozen=True, slots=True)
class _Placed:
    """A span at its place in the tree."""

    span: RecordedSpan
    depth: int
    orphan: bool
    """Its parent is named but not among the spans."""
    shift_s: float
    """Added to its start, because its node's clock is behind its parent's."""

    @property
    def start(self) -> float:
        return self.span.start + self.shift_s

    @property
    def end(self) -> float:
        return self.start + self.span.duration_s


def layout(spans: Sequence[RecordedSpan], width: int = 100, *, ascii_only: bool = False) -> list[Row]:
    """The rows of one trace, parents before children, siblings by time, about `width` columns wide.

    A span whose parent is missing stands at the margin with the note "parent missing". A span of another
    node that seems to begin before its parent is moved, with all below it, to the parent's start, and
    noted as "clock" (as Jaeger adjusts clock skew).
    """
    placed = _place(spans)
    if not placed:
        return []
    glyphs = _ASCII if ascii_only else _UNICODE
    origin = min(item.start for item in placed)
    total_s = max(item.end for item in placed) - origin
    service_width = min(max(len(item.span.service) for item in placed), _MAX_SERVICE)
    notes = [_note(item) for item in placed]
    fixed = service_width + 2 * _TIME + 8 + (2 + max(map(len, notes)) if any(notes) else 0)
    free = max(width - fixed, 2 * _MIN_BAR)
    labels = [_label(item, glyphs, deepest=free // 8) for item in placed]
    label_width = min(max(map(len, labels)), free - max(free * 2 // 5, _MIN_BAR))
    bar_width = free - label_width
    return [
        Row(
            label=_fit(label, label_width, glyphs),
            service=_fit(item.span.service, service_width, glyphs),
            offset=duration_text(item.start - origin).rjust(_TIME),
            bar=_bar(item.start - origin, item.span.duration_s, total_s, bar_width, glyphs),
            duration=duration_text(item.span.duration_s).rjust(_TIME),
            note=note,
            span=item.span,
        )
        for item, label, note in zip(placed, labels, notes, strict=True)
    ]


def duration_text(seconds: float) -> str:
    """Three digits or so, in the unit that people would use."""
    if seconds < 0.0005:
        return f"{seconds * 1e6:.0f} us"
    value, unit = (seconds * 1e3, "ms") if seconds < 0.9995 else (seconds, "s")
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def _place(spans: Sequence[RecordedSpan]) -> list[_Placed]:
    """Depth first without recursion (a trace may be a thousand deep); a cycle's members become roots."""
    ordered = sorted(spans, key=lambda span: (span.start, span.span_id))
    known = {span.span_id for span in ordered}
    children: dict[str, list[RecordedSpan]] = {}
    tops: list[RecordedSpan] = []
    for span in ordered:
        if span.parent_id in known and span.parent_id != span.span_id:
            children.setdefault(span.parent_id, []).append(span)
        else:
            tops.append(span)
    placed: list[_Placed] = []
    seen: set[int] = set()
    for top in [*tops, *ordered]:
        stack = [_Placed(top, 0, bool(top.parent_id), 0.0)]
        while stack:
            item = stack.pop()
            if id(item.span) in seen:
                continue
            seen.add(id(item.span))
            placed.append(item)
            below = children.get(item.span.span_id, ())
            stack += [_below(item, child) for child in reversed(below)]
    return placed


def _below(parent: _Placed, child: RecordedSpan) -> _Placed:
    item = _Placed(child, parent.depth + 1, False, parent.shift_s)
    if item.start < parent.start and child.node != parent.span.node:
        return replace(item, shift_s=parent.start - child.start)
    return item


def _label(item: _Placed, glyphs: Glyphs, deepest: int) -> str:
    if item.depth == 0:
        return item.span.name
    return "  " * min(item.depth - 1, deepest) + glyphs.branch + item.span.name


def _note(item: _Placed) -> str:
    notes = []
    if item.span.failed:
        notes.append(str(item.span.attributes.get(names.ERROR_TYPE, "error")))
    elif outcome := item.span.attributes.get(names.OUTCOME):
        notes.append(str(outcome))
    if item.orphan:
        notes.append("parent missing")
    if item.shift_s:
        notes.append("clock")
    return ", ".join(notes)


def _fit(text: str, width: int, glyphs: Glyphs) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + glyphs.cut


def _bar(offset_s: float, duration_s: float, total_s: float, width: int, glyphs: Glyphs) -> str:
    if total_s <= 0.0:
        return glyphs.instant.ljust(width)
    begin = min(int(offset_s / total_s * width), width - 1)
    if duration_s <= 0.0:
        return (" " * begin + glyphs.instant).ljust(width)
    length = min(max(round(duration_s / total_s * width), 1), width - begin)
    return (" " * begin + glyphs.bar * length).ljust(width)
