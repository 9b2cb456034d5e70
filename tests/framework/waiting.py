"""Waiting for what happens soon, with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from covey import Swarm


def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Return once the condition holds; fail after the time."""
    end = monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert monotonic() < end, "it did not come true in time"
        pause.wait(0.002)


@contextmanager
def held_up(swarm: Swarm) -> Iterator[None]:
    """The swarm's agents take no turn meanwhile: what is sent in the block is handled after it."""
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go_on.wait(5)

    swarm._running.dispatcher.call(hold)
    assert held.wait(5)
    try:
        yield
    finally:
        go_on.set()
