"""The registry of the ward: one JSON file that says which patients there are and where they run.

The ward alone writes it, whole and atomically; anybody may read it at any time. Patients get new process
ids when they are restarted, so readers read again instead of keeping what they read.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class RegistryError(LookupError):
    """The registry or an entry of it cannot be read."""


@dataclass(frozen=True, slots=True)
class PatientInfo:
    """One patient as the ward last knew it."""

    name: str
    pid: int | None
    """The process, or None while the patient is down and nobody has restarted it."""
    port: int
    url: str
    folder: str
    treated: bool
    """False for the twin, which gets the same faults and which nobody may repair."""
    starts: int
    """How often the ward has started it; 1 before the first restart."""
    started_at: float
    """`time.time()` of the latest start."""


@dataclass(frozen=True, slots=True)
class WardInfo:
    """Where the ward takes orders: loopback TCP, one JSON line each, with the token of this file."""

    pid: int
    port: int
    token: str


class Registry:
    """Reads the registry file at `path`; holds no state, so it can be shared between threads."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def patients(self) -> list[PatientInfo]:
        """All patients in the order in which the ward was given them. Raises RegistryError."""
        return [PatientInfo(**entry) for entry in self._read()["patients"]]

    def patient(self, name: str) -> PatientInfo:
        """The patient called `name`. Raises RegistryError if there is none."""
        patients = self.patients()
        for patient in patients:
            if patient.name == name:
                return patient
        known = ", ".join(patient.name for patient in patients)
        raise RegistryError(f"there is no patient {name!r} in {self.path}; choose one of: {known}")

    def ward(self) -> WardInfo:
        """Where the ward takes orders. Raises RegistryError."""
        return WardInfo(**self._read()["ward"])

    def write(self, ward: WardInfo, patients: Sequence[PatientInfo]) -> None:
        """Replace the whole file atomically; only the ward does this."""
        draft = self.path.with_suffix(".draft")
        content = {"ward": asdict(ward), "patients": [asdict(patient) for patient in patients]}
        draft.write_text(json.dumps(content, indent=1))
        os.replace(draft, self.path)

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
        except OSError as error:
            raise RegistryError(f"cannot read the registry {self.path}; is the ward running?") from error
        return content
