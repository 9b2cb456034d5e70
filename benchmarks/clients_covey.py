"""One Covey node that any NATS client may ask: `URL AGENTS`."""

from __future__ import annotations

import gc
import sys

from benchmarks.child import announce_ready
from benchmarks.node_covey import SWARM
from benchmarks.sink import Reading
from covey import Agent, Swarm, handles


class Desk(Agent):
    """Answers a reading with itself."""

    @handles
    def echo(self, reading: Reading) -> Reading:
        return reading


def serve(url: str, agents: int) -> None:
    """Serve so many desks, with keys from 0, until standard input closes; says the node's name."""
    with Swarm.connect(url, name=SWARM, hosts=[Desk]) as swarm:
        for number in range(agents):
            swarm.spawn(Desk, str(number))
        gc.freeze()
        (node,) = swarm.nodes()
        announce_ready(node.name)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
