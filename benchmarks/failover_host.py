"""A node that can die: `URL NAME`. It says its process id when it is ready."""

from __future__ import annotations

import os
import sys

from benchmarks.child import announce_ready
from benchmarks.failover_agents import Worker
from benchmarks.node_covey import SWARM
from covey import Swarm

if __name__ == "__main__":
    with Swarm.connect(sys.argv[1], name=SWARM, node=sys.argv[2], hosts=[Worker]):
        announce_ready(str(os.getpid()))
