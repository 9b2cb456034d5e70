"""A node process of the demo: `python -m examples.aiops.swarm.node URL SWARM NAME`.

It ends when it is told to (SIGTERM) or when its stdin closes, which is when the demo's process is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path

from covey import Agent, Child, Supervisor, Swarm, every, handles
from covey.framework.events import AgentFailed, AgentRestarted

from .decision_centre import DecisionCentre
from .detector import Detector
from .messages import Account, CrashNews, DeadLetterCount, NodeNews, RestartNews
from .monitor import HostMonitor, Monitor
from .repairer import Repairer
from .surroundings import DESK, surroundings
from .tally import READINGS

__all__ = ["HOSTED", "Reporter", "main"]

HOSTED: tuple[type[Agent], ...] = (Monitor, HostMonitor, Detector, DecisionCentre, Repairer)
DRAIN_S = 1.0
KEPT_CRASHES = 100


class Reporter(Agent):
    """Tells the desk twice a second how its node is, and which of its agents crashed and came back."""

    trace = "off"

    def __init__(self, swarm: Swarm) -> None:
        super().__init__()
        self._swarm = swarm
        self._crashes: deque[CrashNews | RestartNews] = deque(maxlen=KEPT_CRASHES)
        swarm.on_event(self._listen, AgentFailed, AgentRestarted)

    @every(0.5)
    def report(self) -> None:
        self.agent(*DESK).tell(self._news())

    @handles
    def account(self, _account: Account) -> NodeNews:
        return self._news()

    def _news(self) -> NodeNews:
        """The figures of now; what was noted of crashes is told before."""
        while self._crashes:
            self.agent(*DESK).tell(self._crashes.popleft())
        own = next(node for node in self._swarm.nodes() if node.name == self.key)
        counts = self._swarm.dead_letters().counts
        return NodeNews(
            node=self.key,
            pid=os.getpid(),
            agents=own.agents,
            messages=self._swarm.handled,
            dead_letters=[DeadLetterCount(reason=reason, count=count) for reason, count in counts.items()],
            readings=READINGS.counts(),
        )

    def _listen(self, event: AgentFailed | AgentRestarted) -> None:
        """In whichever thread it happened: noted here, told with the next report."""
        if isinstance(event, AgentFailed):
            error = f"{type(event.error).__name__}: {event.error}"[:200]
            self._crashes.append(
                CrashNews(
                    address=event.address,
                    node=self.key,
                    error=error,
                    at=time.time(),
                    supervisor=event.supervisor,
                )
            )
        else:
            self._crashes.append(
                RestartNews(
                    address=event.address,
                    node=self.key,
                    down_s=event.down_s,
                    at=time.time(),
                    supervisor=event.supervisor,
                    cause=event.cause,
                )
            )


def main(url: str, swarm_name: str, node: str, traces: str) -> None:
    """Run until told to end."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    hosts = list(HOSTED)
    if surroundings().torch:
        from .forecaster_agent import Forecaster, load_torch_early

        hosts.append(Forecaster)
        load_torch_early()
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    threading.Thread(target=_watch_parent, args=(told_to_end,), daemon=True, name="parent watch").start()
    ratio = None if "COVEY_TRACE_RATIO" in os.environ else 1.0
    swarm = Swarm.connect(
        url, name=swarm_name, node=node, hosts=hosts, trace_ratio=ratio, trace_directory=Path(traces)
    )
    swarm.start()
    try:
        swarm.dead_letters().subscribe(READINGS.note)
        swarm.supervise(Supervisor([Child(Reporter, node, (swarm,))], name=node))
        print(f"ready; {swarm.traces}", flush=True)
        told_to_end.wait()  # its owner is the demo: the pipe on stdin ends with it
    finally:
        swarm.stop(DRAIN_S)


def _watch_parent(told_to_end: threading.Event) -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock, held here, would disturb the interpreter's end
        continue
    told_to_end.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
