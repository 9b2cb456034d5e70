"""Which fault strikes which patient and when: a pure, seeded plan."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

from .faults import FAULTS, FaultKind
from .ward_client import TWIN

HISTORY_S = 6.0
"""The agents watch healthy patients for this long first (less in runs under 17 s)."""
REPAIR_S = 8.0
"""Time left after the last fault, and between two faults of one patient."""
STEP_S = 2.4
SHORT_STEP_S = 1.2
SHORT_RUN_S = 20.0


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault to inject `at_s` seconds after the start of the run."""

    at_s: float
    patient: str
    kind: FaultKind
    fault_id: str


def plan(seed: int, seconds: float, patients: Sequence[str], twin_of: str | None) -> list[PlannedFault]:
    """The faults of a run of `seconds`, in time order; the same arguments give the same plan.

    Guarantees: at least one fault; two faults of one patient are at least 8 s apart; where there is room
    for six faults on two or more patients, every kind occurs. The patient that has a twin gets the first
    fault and then one about every 8 s, never a spin, and deadly kinds last (a dead twin could take no
    more); its twin gets the same at the same time, as `<fault_id>-twin`.
    """
    rng = random.Random(seed)
    times = _times(rng, seconds)
    struck = _patients(rng, times, patients, twin_of)
    twinned_kinds = _twinned_kinds(rng, sum(patient == twin_of for patient in struck))
    other_kinds = _other_kinds(rng, set(twinned_kinds))
    faults: list[PlannedFault] = []
    twinned = iter(twinned_kinds)
    for number, (at_s, patient) in enumerate(zip(times, struck, strict=True), start=1):
        if patient is None:
            continue
        kind = next(twinned) if patient == twin_of else next(other_kinds)
        fault = PlannedFault(at_s, patient, kind, f"f{number:02}-{kind}-{patient}")
        faults.append(fault)
        if patient == twin_of:
            faults.append(replace(fault, patient=TWIN, fault_id=f"{fault.fault_id}-{TWIN}"))
    return faults


def _times(rng: random.Random, seconds: float) -> list[float]:
    """Moments at which a fault may strike, evenly spread with up to a quarter step of jitter."""
    first = min(HISTORY_S, 0.35 * seconds)
    last = max(first, seconds - REPAIR_S)
    step = SHORT_STEP_S if seconds < SHORT_RUN_S else STEP_S
    slots = int((last - first) / step) + 1
    moments = [min(last, first + slot * step + rng.uniform(0, step / 4)) for slot in range(slots)]
    return [math.floor(100 * moment) / 100 for moment in moments]


def _patients(
    rng: random.Random, times: Sequence[float], patients: Sequence[str], twin_of: str | None
) -> list[str | None]:
    """Who is struck at each moment: the twinned one when it is due, else who was spared longest."""
    never = -2 * REPAIR_S
    last_struck = {name: never - rng.random() for name in patients}
    struck: list[str | None] = []
    for at_s in times:
        due = [name for name in patients if at_s - last_struck[name] >= REPAIR_S]
        due.sort(key=lambda name: (name != twin_of, last_struck[name]))
        if due:
            last_struck[due[0]] = at_s
        struck.append(due[0] if due else None)
    return struck


def _twinned_kinds(rng: random.Random, size: int) -> list[FaultKind]:
    """Kinds for the patient that has a twin: felt at once first, deadly ones last, never a spin."""
    mild = [kind for kind, fault in FAULTS.items() if not fault.deadly and kind is not FaultKind.SPIN]
    deadly = [kind for kind, fault in FAULTS.items() if fault.deadly]
    if size <= 1:
        return [rng.choice([FaultKind.SLOW, *deadly])][:size]
    later = list(
        islice(_shuffled_forever(rng, [kind for kind in mild if not FAULTS[kind].instant]), size - 2)
    )
    return [FaultKind.SLOW, *later, rng.choice(deadly)]


def _other_kinds(rng: random.Random, taken: set[FaultKind]) -> Iterator[FaultKind]:
    """Kinds for everybody else: first those that the twinned patient does not get, then all in turn."""
    missing = [kind for kind in FaultKind if kind not in taken]
    rng.shuffle(missing)
    yield from missing
    for _ in count():
        yield from _shuffled(rng, list(FaultKind))


def _shuffled_forever(rng: random.Random, kinds: list[FaultKind]) -> Iterator[FaultKind]:
    for _ in count():
        yield from _shuffled(rng, kinds)


def _shuffled(rng: random.Random, kinds: list[FaultKind]) -> list[FaultKind]:
    return rng.sample(kinds, len(kinds))
