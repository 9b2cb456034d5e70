"""Big digits from block characters: five pixels high, drawn tall (five lines) or low (three lines)."""

from __future__ import annotations

__all__ = ["LOW_LINES", "TALL_LINES", "big"]

TALL_LINES = 5
LOW_LINES = 3

PIXELS = {
    "0": ("###", "#.#", "#.#", "#.#", "###"),
    "1": (".#.", "##.", ".#.", ".#.", "###"),
    "2": ("###", "..#", "###", "#..", "###"),
    "3": ("###", "..#", ".##", "..#", "###"),
    "4": ("#.#", "#.#", "###", "..#", "..#"),
    "5": ("###", "#..", "###", "..#", "###"),
    "6": ("###", "#..", "###", "#.#", "###"),
    "7": ("###", "..#", "..#", "..#", "..#"),
    "8": ("###", "#.#", "###", "#.#", "###"),
    "9": ("###", "#.#", "###", "..#", "###"),
    "%": ("#.#", "..#", ".#.", "#..", "#.#"),
    "-": ("...", "...", "###", "...", "..."),
    ".": (".", ".", ".", ".", "#"),
    " ": ("..", "..", "..", "..", ".."),
}
HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def big(text: str, *, tall: bool) -> list[str]:
    """`text` (digits, `.`, `%`, `-`, space) as lines of equal width, every pixel two columns wide."""
    gap = ".."
    rows = [gap.join(_wide(PIXELS[char][y]) for char in text) for y in range(TALL_LINES)]
    if tall:
        return [row.replace("#", "█").replace(".", " ") for row in rows]
    rows.append("." * len(rows[0]))
    return [_halves(upper, lower) for upper, lower in zip(rows[::2], rows[1::2], strict=True)]


def _wide(row: str) -> str:
    return "".join(pixel * 2 for pixel in row)


def _halves(upper: str, lower: str) -> str:
    return "".join(HALVES[u == "#", v == "#"] for u, v in zip(upper, lower, strict=True))
