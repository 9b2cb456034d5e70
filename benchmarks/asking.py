"""Three ways to ask from within one event loop: one after the other, many at once, and by the clock.

The same code asks with every system: `ask(number)` makes one ask and raises if the answer is wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ["Ask", "ask_at_once", "ask_by_the_clock", "ask_in_turn"]

Ask = Callable[[int], Awaitable[None]]


async def ask_in_turn(ask: Ask, count: int) -> list[float]:
    """Each as soon as the one before it is answered; returns how long each took, in seconds."""
    waits_s = []
    for number in range(count):
        started = time.perf_counter()
        await ask(number)
        waits_s.append(time.perf_counter() - started)
    return waits_s


async def ask_at_once(ask: Ask, count: int, at_once: int) -> float:
    """So many are always in flight, until all are answered; returns the seconds for all."""
    numbers = iter(range(count))

    async def go_on() -> None:
        for number in numbers:
            await ask(number)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(go_on())
    return time.perf_counter() - started


async def ask_by_the_clock(ask: Ask, count: int, per_s: float) -> tuple[list[float], list[float]]:
    """So many a second, each at its time, whether those before it are answered or not.

    Returns:
        In seconds, how long after *its time* each was answered, and how long after it each was sent. From
        its time, so that a system which holds up the asker has to answer for the asks that wait meanwhile.
        (The timers of an event loop wake up to 1 ms late: that is in the first figure of every system.)
    """
    waits_s: list[float] = []
    sent_late_s: list[float] = []

    async def one(number: int, due: float) -> None:
        sent_late_s.append(time.perf_counter() - due)
        await ask(number)
        waits_s.append(time.perf_counter() - due)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begun + number / per_s
            early_s = due - time.perf_counter()
            if early_s > 0:  # those that are due leave together: a round of the loop each would cost more
                await asyncio.sleep(early_s)
            group.create_task(one(number, due))
    return waits_s, sent_late_s
