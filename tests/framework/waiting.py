"""Waiting for what happens soon, with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic


def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Return once the condition holds; fail after the time."""
    end = monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert monotonic() < end, "it did not come true in time"
        pause.wait(0.002)
