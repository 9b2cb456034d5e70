"""Carries out a fault plan: tells patients over HTTP to misbehave and writes each fault to the journal."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from .fault_plan import PlannedFault, plan
from .faults import FAULTS
from .journal import Entry, FaultInjected, InjectionFailed, Journal
from .registry import Registry, RegistryError

__all__ = ["Injector", "PlannedFault", "plan"]

POST_DEADLINE_S = 0.5


class Injector:
    """Injects the faults of a plan, in a thread of its own that `stop` (or leaving `with`) ends.

    What a patient accepts becomes `injected` in the journal with the time just before it was told; what
    could not be delivered (the patient is down already) becomes `injection_failed`.
    """

    def __init__(self, faults: Sequence[PlannedFault], registry: Registry, journal: Journal) -> None:
        self._faults = sorted(faults, key=lambda fault: fault.at_s)
        self._registry = registry
        self._journal = journal
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault injector", daemon=True)

    def start(self) -> Self:
        """Start counting the seconds of the plan."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Inject nothing more; returns once the thread has ended, within about a second."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * POST_DEADLINE_S)

    @property
    def finished(self) -> bool:
        """Whether every fault was dealt with, or it was stopped."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        started = time.monotonic()
        for fault in self._faults:
            if self._stopping.wait(max(0.0, fault.at_s - (time.monotonic() - started))):
                return
            self._journal.write(self.inject(fault))

    def inject(self, fault: PlannedFault) -> Entry:
        """Tell the patient to misbehave now, whatever `at_s` says; gives what belongs into the journal."""
        at = time.time()
        try:
            reason = self._post(fault)
        except (OSError, http.client.HTTPException, RegistryError) as error:
            reason = f"{type(error).__name__}: {error}"
        if reason is None:
            return FaultInjected(fault.fault_id, fault.kind, fault.patient, at)
        return InjectionFailed(fault.fault_id, fault.kind, fault.patient, reason, at)

    def _post(self, fault: PlannedFault) -> str | None:
        """None when the patient took the fault, else its answer."""
        patient = self._registry.patient(fault.patient)
        connection = http.client.HTTPConnection("127.0.0.1", patient.port, timeout=POST_DEADLINE_S)
        try:
            connection.request("POST", "/fault", json.dumps(FAULTS[fault.kind].body))
            answer = connection.getresponse()
            return None if answer.status == http.client.ACCEPTED else f"the patient answered {answer.status}"
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
