"""The wheel of deadlines: who expires when, and what is kept of those that have left."""

from __future__ import annotations

import math
import threading

from hypothesis import given
from hypothesis import strategies as st

from covey.framework.deadlines import EMPTY_KEPT, TICK_S, Bucket, DeadlineWheel

HOUR_S = 3600.0


class Item:
    """Counts how often it expired."""

    def __init__(self) -> None:
        self.expired = 0

    def expire(self) -> None:
        self.expired += 1


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60), st.integers(1, 4))
def test_who_stays_expires_once_and_at_most_a_tick_late_whatever_is_dropped_meanwhile(
    waits: list[tuple[float, bool]], most: int
) -> None:
    wheel = DeadlineWheel()
    staying: list[tuple[float, Item]] = []
    for deadline, leaves in waits:
        item = Item()
        wheel._most = most  # the next bucket drops the empty ones
        bucket = wheel.add(item, deadline)
        if leaves:
            bucket.discard(item)
        else:
            staying.append((deadline, item))
    assert len(wheel) == len(staying)
    for now in sorted(deadline for deadline, _ in staying):
        wheel.expire_until(now)
        assert not any(item.expired for deadline, item in staying if deadline >= now)
        assert all(item.expired for deadline, item in staying if deadline < now - TICK_S - 1e-9)
    wheel.expire_until(101.0)
    assert all(item.expired == 1 for _, item in staying)
    assert (wheel.next_s, len(wheel)) == (math.inf, 0)


def test_buckets_of_a_far_deadline_do_not_pile_up_when_all_have_left_them() -> None:
    wheel, stays = DeadlineWheel(), Item()
    wheel.add(stays, 0.5 * HOUR_S)
    for number in range(20_000):
        item = Item()
        wheel.add(item, HOUR_S + number * TICK_S).discard(item)
    assert len(wheel._buckets) <= EMPTY_KEPT
    assert len(wheel._heap) == len(wheel._buckets)
    assert wheel.next_s <= 0.5 * HOUR_S + TICK_S
    assert wheel.expire_until(0.5 * HOUR_S + TICK_S) == 1
    assert stays.expired == 1


def test_who_joins_a_bucket_while_it_is_dropped_expires_all_the_same() -> None:
    class Joining(Bucket):
        """Somebody joins it when it was found to be empty."""

        looks = 0

        def __bool__(self) -> bool:
            type(self).looks += 1
            if self.looks == 2:
                self.add(late)
            return len(self) > 0

    wheel, late = DeadlineWheel(), Item()
    joining = wheel._buckets[7] = Joining(7, wheel._retire)
    wheel._heap.append(7)
    wheel._most = 1
    wheel.add(Item(), 10.0)
    assert joining.retired
    assert wheel.expire_until(7 * TICK_S) == 1
    assert late.expired == 1


def test_many_threads_join_and_leave_while_empty_buckets_are_dropped() -> None:
    wheel = DeadlineWheel()
    staying: list[Item] = []

    def work(number: int) -> None:
        for turn in range(5_000):
            item = Item()
            wheel._most = 1
            bucket = wheel.add(item, (turn % 50) * TICK_S)
            if turn % 10:
                bucket.discard(item)
            else:
                staying.append(item)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    wheel.expire_until(1.0)
    assert len(staying) == 4 * 500
    assert all(item.expired for item in staying)
