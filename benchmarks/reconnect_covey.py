"""One sample of two Covey nodes whose server is killed and comes back: `PER_S AWAY_S`."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.child import give_sample, serving
from benchmarks.node_covey import SWARM, await_host
from benchmarks.reconnecting import KilledServer, ask_through_an_outage
from benchmarks.remote_ask_covey import reading
from benchmarks.sink import Echo, Sink
from covey import CoveyError, Swarm

ASK_WITHIN_S = 30.0


def main(per_s: int, away_s: float) -> None:
    """Measure from a node that hosts nothing; the asks are awaited outside of it."""
    with (
        KilledServer() as server,
        serving("benchmarks.remote_ask_covey", "receive", server.url),
        Swarm.connect(server.url, name=SWARM, hosts=[]) as swarm,
    ):
        sink = swarm.agent(Sink, "a")
        await_host(sink)

        async def ask() -> None:
            await sink.ask(Echo(reading=reading(0)), timeout=ASK_WITHIN_S)

        outage = asyncio.run(ask_through_an_outage(ask, CoveyError, server, per_s, away_s))
        give_sample(back_ms=outage.back_ms, failed=outage.failed, asked=outage.asked)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
