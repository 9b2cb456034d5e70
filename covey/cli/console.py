"""Where the commands draw: a terminal as wide as it is, or plain text of a width of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["PLAIN_WIDTH", "open_console", "printable"]

PLAIN_WIDTH = 120


def open_console() -> Console:
    """The standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def printable(text: str, encoding: str) -> str:
    """One line that any terminal can show, whatever a server or an error says; ASCII where it is no UTF."""
    line = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(line.split()) if text.strip() else text
    if encoding.lower().startswith("utf"):
        return line
    return line.replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)
