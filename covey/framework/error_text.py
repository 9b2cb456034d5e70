"""An error in one line, whatever its `__str__` does."""

from __future__ import annotations

from covey.framework.dead_letters import clip_text

__all__ = ["ERROR_CHARS", "REPORT_CHARS", "encodable", "error_text"]

ERROR_CHARS = 200
REPORT_CHARS = 2_000
"""Of the text of an error in a report."""


def error_text(error: BaseException, limit: int = ERROR_CHARS) -> str:
    """Type and message, cut to the limit."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - a broken __str__ must not cost more than the text
        text = f"its text cannot be shown: __str__ raised {type(broken).__name__}"
    return clip_text(f"{name}: {text}" if text else name, limit)


def encodable(text: str) -> str:
    """The text, such that UTF-8 can hold it: lone surrogates are spelled out."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
