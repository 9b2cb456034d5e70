"""Repairers: one for each patient, in a thread of its own, because repairing blocks."""

from __future__ import annotations

import time

from covey import Agent, handles

from ..world.journal import RepairEnded, RepairStarted
from ..world.remedies import RemedyError, apply, verify
from .messages import Repair, RepairDone, RepairedNews, VerifiedNews
from .surroundings import DESK, surroundings

__all__ = ["REPAIR_LIMIT_S", "Repairer"]

REPAIR_LIMIT_S = 8.0
APPLY_S = 3.0
VERIFY_S = 2.5


class Repairer(Agent):
    """Does a remedy to the real process of its patient and checks that health is back.

    It handles one order at a time, so no patient is repaired twice at once.
    """

    dispatcher = "thread"

    @handles
    def repair(self, order: Repair) -> RepairDone:
        around = surroundings()
        journal, registry, desk = around.journal, around.registry, self.agent(*DESK)
        started = time.monotonic()
        journal.write(RepairStarted(order.patient, order.remedy, order.incident))
        with self.span("apply", remedy=order.remedy) as span:
            try:
                detail = apply(order.remedy, order.patient, registry, APPLY_S).detail
                applied = True
            except RemedyError as error:
                detail, applied = str(error), False
            span.set(applied=applied, detail=detail[:200])
        took_s = time.monotonic() - started
        desk.tell(RepairedNews(incident=order.incident, remedy=order.remedy, took_s=took_s, at=time.time()))
        ok = False
        if applied:
            with self.span("verify") as span:
                verification = verify(order.patient, registry, VERIFY_S)
                ok = verification.ok
                detail = verification.reason or detail
                span.set(ok=ok, reason=verification.reason[:200])
        journal.write(RepairEnded(order.patient, order.remedy, order.incident, ok))
        desk.tell(VerifiedNews(incident=order.incident, ok=ok, at=time.time()))
        return RepairDone(ok=ok, detail=detail, took_s=time.monotonic() - started)
