"""One sample of many plain NATS clients.

`ask URL CLIENTS PREFIX TYPE EACH SECONDS`: client n asks `PREFIX.n` for an echo of a reading, sent as an
envelope with that type's name. All answers are checked. First EACH asks of each client, one after the other,
all clients at once; then one ask a second of each, evenly spread, for SECONDS.

`idle URL CLIENTS MONITOR`: they only connect; by how much the server grows, it says itself at that URL.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from urllib.request import urlopen

from benchmarks.asking import Ask, ask_by_the_clock, ask_in_turn
from benchmarks.child import give_sample
from benchmarks.plain_client import PlainClient
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES, Reading
from benchmarks.statistics import quantile
from covey.framework.proto.envelope_pb2 import Envelope

CONNECTING_AT_ONCE = 100
OTHER_FILES = 64
REMAINING_MS = 60_000
SERVER_LOOKS_WITHIN_S = 3.0
"""It measures its own memory from time to time."""


def room_for(clients: int) -> int:
    """As many of them as this process may open files for, after raising its limit as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or clients + OTHER_FILES <= hard:
        return clients
    room = hard - OTHER_FILES
    print(f"{clients} clients need more open files than {hard}: {room} take part", file=sys.stderr)
    return room


async def connect(url: str, count: int) -> list[PlainClient]:
    """So many clients, each with its own connection."""
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def one(number: int) -> PlainClient:
        async with gate:
            return await PlainClient.connect(url, f"_INBOX.plain.{number}")

    return list(await asyncio.gather(*map(one, range(count))))


def asking(client: PlainClient, subject: str, type_name: str) -> Ask:
    """What asks with one client and raises when the answer is none, or not the right one."""

    async def ask(number: int) -> None:
        reading = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
        question = Envelope(
            kind=Envelope.ASK,
            message_id=number + 1,
            type=type_name,
            payload=reading.SerializeToString(),
            remaining_ms=REMAINING_MS,
        )
        answer = Envelope.FromString(await client.request(subject, question.SerializeToString()))
        if (answer.kind, answer.message_id, answer.type, answer.payload) != (
            Envelope.REPLY,
            question.message_id,
            type_name,
            question.payload,
        ):
            kind = Envelope.Kind.Name(answer.kind)
            raise ValueError(f"{subject} answered {number} with {kind} {answer.type} {answer.payload!r}")

    return ask


async def measure_answers(url: str, count: int, prefix: str, type_name: str, each: int, seconds: int) -> None:
    """Connect all, ask, and give the sample."""
    clients = await connect(url, count)
    asks = [asking(client, f"{prefix}.{number}", type_name) for number, client in enumerate(clients)]
    await asyncio.gather(*(ask(0) for ask in asks))
    started = time.perf_counter()
    taken = await asyncio.gather(*(ask_in_turn(ask, each) for ask in asks))
    took_s = time.perf_counter() - started
    busy_s = [wait_s for waits_s in taken for wait_s in waits_s]

    async def ask_next(number: int) -> None:
        await asks[number % count](number)

    calm_s, _ = await ask_by_the_clock(ask_next, count * seconds, count)
    for client in clients:
        client.close()
    give_sample(
        clients=len(clients),
        requests_per_s=len(busy_s) / took_s,
        busy_p50_ms=quantile(busy_s, 0.5) * 1e3,
        busy_p99_ms=quantile(busy_s, 0.99) * 1e3,
        calm_p50_ms=quantile(calm_s, 0.5) * 1e3,
        calm_p99_ms=quantile(calm_s, 0.99) * 1e3,
    )


async def measure_server(url: str, count: int, monitor: str) -> None:
    """Connect all and see what the server takes for them."""
    before = await asyncio.to_thread(_memory_bytes, monitor)
    clients = await connect(url, count)
    await asyncio.sleep(SERVER_LOOKS_WITHIN_S)
    grown = await asyncio.to_thread(_memory_bytes, monitor) - before
    for client in clients:
        client.close()
    give_sample(server_kib=grown / count / 1024)


def _memory_bytes(monitor: str) -> int:
    with urlopen(f"{monitor}/varz", timeout=10) as answer:
        return int(json.load(answer)["mem"])


def main(what: str, url: str, clients: str, *more: str) -> None:
    count = room_for(int(clients))
    if what == "idle":
        asyncio.run(measure_server(url, count, *more))
    else:
        prefix, type_name, each, seconds = more
        asyncio.run(measure_answers(url, count, prefix, type_name, int(each), int(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
