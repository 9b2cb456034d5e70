"""Lines of the picture: a titled rule, wrapped words, a line cut to the width."""

from __future__ import annotations

from rich.text import Text

__all__ = ["cut", "duration", "rule", "wrapped"]


def rule(title: str, width: int, style: str = "bold") -> Text:
    """A thin line across, with its title at the left."""
    line = Text.assemble(("── ", "dim"), (title, style), " ")
    line.truncate(width)
    return line.append("─" * (width - line.cell_len), "dim")


def cut(line: Text, width: int, *, pad: bool = False) -> Text:
    """A copy of `line` that is at most `width` columns wide, or exactly so with `pad`."""
    copy = line.copy()
    copy.truncate(width, overflow="ellipsis", pad=pad)
    return copy


def wrapped(words: str, width: int, style: str) -> list[Text]:
    """`words` broken at spaces into lines of at most `width` columns."""
    lines: list[str] = []
    for word in words.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [Text(line, style) for line in lines]


def duration(seconds: float) -> str:
    """Seconds as people read them: `20 ms`, `0.4 s`, `2.1 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.0995 else f"{seconds:.1f} s"
