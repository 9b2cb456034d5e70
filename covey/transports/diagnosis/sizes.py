"""Bytes and milliseconds as people read them. Pure."""

from __future__ import annotations

__all__ = ["shown_bytes", "shown_ms"]


def shown_bytes(count: int) -> str:
    """As `64 KiB`, with a decimal where that says more."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"


def shown_ms(ms: float) -> str:
    """As `0.24 ms`, `31 ms` or `2.5 s`."""
    if ms >= 1000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.2f} ms" if ms < 10 else f"{ms:.0f} ms"
