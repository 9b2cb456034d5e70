"""What the hot path measures: one message in 16, and every slow one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covey import Agent, Swarm, handles
from covey.observability.recent import BOUNDS_S, RecentMessages


class Worker(Agent):
    @handles
    def plain(self, number: int) -> int:
        return number

    @handles
    async def attended(self, text: str) -> str:
        return text

    @handles
    def slow(self, seconds: float) -> None:
        time.sleep(seconds)

    @handles
    async def slow_too(self, seconds: bytes) -> None:
        await asyncio.sleep(float(seconds))


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=1e-12, trace_directory=tmp_path) as running:
        yield running


def recent(swarm: Swarm) -> RecentMessages:
    sink: Any = swarm._running.sink
    found: RecentMessages = sink.recent
    return found


def fast_of(swarm: Swarm, message_type: type) -> int:
    return sum(m.message_type is message_type and not m.slow for m in recent(swarm))


def test_one_plain_message_in_16_is_recorded_whatever_the_size_of_the_turns(swarm: Swarm) -> None:
    ref = swarm.spawn(Worker, "a")
    for number in range(800):
        ref.tell(number)
    for number in range(800):
        ref.ask(number).get()
    slow = sum(m.slow for m in recent(swarm))  # a machine may hold a message up
    assert abs(fast_of(swarm, int) - 100) <= 1 + slow


def test_one_attended_message_in_16_is_recorded(swarm: Swarm) -> None:
    ref = swarm.spawn(Worker, "a")
    for _ in range(160):
        ref.ask("x").get()
    slow = sum(m.slow for m in recent(swarm))
    assert abs(fast_of(swarm, str) - 10) <= 1 + slow


@pytest.mark.parametrize("message", [0.02, b"0.02"])
def test_every_slow_message_is_recorded(swarm: Swarm, message: Any) -> None:
    ref = swarm.spawn(Worker, "a")
    for _ in range(3):
        ref.ask(message).get()
    found = [m for m in recent(swarm) if m.message_type is type(message)]
    assert [m.slow for m in found] == [True] * 3
    assert all(m.took_s >= 0.019 for m in found)
    assert sum(recent(swarm).histogram("worker")) == len(recent(swarm))


def test_a_time_falls_into_the_first_bucket_that_holds_it() -> None:
    messages = RecentMessages(kept=2)
    for took_s in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1] * 2):
        messages.add("worker", int, took_s, slow=False)
    counts = messages.histogram("worker")
    assert (counts[0], counts[1], counts[-1], sum(counts)) == (2, 1, 1, 4)
    assert len(messages) == 2  # the ring is bounded, the histogram counts all
    assert messages.histogram("nobody") == ()
