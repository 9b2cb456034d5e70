"""One sample of what the machine allows at most: `deque|decode|threads TELLS HOPS ASKS`."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue

from benchmarks.child import give_sample
from benchmarks.local_covey import IN_THE_RING, RING
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES, Reading
from benchmarks.statistics import quantile
from covey.framework.proto.envelope_pb2 import Envelope


@dataclass
class Tick:
    number: int


@dataclass
class Hop:
    left: int


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def take(self, tick: Tick) -> None:
        self.count += 1


class Runner:
    """Puts the next hop into the mailbox of the next one."""

    def __init__(self, ready: deque[Runner]) -> None:
        self.ready = ready
        self.mailbox: deque[Hop] = deque()
        self.next_one = self

    def tell(self, hop: Hop) -> None:
        self.mailbox.append(hop)
        self.ready.append(self)

    def hop(self, hop: Hop) -> None:
        if hop.left:
            self.next_one.tell(Hop(hop.left - 1))


def loop(tells: int, hops: int) -> None:
    """Append, pop and call, as bare as Python can."""
    give_sample(
        tells_per_s=tells / _tell(tells),
        hops_per_s=hops / _hop(2, 1, hops),
        ring_hops_per_s=hops / _hop(RING, IN_THE_RING, hops),
    )


def decode(count: int) -> None:
    """Decode an envelope and its payload of 128 bytes."""
    reading = Reading(series=SERIES, sequence=FIRST_SEQUENCE, value=0.5, note=NOTE)
    data = Envelope(
        kind=Envelope.TELL,
        message_id=1,
        type=Reading.DESCRIPTOR.full_name,
        target="sink/a",
        payload=reading.SerializeToString(),
    ).SerializeToString()
    for _ in range(count // 10):
        Reading.FromString(Envelope.FromString(data).payload)
    started = time.perf_counter()
    for _ in range(count):
        Reading.FromString(Envelope.FromString(data).payload)
    give_sample(tells_per_s=count / (time.perf_counter() - started))


def threads(count: int) -> None:
    """Hand one object to another thread and get it back."""
    there: SimpleQueue[int | None] = SimpleQueue()
    back: SimpleQueue[int | None] = SimpleQueue()

    def serve() -> None:
        while (item := there.get()) is not None:
            back.put(item)

    thread = threading.Thread(target=serve)
    thread.start()
    waits_s = []
    for number in range(count + count // 10):
        started = time.perf_counter()
        there.put(number)
        back.get()
        waits_s.append(time.perf_counter() - started)
    there.put(None)
    thread.join()
    waits_s = waits_s[count // 10 :]
    give_sample(ask_us=sum(waits_s) / count * 1e6, ask_p50_us=quantile(waits_s, 0.5) * 1e6)


def _tell(count: int) -> float:
    mailbox: deque[Tick] = deque()
    take, tick = Counter().take, Tick(1)
    started = time.perf_counter()
    for _ in range(count):
        mailbox.append(tick)
    while mailbox:
        take(mailbox.popleft())
    return time.perf_counter() - started


def _hop(runners: int, messages: int, count: int) -> float:
    ready: deque[Runner] = deque()
    ring = [Runner(ready) for _ in range(runners)]
    for number, runner in enumerate(ring):
        runner.next_one = ring[(number + 1) % runners]
    step = runners // messages
    started = time.perf_counter()
    for number in range(messages):
        ring[number * step].tell(Hop(count // messages - 1))
    while ready:
        runner = ready.popleft()
        runner.hop(runner.mailbox.popleft())
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1] == "deque":
        loop(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "decode":
        decode(int(sys.argv[2]))
    else:
        threads(int(sys.argv[4]))
