"""Repairers: one for each patient, in a thread of its own, because repairing blocks."""

from __future__ import annotations

import time

from covey import handles

from ..world.journal import RepairEnded, RepairStarted
from ..world.registry import RegistryError
from ..world.remedies import RemedyError, apply, verify
from .crashing import Crashing
from .messages import Repair, RepairDone, RepairedNews, VerifiedNews
from .surroundings import DESK, surroundings

__all__ = ["REPAIR_LIMIT_S", "Repairer"]

REPAIR_LIMIT_S = 8.0
APPLY_S = 3.0
VERIFY_S = 2.5


class Repairer(Crashing):
    """Does a remedy to the real process of its patient and checks that health is back.

    It handles one order at a time, so no patient is repaired twice at once.
    """

    dispatcher = "thread"

    @handles
    def repair(self, order: Repair) -> RepairDone:
        """Do it and look whether it helped; whatever goes wrong is an answer, never a failure."""
        journal, desk = surroundings().journal, self.agent(*DESK)
        started = time.monotonic()
        journal.write(RepairStarted(order.patient, order.remedy, order.incident))
        applied, detail = self._apply(order)
        took_s = time.monotonic() - started
        desk.tell(RepairedNews(incident=order.incident, remedy=order.remedy, took_s=took_s, at=time.time()))
        ok = False
        if applied:
            ok, detail = self._verify(order)
        journal.write(RepairEnded(order.patient, order.remedy, order.incident, ok))
        desk.tell(VerifiedNews(incident=order.incident, ok=ok, at=time.time()))
        return RepairDone(ok=ok, detail=detail, took_s=time.monotonic() - started)

    def _apply(self, order: Repair) -> tuple[bool, str]:
        """Whether the remedy could be applied, and what it did or why not."""
        with self.span(f"apply {order.remedy}", patient=order.patient, incident=order.incident) as span:
            try:
                applied, detail = (
                    True,
                    apply(order.remedy, order.patient, surroundings().registry, APPLY_S).detail,
                )
            except (RemedyError, RegistryError) as error:
                applied, detail = False, str(error)
            span.set(applied=applied, detail=detail[:200])
        return applied, detail

    def _verify(self, order: Repair) -> tuple[bool, str]:
        """Whether the patient is well now, and how it is."""
        with self.span("verify", patient=order.patient) as span:
            try:
                found = verify(order.patient, surroundings().registry, VERIFY_S)
                ok, reason = found.ok, found.reason
            except RegistryError as error:
                ok, reason = False, str(error)
            span.set(ok=ok, reason=reason[:200])
        return ok, reason
