"""How the demo starts a module of its own in a child process, whatever folder it was called in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["child_command", "child_environment"]

_PACKAGE = (__package__ or "").rpartition(".")[0]


def child_command(module: str) -> list[str]:
    """The command that runs `module`, named relative to this example (`world.ward`).

    `-P` keeps the current folder out of the child's path: it may well have an `examples` of its own.
    """
    return [sys.executable, "-P", "-m", f"{_PACKAGE}.{module}"]


def child_environment() -> dict[str, str]:
    """This process's environment, in which the child finds the same package as this process did."""
    if _PACKAGE.startswith("covey."):
        return dict(os.environ)  # installed beside covey, which any child finds
    checkout = str(Path(__file__).resolve().parents[_PACKAGE.count(".") + 2])
    paths = [checkout, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
