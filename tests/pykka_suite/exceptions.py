"""What agents on the shared loop do not pass of Pykka's suite, and why; `docs/pykka.md` has the same."""

from __future__ import annotations

__all__ = ["LOOP_EXCEPTIONS"]

LOOP_EXCEPTIONS: dict[str, str] = {}
"""Reasons by pytest's id of the test."""
