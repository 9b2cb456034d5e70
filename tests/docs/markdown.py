"""The fenced blocks of a Markdown page, with the marker that stands on the line before each.

`<!-- not run: reason -->` leaves a block out; `<!-- file: NAME -->` makes it a file beside the program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]),
    *sorted((ROOT / "examples").glob("*/README.md")),
)

_MARKER = re.compile(r"<!-- (not run|file): (.+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, and where it begins."""

    page: Path
    line: int
    """Number of its first line of code, from 1."""
    language: str
    code: str
    marker: str = ""
    """`not run`, `file`, or nothing."""
    argument: str = ""
    """The reason, or the file's name."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opened is None:
            opened = number
            continue
        before = lines[opened - 1] if opened else ""
        marker = _MARKER.fullmatch(before.strip())
        kind, argument = marker.groups() if marker else ("", "")
        code = "\n".join(lines[opened + 1 : number]) + "\n"
        found.append(Block(page, opened + 2, lines[opened][3:].strip(), code, kind, argument))
        opened = None
    assert opened is None, f"{page.name}: the block that opens on line {opened} is never closed"
    return found


def name_of(page: Path) -> str:
    """The page as it is called from the root of the project."""
    return page.relative_to(ROOT).as_posix()
