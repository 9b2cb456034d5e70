"""One sample of nats-py used directly: `receive URL`, or `send URL TELLS ASKS`.

Each message is one NATS message: a `Reading` in an `Envelope`, encoded here and decoded there.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import nats

from benchmarks.child import announce_ready, give_sample
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES, Arrivals, Reading
from benchmarks.statistics import quantile
from covey.framework.proto.envelope_pb2 import Envelope

SUBJECT = "benchmarks.raw"
READING = Reading.DESCRIPTOR.full_name
ARRIVALS = Arrivals.DESCRIPTOR.full_name
YIELD_EVERY = 100
DRAINED_WITHIN_S = 60.0


class Receiver:
    """Counts readings; answers an asked reading with itself, and a question for arrivals with the count."""

    def __init__(self) -> None:
        self.count = 0
        self.last_s = 0.0

    async def on_message(self, received: Any) -> None:
        envelope = Envelope.FromString(received.data)
        if envelope.kind == Envelope.ASK:
            await received.respond(self.answer(envelope).SerializeToString())
            return
        Reading.FromString(envelope.payload)
        self.count += 1
        self.last_s = time.monotonic()

    def answer(self, envelope: Envelope) -> Envelope:
        if envelope.type == READING:
            reply = Reading.FromString(envelope.payload)
        else:
            reply = Arrivals(count=self.count, last_s=self.last_s)
            self.count = 0
        return Envelope(
            kind=Envelope.REPLY,
            message_id=envelope.message_id,
            type=reply.DESCRIPTOR.full_name,
            payload=reply.SerializeToString(),
        )


async def receive(url: str) -> None:
    """Serve until standard input closes."""
    connection = await nats.connect(url, error_cb=_report)
    await connection.subscribe(
        SUBJECT,
        cb=Receiver().on_message,
        pending_msgs_limit=10_000_000,
        pending_bytes_limit=1 << 30,
    )
    await connection.flush()
    await asyncio.to_thread(announce_ready)
    await connection.close()


async def send(url: str, tells: int, asks: int) -> None:
    """Measure tells, then asks, against a receiver that is already there."""
    connection = await nats.connect(url, error_cb=_report)
    await _tell(connection, tells // 10)
    started_s = time.monotonic()
    arrivals = await _tell(connection, tells)
    rate = tells / (arrivals.last_s - started_s)
    await _ask(connection, asks // 10)
    waits_s = await _ask(connection, asks)
    give_sample(
        messages_per_s=rate,
        ask_p50_ms=quantile(waits_s, 0.5) * 1000,
        ask_p99_ms=quantile(waits_s, 0.99) * 1000,
    )
    await connection.close()


async def _tell(connection: Any, count: int) -> Any:
    for number in range(count):
        payload = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
        envelope = Envelope(
            kind=Envelope.TELL,
            message_id=number + 1,
            type=READING,
            target="sink/a",
            payload=payload.SerializeToString(),
        )
        await connection.publish(SUBJECT, envelope.SerializeToString())
        if not number % YIELD_EVERY:
            await asyncio.sleep(0)
    question = Envelope(kind=Envelope.ASK, message_id=count + 1, type=ARRIVALS, target="sink/a")
    reply = await connection.request(SUBJECT, question.SerializeToString(), timeout=DRAINED_WITHIN_S)
    arrivals = Arrivals.FromString(Envelope.FromString(reply.data).payload)
    if arrivals.count != count:
        sys.exit(f"{count} messages were sent and {arrivals.count} arrived")
    return arrivals


async def _ask(connection: Any, count: int) -> list[float]:
    waits_s = []
    for number in range(count):
        started_s = time.perf_counter()
        payload = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
        question = Envelope(
            kind=Envelope.ASK,
            message_id=number + 1,
            type=READING,
            target="sink/a",
            payload=payload.SerializeToString(),
        )
        reply = await connection.request(SUBJECT, question.SerializeToString(), timeout=5.0)
        Reading.FromString(Envelope.FromString(reply.data).payload)
        waits_s.append(time.perf_counter() - started_s)
    return waits_s


async def _report(error: Exception) -> None:
    print(f"nats-py: {error!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(sys.argv[2]))
    else:
        asyncio.run(send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
