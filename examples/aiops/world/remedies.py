"""What agents can do for a patient, on real processes and files, and how they check that it helped.

Everything here blocks for up to its deadline, so it belongs into an agent with a thread of its own. Every
remedy may be applied any number of times; where there is nothing to do it says so and changes nothing.
"""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from .registry import PatientInfo, Registry
from .vitals import Vitals, VitalsProbe, descendants
from .ward_client import WardError, order

DEADLINE_S = 3.0
VERIFY_DEADLINE_S = 2.0
POLL_S = 0.1

HEALTHY_STREAK = 4
RSS_LIMIT_MB = 80.0
FOLDER_LIMIT_MB = 10.0
GROWTH_LIMIT_MB = 4.0
"""More than this while it is being watched counts as still growing; a leak makes 7 MB in that time."""


class Remedy(StrEnum):
    """What can be done for a patient."""

    RESTART = "restart"
    KILL_CHILD = "kill_child"
    FREE_FOLDER = "free_folder"
    RESUME = "resume"


class RemedyError(RuntimeError):
    """A remedy could not be applied; `remedy` and `patient` say which."""

    def __init__(self, remedy: str, patient: str, reason: str) -> None:
        super().__init__(f"{remedy} of {patient} failed: {reason}")
        self.remedy = remedy
        self.patient = patient


@dataclass(frozen=True, slots=True)
class Applied:
    """What a remedy did."""

    changed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a patient is well, and if not, what was still wrong last."""

    ok: bool
    reason: str


def apply(remedy: str, name: str, registry: Registry, deadline_s: float = DEADLINE_S) -> Applied:
    """Apply a remedy to the patient called `name`, within `deadline_s`.

    Raises RemedyError (also for a patient that nobody may treat, and for a remedy that does not exist),
    and RegistryError when the ward is gone.
    """
    patient = registry.patient(name)
    if not patient.treated:
        raise RemedyError(remedy, name, "it is the untreated twin and stays as it is")
    try:
        match remedy:
            case Remedy.RESTART:
                return _restart(patient, registry, deadline_s)
            case Remedy.KILL_CHILD:
                return _kill_child(patient.pid, deadline_s)
            case Remedy.FREE_FOLDER:
                return _free_folder(Path(patient.folder), deadline_s)
            case Remedy.RESUME:
                return _resume(patient.pid)
            case _:
                known = ", ".join(Remedy)
                raise RemedyError(remedy, name, f"there is no such remedy; choose one of: {known}")
    except (OSError, WardError, psutil.Error) as error:
        raise RemedyError(remedy, name, str(error)) from error


def verify(name: str, registry: Registry, deadline_s: float = VERIFY_DEADLINE_S) -> Verification:
    """Watch the patient until it is well or `deadline_s` has passed.

    Well means: four measurements in a row, 0.1 s apart, that all answer in time, with memory, folder and
    children normal and nothing growing. Raises RegistryError.
    """
    until = time.monotonic() + deadline_s
    measuring = VitalsProbe(registry, name)
    streak: list[Vitals] = []
    while True:
        vitals = measuring.measure_blocking()
        reason = complaint(vitals)
        streak = [*streak, vitals][-HEALTHY_STREAK:] if reason is None else []
        if len(streak) == HEALTHY_STREAK:
            reason = _growth(streak[0], vitals)
            if reason is None:
                return Verification(True, f"{name} is well")
        if time.monotonic() + POLL_S > until:
            return Verification(False, f"{name}: {reason or 'not watched for long enough'}")
        time.sleep(POLL_S)


def complaint(vitals: Vitals) -> str | None:
    """What is wrong with a patient in this measurement, in a few words, or None."""
    if not vitals.alive:
        return "the process is gone"
    if not vitals.up:
        return f"no good answer within {vitals.latency_ms:.0f} ms"
    if vitals.children:
        return f"{vitals.children:.0f} child process(es) running"
    if vitals.rss_mb > RSS_LIMIT_MB:
        return f"{vitals.rss_mb:.0f} MB of memory, more than {RSS_LIMIT_MB:.0f}"
    if vitals.folder_mb > FOLDER_LIMIT_MB:
        return f"{vitals.folder_mb:.0f} MB in its folder, more than {FOLDER_LIMIT_MB:.0f}"
    return None


def _growth(first: Vitals, last: Vitals) -> str | None:
    if last.rss_mb - first.rss_mb > GROWTH_LIMIT_MB:
        return "memory is still growing"
    if last.folder_mb - first.folder_mb > GROWTH_LIMIT_MB:
        return "its folder is still growing"
    return None


def _restart(patient: PatientInfo, registry: Registry, deadline_s: float) -> Applied:
    order(registry, "restart", patient.name, deadline_s)
    return Applied(True, f"process {registry.patient(patient.name).pid} took the place of {patient.pid}")


def _kill_child(pid: int | None, deadline_s: float) -> Applied:
    if pid is None:
        return Applied(False, "the process is gone, and its children with it")
    children = descendants(psutil.Process(pid))
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    if not children:
        return Applied(False, "it has no child process")
    _, left = psutil.wait_procs(children, deadline_s)
    if left:
        raise TimeoutError(f"child process {left[0].pid} is still there after {deadline_s:g} s")
    return Applied(True, f"killed child process {', '.join(str(child.pid) for child in children)}")


def _free_folder(folder: Path, deadline_s: float) -> Applied:
    spool = folder / "spool"
    doomed = folder / f"spool.{time.monotonic_ns()}"
    try:
        # Renamed first: whoever writes into it loses it at once, and cannot race its removal.
        os.rename(spool, doomed)
    except FileNotFoundError:
        return Applied(False, "its folder has no spool")
    until = time.monotonic() + deadline_s
    while doomed.exists():
        shutil.rmtree(doomed, ignore_errors=True)
        if time.monotonic() > until:
            raise TimeoutError(f"{doomed} is still there after {deadline_s:g} s")
    return Applied(True, "removed its spool")


def _resume(pid: int | None) -> Applied:
    if pid is None:
        return Applied(False, "the process is gone; only a restart brings it back")
    process = psutil.Process(pid)
    if process.status() != psutil.STATUS_STOPPED:
        return Applied(False, "the process is not stopped")
    process.send_signal(signal.SIGCONT)
    return Applied(True, f"process {pid} goes on")
