"""How the benchmarks ask: in turn, at once and by the clock. No test looks at a speed."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.asking import ask_at_once, ask_by_the_clock, ask_in_turn


class Asked:
    """Stands for a system: notes what it is asked, and how much at once."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.in_flight = self.most = 0

    async def ask(self, number: int) -> None:
        self.numbers.append(number)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0.001)
        self.in_flight -= 1


def test_in_turn_the_next_is_asked_once_the_one_before_is_answered() -> None:
    asked = Asked()
    waits_s = asyncio.run(ask_in_turn(asked.ask, 10))
    assert asked.numbers == list(range(10))
    assert asked.most == 1
    assert len(waits_s) == 10


def test_at_once_so_many_are_in_flight_and_each_is_asked_once() -> None:
    asked = Asked()
    asyncio.run(ask_at_once(asked.ask, 100, 8))
    assert sorted(asked.numbers) == list(range(100))
    assert asked.most == 8


def test_by_the_clock_asks_do_not_wait_for_answers() -> None:
    answered = asyncio.Event()

    async def ask(number: int) -> None:
        if number == 9:
            answered.set()
        await answered.wait()

    waits_s, late_s = asyncio.run(asyncio.wait_for(ask_by_the_clock(ask, 10, 1_000), 10))
    assert len(waits_s) == len(late_s) == 10


def test_by_the_clock_a_hold_up_counts_for_all_asks_that_were_due_meanwhile() -> None:
    async def ask(number: int) -> None:
        if number == 0:
            asyncio.get_running_loop().call_soon(hold_up)

    def hold_up() -> None:
        deadline = asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < deadline:
            pass

    waits_s, late_s = asyncio.run(ask_by_the_clock(ask, 100, 1_000))
    # Of those due in the first half of the hold-up each has waited for the other half, or longer.
    assert sum(wait_s >= 0.045 for wait_s in waits_s) >= 45
    assert sum(wait_s >= 0.045 for wait_s in late_s) >= 45


@pytest.mark.parametrize("way", ["in turn", "at once", "by the clock"])
def test_a_wrong_answer_ends_the_measurement(way: str) -> None:
    async def ask(number: int) -> None:
        if number == 3:
            raise ValueError("the answer of another one")

    async def measure() -> None:
        if way == "in turn":
            await ask_in_turn(ask, 10)
        elif way == "at once":
            await ask_at_once(ask, 10, 2)
        else:
            await ask_by_the_clock(ask, 10, 1_000)

    with pytest.raises((ValueError, ExceptionGroup)) as raised:
        asyncio.run(measure())
    error = raised.value
    assert "the answer of another one" in str(error.exceptions[0] if type(error) is ExceptionGroup else error)
