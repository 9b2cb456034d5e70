"""One sample of a node that dies under load: `URL kill|stop AGENTS PER_S`.

Three nodes host the agents, each a process; this one hosts nothing, asks all of them all the time, and takes
the time from the signal until each agent of the dead node has answered from another process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import ExitStack

from benchmarks.child import give_sample, serving
from benchmarks.failover_agents import WhereAreYou, Worker
from benchmarks.node_covey import SWARM
from covey import AgentRef, CoveyError, NodeLeft, Swarm

HOSTS = 3
ASK_WITHIN_S = 10.0
BACK_WITHIN_S = 30.0
AGAIN_S = 0.002
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Load:
    """Asks the agents in turn, by the clock, whatever becomes of the answers, and counts what fails."""

    def __init__(self, refs: list[AgentRef], per_s: int) -> None:
        self.asked = self.failed = 0
        self._refs, self._per_s = refs, per_s
        self._asks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        started = time.monotonic()
        while True:
            while self.asked < (time.monotonic() - started) * self._per_s:
                task = asyncio.create_task(self._ask(self._refs[self.asked % len(self._refs)]))
                self._asks.add(task)
                task.add_done_callback(self._asks.discard)
                self.asked += 1
            await asyncio.sleep(0.001)

    async def _ask(self, ref: AgentRef) -> None:
        try:
            await ref.ask(WhereAreYou(), timeout=ASK_WITHIN_S)
        except CoveyError:
            self.failed += 1

    async def settle(self) -> None:
        """Wait for the answers that are on their way."""
        if self._asks:
            await asyncio.wait(self._asks, timeout=ASK_WITHIN_S + 1.0)


async def measure(swarm: Swarm, victim: int, how: signal.Signals, agents: int, per_s: int) -> None:
    refs = [swarm.agent(Worker, f"w{number}") for number in range(agents)]
    homes = [(await ref.ask(WhereAreYou(), timeout=ASK_WITHIN_S)).pid for ref in refs]
    lost = [ref for ref, home in zip(refs, homes, strict=True) if home == victim]
    noticed_at: list[float] = []
    swarm.on_event(lambda _event: noticed_at.append(time.monotonic()), NodeLeft)
    load = Load(refs, per_s)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(0.5)
    killed_at = time.monotonic()
    os.kill(victim, how)

    async def back(ref: AgentRef) -> float:
        while True:
            try:
                home = await ref.ask(WhereAreYou(), timeout=ASK_WITHIN_S)
                if home.pid != victim:
                    return time.monotonic()
            except CoveyError:
                await asyncio.sleep(AGAIN_S)

    async with asyncio.timeout(BACK_WITHIN_S):
        back_at = await asyncio.gather(*map(back, lost))
    running.cancel()
    await load.settle()
    give_sample(
        noticed_ms=(noticed_at[0] - killed_at) * 1e3,
        first_ms=(min(back_at) - killed_at) * 1e3,
        all_ms=(max(back_at) - killed_at) * 1e3,
        lost=len(lost),
        failed=load.failed,
        asked=load.asked,
    )


def main(url: str, how: str, agents: int, per_s: int) -> None:
    with ExitStack() as stack:
        pids = [
            int(stack.enter_context(serving("benchmarks.failover_host", url, f"host-{number}")))
            for number in range(HOSTS)
        ]
        swarm = stack.enter_context(Swarm.connect(url, name=SWARM, node="asker", hosts=[]))
        if not swarm.wait_for_nodes(HOSTS + 1):
            sys.exit("the hosts were not seen within 10 s")
        try:
            asyncio.run(measure(swarm, pids[0], SIGNALS[how], agents, per_s))
        finally:
            if how == "stop":
                os.kill(pids[0], signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
