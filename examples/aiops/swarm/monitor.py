"""Monitors: one for each patient and one for the host, measuring about five times a second."""

from __future__ import annotations

from dataclasses import asdict

from covey import Agent, every, handles

from ..reasoning.series import HOST_TRAITS, PATIENT_TRAITS
from ..world.vitals import HostProbe, VitalsProbe
from .detector import Detector
from .messages import Ping, Pong, Reading, Watch
from .surroundings import surroundings

__all__ = ["HOST", "PERIOD_S", "HostMonitor", "Monitor", "series_key"]

PERIOD_S = 0.2
HOST = "host"


def series_key(subject: str, metric: str) -> str:
    """The key of the detector that judges one metric of a patient or of the host."""
    return f"{subject}.{metric}"


class Monitor(Agent):
    """Measures the patient that is its key, and tells each metric to the series' detector."""

    trace = "off"  # five readings a second are no conversation; a trace begins where one is an anomaly
    concurrency = 2  # it answers a ping also while it waits for a patient that hangs

    def __init__(self) -> None:
        super().__init__()
        self._probe = VitalsProbe(surroundings().registry, self.key)
        self._measuring = False

    @handles
    def watch(self, _watch: Watch) -> None:
        """Being addressed is all it takes: the agent lives from its first message on."""

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
        values = asdict(vitals)
        for metric in PATIENT_TRAITS:
            reading = Reading(value=float(values[metric]), at=vitals.at)
            await self.agent(Detector, series_key(self.key, metric)).tell(reading)


class HostMonitor(Agent):
    """Measures the machine itself."""

    trace = "off"

    def __init__(self) -> None:
        super().__init__()
        self._probe = HostProbe()

    @handles
    def watch(self, _watch: Watch) -> None:
        """As `Monitor.watch`."""

    @every(PERIOD_S)
    async def measure(self) -> None:
        vitals = self._probe.measure()
        values = asdict(vitals)
        for metric in HOST_TRAITS:
            reading = Reading(value=float(values[metric]), at=vitals.at)
            await self.agent(Detector, series_key(HOST, metric)).tell(reading)
