"""The six kinds of fault of the demo: what each does to a service, and what puts it right."""

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What a patient can be told to do wrong, as `POST /fault {"kind": ...}`."""

    LEAK = "leak"
    SPIN = "spin"
    SLOW = "slow"
    HANG = "hang"
    CRASH = "crash"
    FILL = "fill"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in words: what happens, when users feel it, and the remedy that ends it."""

    kind: FaultKind
    what: str
    harm: str
    remedy: str
    instant: bool
    """Users feel it with the next request; the others take seconds to build up."""
    deadly: bool
    """The service answers nothing any more, so a later fault cannot even be injected."""

    @property
    def body(self) -> dict[str, str]:
        """The JSON to POST to `/fault` of a patient."""
        return {"kind": str(self.kind)}


FAULTS: dict[FaultKind, Fault] = {
    fault.kind: fault
    for fault in (
        Fault(FaultKind.LEAK, "memory grows by 25 MB/s", "503 after 4 s", "restart", False, False),
        Fault(FaultKind.SPIN, "a runaway child burns a core", "503 at once", "kill_child", True, False),
        Fault(FaultKind.SLOW, "every answer is 0.4 to 0.8 s late", "late at once", "restart", True, False),
        Fault(FaultKind.HANG, "the process is stopped", "no answer at once", "resume", True, True),
        Fault(FaultKind.CRASH, "the process exits", "refused at once", "restart", True, True),
        Fault(FaultKind.FILL, "its folder fills by 20 MB/s", "507 after 2.5 s", "free_folder", False, False),
    )
}
"""Every kind of fault; each has exactly one entry."""
