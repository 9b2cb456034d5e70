"""Measures asks across nodes: from the demo's process to monitors on other nodes, ten a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from covey import Agent, AskTimeoutError, CoveyError, every

from ..screen.board_events import AskLatency
from .messages import Ping
from .monitor import Monitor

__all__ = ["AskProbe"]

PERIOD_S = 0.1
TIMEOUT_S = 1.0
KEPT = 2_000
SHOWN_EVERY = 10


class AskProbe(Agent):
    """Asks the monitors in turn. A slow answer delays no later ask, and a timeout counts as what it took."""

    trace = "off"
    concurrency = 16

    def __init__(self, patients: Sequence[str], show: Callable[[AskLatency], None]) -> None:
        super().__init__()
        self._patients = patients
        self._show = show
        self._took_ms: deque[float] = deque(maxlen=KEPT)
        self._asked = self._answered = 0

    @every(PERIOD_S)
    async def ask_next(self) -> None:
        patient = self._patients[self._asked % len(self._patients)]
        self._asked += 1
        started = time.perf_counter()
        try:
            await self.agent(Monitor, patient).ask(Ping(), timeout=TIMEOUT_S)
        except AskTimeoutError:
            pass  # an answer that never came took at least this long
        except CoveyError:
            return  # its node died: the screen shows that
        self._took_ms.append((time.perf_counter() - started) * 1e3)
        self._answered += 1
        if self._answered % SHOWN_EVERY == 0:
            self._show(self._latency())

    def _latency(self) -> AskLatency:
        ordered = sorted(self._took_ms)
        return AskLatency(
            p50_ms=ordered[len(ordered) // 2],
            p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
            count=self._answered,
        )
