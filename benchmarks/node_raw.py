"""One sample of nats-py used directly: `receive URL [SUBJECT]`, or `send URL TELLS`.

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
from covey.framework.proto.envelope_pb2 import Envelope

__all__ = ["SUBJECT", "Receiver", "connect", "reading_envelope", "serve"]

SUBJECT = "benchmarks.raw"
READING = Reading.DESCRIPTOR.full_name
ARRIVALS = Arrivals.DESCRIPTOR.full_name
YIELD_EVERY = 100
DRAINED_WITHIN_S = 60.0


class Receiver:
    """Counts readings; answers an asked reading with itself, and a question for arrivals with the count."""

    def __init__(self) -> None:
        self.count = self.disorder = 0
        self.last_s = 0.0
        self.expected = FIRST_SEQUENCE

    async def on_message(self, received: Any) -> None:
        envelope = Envelope.FromString(received.data)
        if envelope.kind == Envelope.ASK:
            await received.respond(self.answer(envelope).SerializeToString())
            return
        reading = Reading.FromString(envelope.payload)
        if reading.sequence != self.expected:
            self.disorder += 1
        self.expected = reading.sequence + 1
        self.count += 1
        self.last_s = time.monotonic()

    def answer(self, envelope: Envelope) -> Envelope:
        """The envelope that answers this one."""
        if envelope.type == READING:
            reply = Reading.FromString(envelope.payload)
        else:
            reply = Arrivals(
                count=self.count, disorder=self.disorder, last_s=self.last_s, cpu_s=time.process_time()
            )
            self.count = self.disorder = 0
            self.expected = FIRST_SEQUENCE
        return Envelope(
            kind=Envelope.REPLY,
            message_id=envelope.message_id,
            type=reply.DESCRIPTOR.full_name,
            payload=reply.SerializeToString(),
        )


async def connect(url: str) -> Any:
    """A nats-py client that says what goes wrong."""
    return await nats.connect(url, error_cb=_report)


async def serve(url: str, subject: str, on_message: Any) -> None:
    """Call back with each message, with limits above all that is sent, until standard input closes."""
    connection = await connect(url)
    await connection.subscribe(
        subject, cb=on_message, pending_msgs_limit=10_000_000, pending_bytes_limit=1 << 30
    )
    await connection.flush()
    await asyncio.to_thread(announce_ready)
    await connection.close()


def reading_envelope(kind: Any, number: int) -> Envelope:
    """A reading on its way: number 0 is the first."""
    payload = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
    return Envelope(
        kind=kind,
        message_id=number + 1,
        type=READING,
        target="sink/a",
        payload=payload.SerializeToString(),
    )


async def send(url: str, tells: int) -> None:
    """Measure tells to a receiver that is already there."""
    connection = await connect(url)
    before = await _tell(connection, tells // 10)
    started_s, cpu_s = time.monotonic(), time.process_time()
    arrivals = await _tell(connection, tells)
    cpu_s = time.process_time() - cpu_s + arrivals.cpu_s - before.cpu_s
    give_sample(messages_per_s=tells / (arrivals.last_s - started_s), cpu_us=cpu_s / tells * 1e6)
    await connection.close()


async def _tell(connection: Any, count: int) -> Any:
    for number in range(count):
        await connection.publish(SUBJECT, reading_envelope(Envelope.TELL, number).SerializeToString())
        if not number % YIELD_EVERY:
            await asyncio.sleep(0)
    question = Envelope(kind=Envelope.ASK, message_id=count + 1, type=ARRIVALS, target="sink/a")
    reply = await connection.request(SUBJECT, question.SerializeToString(), timeout=DRAINED_WITHIN_S)
    arrivals = Arrivals.FromString(Envelope.FromString(reply.data).payload)
    if arrivals.count != count:
        sys.exit(f"{count} messages were sent and {arrivals.count} arrived")
    if arrivals.disorder:
        sys.exit(f"{arrivals.disorder} of {count} messages were not the next one when they arrived")
    return arrivals


async def _report(error: Exception) -> None:
    print(f"nats-py: {error!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        subject = sys.argv[3] if len(sys.argv) > 3 else SUBJECT
        asyncio.run(serve(sys.argv[2], subject, Receiver().on_message))
    else:
        asyncio.run(send(sys.argv[2], int(sys.argv[3])))
