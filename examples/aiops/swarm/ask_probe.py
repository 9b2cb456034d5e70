"""Measures asks across nodes: from the demo's process to monitors on other nodes, ten a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from covey import CoveyError, Swarm

from ..screen.board_events import AskLatency
from .messages import Ping
from .monitor import Monitor

__all__ = ["AskProbe"]

PERIOD_S = 0.1
KEPT = 2_000


class AskProbe:
    """Asks the monitors in turn, in a thread of its own that `stop` ends."""

    def __init__(self, swarm: Swarm, patients: Sequence[str], show: Callable[[AskLatency], None]) -> None:
        self._swarm = swarm
        self._patients = patients
        self._show = show
        self._took_ms: deque[float] = deque(maxlen=KEPT)
        self._count = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ask probe", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; the last figures have been shown when this returns."""
        self._stopping.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            patient = self._patients[self._count % len(self._patients)]
            self._count += 1
            started = time.perf_counter()
            try:
                self._swarm.agent(Monitor, patient).ask(Ping(), timeout=1.0).get()
            except CoveyError:
                continue  # a node that died: its absence is on the screen already
            self._took_ms.append((time.perf_counter() - started) * 1e3)
            if len(self._took_ms) % 10 == 0:
                self._show(self._latency())

    def _latency(self) -> AskLatency:
        ordered = sorted(self._took_ms)
        return AskLatency(
            p50_ms=ordered[len(ordered) // 2],
            p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
            count=len(ordered),
        )
