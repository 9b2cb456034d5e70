"""The demo's supervision tree: who supervises whom, as a function of the patients. Nothing here starts it.

```
demo                     one_for_one; runs in the demo's own process
├─ desk                  in the demo's own process
├─ decision_centre       on any node, as everybody below but the probe
├─ forecaster            on the node that has torch, if there is one
├─ api                   rest_for_one: who is depended on comes first
│  ├─ repairer
│  ├─ detector ...       one for each series
│  └─ monitor
├─ ...                   the same for each patient
├─ host                  rest_for_one: its detectors, then its monitor
└─ ask_probe             in the demo's own process; asks the monitors, so it comes last
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from covey import Backoff, Child, Supervisor
from covey.framework.supervision.child import ANY_NODE
from covey.framework.supervision.supervisor import Strategy

from ..reasoning.series import HOST_TRAITS, PATIENT_TRAITS
from .decision_centre import DecisionCentre
from .detector import Detector
from .forecaster_agent import Forecaster
from .monitor import HOST, HostMonitor, Monitor, series_key
from .repairer import Repairer
from .surroundings import FORECASTER

__all__ = ["INTENSITY", "ROOT", "branches", "root"]

ROOT = "demo"
INTENSITY = 5
"""Restarts within `PERIOD_S` beyond those that the demo causes itself."""
PERIOD_S = 10.0
BACKOFF = Backoff(initial_s=0.02, max_s=0.1, reset_s=5.0)
"""So short that what crashes for ever uses up any intensity within the period, however many crashes are
injected: the supervisor gives up on it and nothing else."""
REPAIRER_SHUTDOWN_S = 1.0
"""A repair that goes on when the run ends is not waited for."""


def root(desk: Child, *, crashes: int = 0) -> Supervisor:
    """The tree's root with the desk alone: it has to be there before the nodes, which tell it things.

    `crashes` is how many crashes will be injected: none of them is a reason to give up.
    """
    return _supervisor([desk], ROOT, "one_for_one", crashes)


def branches(
    patients: Sequence[str], probe: Child, *, forecaster: bool, crashes: int = 0
) -> list[Child | Supervisor]:
    """What grows from the root, in order, once the nodes are there."""
    centre = Child(DecisionCentre, "main", node=ANY_NODE)
    model = [Child(Forecaster, FORECASTER[1], node=ANY_NODE)] if forecaster else []
    host = [*_detectors(HOST, HOST_TRAITS), Child(HostMonitor, HOST, node=ANY_NODE)]
    return [
        centre,
        *model,
        *(_supervisor(_crew(patient), patient, "rest_for_one", crashes) for patient in patients),
        _supervisor(host, HOST, "rest_for_one", crashes),
        probe,
    ]


def _crew(patient: str) -> list[Child]:
    """Who looks after one patient."""
    repairer = Child(Repairer, patient, node=ANY_NODE, shutdown_s=REPAIRER_SHUTDOWN_S)
    monitor = Child(Monitor, patient, node=ANY_NODE, shutdown_s=0)  # half a measurement is worth nothing
    return [repairer, *_detectors(patient, PATIENT_TRAITS), monitor]


def _detectors(subject: str, metrics: Iterable[str]) -> list[Child]:
    return [Child(Detector, series_key(subject, metric), node=ANY_NODE) for metric in metrics]


def _supervisor(
    children: Sequence[Child | Supervisor], name: str, strategy: Strategy, crashes: int
) -> Supervisor:
    return Supervisor(
        children,
        name=name,
        strategy=strategy,
        intensity=INTENSITY + crashes,
        period_s=PERIOD_S,
        backoff=BACKOFF,
    )
