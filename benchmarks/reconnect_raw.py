"""One sample of nats-py whose server is killed and comes back.

`receive URL WAIT_S`; or `measure PER_S AWAY_S WAIT_S`, where WAIT_S is how long nats-py waits between two
attempts to connect.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import nats
import nats.errors

from benchmarks.child import announce_ready, give_sample, serving
from benchmarks.node_raw import Receiver, reading_envelope
from benchmarks.reconnecting import KilledServer, ask_through_an_outage
from covey.framework.proto.envelope_pb2 import Envelope

SUBJECT = "benchmarks.raw.echo"
ASK_WITHIN_S = 5.0
"""nats-py tells nobody of what was in the socket of a killed server: its asks wait for so long."""


async def receive(url: str, wait_s: float) -> None:
    """Answer until standard input closes."""
    connection = await _connect(url, wait_s)
    await connection.subscribe(SUBJECT, cb=Receiver().on_message)
    await connection.flush()
    await asyncio.to_thread(announce_ready)
    await connection.close()


async def measure(per_s: int, away_s: float, wait_s: float) -> None:
    """Ask through an outage."""
    with KilledServer() as server, serving("benchmarks.reconnect_raw", "receive", server.url, str(wait_s)):
        connection = await _connect(server.url, wait_s)
        question = reading_envelope(Envelope.ASK, 0).SerializeToString()

        async def ask() -> None:
            await connection.request(SUBJECT, question, timeout=ASK_WITHIN_S)

        outage = await ask_through_an_outage(ask, nats.errors.Error, server, per_s, away_s)
        give_sample(back_ms=outage.back_ms, failed=outage.failed, asked=outage.asked)
        await connection.close()


async def _connect(url: str, wait_s: float) -> Any:
    async def ignored(_error: Exception) -> None:
        """The outage is meant."""

    return await nats.connect(url, reconnect_time_wait=wait_s, max_reconnect_attempts=-1, error_cb=ignored)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(sys.argv[2], float(sys.argv[3])))
    else:
        asyncio.run(measure(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
