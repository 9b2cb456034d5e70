"""The journal of a demo run: one JSON line for each fault injected and each repair started or ended.

Writers in any process append whole lines (O_APPEND, one write each, so lines never mix); readers follow.
Times are `time.time()`.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class FaultInjected:
    """A patient was told to misbehave, and took it."""

    fault_id: str
    kind: str
    patient: str
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class InjectionFailed:
    """A patient could not be told to misbehave, mostly because it is down already."""

    fault_id: str
    kind: str
    patient: str
    reason: str
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class RepairStarted:
    """A remedy is about to be applied to a patient."""

    patient: str
    remedy: str
    incident: str
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class RepairEnded:
    """A remedy was applied; `ok` is what the repairer itself found afterwards."""

    patient: str
    remedy: str
    incident: str
    ok: bool
    at: float = field(default_factory=time.time)


Entry = FaultInjected | InjectionFailed | RepairStarted | RepairEnded

_TYPES: Mapping[str, type[Entry]] = {
    "injected": FaultInjected,
    "injection_failed": InjectionFailed,
    "repair_started": RepairStarted,
    "repair_ended": RepairEnded,
}
_NAMES = {entry_type: name for name, entry_type in _TYPES.items()}


class Journal:
    """Appends entries to the file at `path`, from any thread and any process at once."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def write(self, entry: Entry) -> None:
        """Append one entry as one line; it is visible to readers when this returns. Raises OSError."""
        line = json.dumps({"type": _NAMES[type(entry)], **asdict(entry)}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


class JournalReader:
    """Follows the journal at `path`, which need not exist yet. Not for several threads at once."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._offset = 0

    def read(self) -> list[Entry]:
        """The entries written since the last call, in file order, without waiting.

        Raises ValueError for a line that is no entry.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [_parse(line) for line in whole.splitlines()]


def _parse(line: bytes) -> Entry:
    try:
        fields: dict[str, Any] = json.loads(line)
        return _TYPES[fields.pop("type")](**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not an entry of the journal: {line!r}") from error
