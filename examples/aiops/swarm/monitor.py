"""Monitors: one for each patient and one for the host, measuring about five times a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from covey import Agent, every, handles

from ..reasoning.series import HOST_TRAITS, PATIENT_TRAITS
from ..world.vitals import HostProbe, VitalsProbe
from .crashing import Crashing
from .detector import Detector
from .messages import Ping, Pong, Reading
from .surroundings import surroundings
from .tally import READINGS

__all__ = ["HOST", "PERIOD_S", "HostMonitor", "Monitor", "series_key"]

PERIOD_S = 0.2
HOST = "host"


def series_key(subject: str, metric: str) -> str:
    """The key of the detector that judges one metric of a patient or of the host."""
    return f"{subject}.{metric}"


class Monitor(Crashing):
    """Measures the patient that is its key, and tells each metric to the series' detector."""

    trace = "off"  # five readings a second are no conversation; a trace begins where one is an anomaly
    concurrency = 2  # it answers a ping also while it waits for a patient that hangs

    def __init__(self) -> None:
        super().__init__()
        self._probe = VitalsProbe(surroundings().registry, self.key)
        self._measuring = False

    @handles
    def ping(self, _ping: Ping) -> Pong:
        return Pong(node=self.address)

    @every(PERIOD_S)
    async def measure(self) -> None:
        if self._measuring:
            return  # the patient has not answered the probe before: this one is left out
        self._measuring = True
        try:
            vitals = await self._probe.measure()
        finally:
            self._measuring = False
        await _tell_detectors(self, asdict(vitals), PATIENT_TRAITS)


class HostMonitor(Agent):
    """Measures the machine itself."""

    trace = "off"

    def __init__(self) -> None:
        super().__init__()
        self._probe = HostProbe()

    @every(PERIOD_S)
    async def measure(self) -> None:
        await _tell_detectors(self, asdict(self._probe.measure()), HOST_TRAITS)


async def _tell_detectors(monitor: Agent, vitals: dict[str, Any], metrics: Iterable[str]) -> None:
    for metric in metrics:
        reading = Reading(value=float(vitals[metric]), at=vitals["at"])
        told = monitor.agent(Detector, series_key(monitor.key, metric)).tell(reading)
        READINGS.sent += 1  # before the wait for room, in which the monitor may crash
        await told
